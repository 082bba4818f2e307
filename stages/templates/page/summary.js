// The first screen: whether to train on this, and what was lost, suspected and learned. Then the facts of the photos.
import { chartFigure, chartKey, dotPlot, histogram, stackBar } from "./charts.js";
import { inWords, page, photoCount, photoLabel, photos, suspectsOf, suspicionsOf } from "./data.js";
import { copyButton, counted, element, number, share } from "./dom.js";
import { photoGrid } from "./grid.js";
import { markOf, onMarks } from "./marks.js";
import { sheetTile, tile } from "./pictures.js";

const VERDICTS = {
    yes: { icon: "✓", words: "Fit to train on" },
    reservations: { icon: "!", words: "Fit to train on, with reservations" },
    no: { icon: "✕", words: "Not fit to train on" },
};
// What a line of the verdict leads to, by its address.
const LINK_WORDS = {
    classes: "See the classes",
    "photos?reject=any": "See the photos that were left out",
    confusion: "See what it confuses",
};
const SUSPECT_LINK = "photos?kind=any";
// The views that have suspects, each with its kinds of suspects.
const SUSPECT_VIEWS = [
    { view: "labels", words: "Labels", kinds: ["label"] },
    { view: "masks", words: "Masks", kinds: ["mask"] },
    { view: "oddities", words: "Oddities", kinds: ["outlier", "photo"] },
];
const DIGITS_IN_METRICS = 12; // of the content digest, in reports/metrics.json
const KINDS_SHOWN = 4; // of planted copies; the others are folded
const STAGE_WORDS = {
    listings: "Photos in the listings",
    ingest: "Fetched",
    preprocess: "Made into pixels",
    catalog: "Given a class",
    split: "Given a subset",
};

// The heading says the verdict, so the first line is left with the reasons.
function verdictLines() {
    const [first, ...others] = page.verdict.lines;
    const reasons = first.text.replace(/^(Yes|With reservations|No): /, "");
    return [{ ...first, name: "Why", text: reasons.charAt(0).toUpperCase() + reasons.slice(1) }, ...others];
}

function verdictLinks(link) {
    const linkTo = (route, words) => element("a", { href: `#${route}` }, words);
    if (link === SUSPECT_LINK) {
        const views = SUSPECT_VIEWS.filter(({ kinds }) => kinds.some((kind) => suspectsOf(kind).length));
        const names = views.map(({ view, words }) => [linkTo(view, words), ", "]);
        return [names.length ? ["Decide on them in ", names, "or see "] : "See ", linkTo(link, "all suspects"), "."];
    }
    return link ? linkTo(link, LINK_WORDS[link] ?? "See more") : null;
}

// The verdict is of the dataset. What is marked since then counts once it is applied.
function showMarkedSuspects(host) {
    const isMarked = (index) => photos.decided[index] === 0 && suspicionsOf(index).length > 0 && markOf(index) !== null;
    const count = [...photos.decided.keys()].filter(isMarked).length;
    const place = host.querySelector(".marked-here");
    place?.replaceChildren(...(count ? [`Here ${count === 1 ? "1 more is" : `${number(count)} more are`} marked, `,
        element("a", { href: "#marks" }, "not applied yet"), ". "] : []));
}

function verdictBanner() {
    const { fit } = page.verdict;
    const { icon, words } = VERDICTS[fit];
    const items = verdictLines().map((line) =>
        element(
            "div",
            { class: "verdict-line" },
            element("dt", {}, line.name),
            element("dd", {}, line.text, " ", line.link === SUSPECT_LINK ? element("span", { class: "marked-here" }) : null, verdictLinks(line.link)),
        ),
    );
    return element(
        "section",
        { class: `verdict verdict-${fit}`, "aria-labelledby": "verdict-words" },
        element("h3", { id: "verdict-words" }, element("span", { class: "verdict-icon", "aria-hidden": "true" }, icon), words),
        element("dl", {}, items),
    );
}

function paramTable() {
    if (!page.params.length) {
        return element("p", {}, "Params: all as shipped.");
    }
    const rows = page.params.map((param) =>
        element("tr", {}, element("th", { scope: "row" }, element("code", {}, param.name)), element("td", {}, param.value), element("td", {}, param.shipped)),
    );
    const heads = ["param", "here", "shipped"].map((name) => element("th", { scope: "col" }, name));
    return element(
        "details",
        { class: "params", open: page.params.length <= 6 },
        element("summary", {}, counted(page.params.length, "param differs from the shipped one", "params differ from the shipped ones")),
        element("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Params" }, element("table", {}, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, rows))),
    );
}

// "2026-01-31T13:00:00+00:00" as people write it.
function writeMoment(text) {
    return text.replace(/^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(\.\d+)?)?(Z|\+00:00)$/, "$1 $2 UTC");
}

// Up to which date rows are used. The source alone knows what a number of its dates counts.
function sourceRows() {
    const { as_of: asOf, newest_row: newest } = page.source;
    const isMoment = /^\d{4}-\d\d-\d\d/.test(newest ?? "");
    const dated = isMoment ? `the newest of ${writeMoment(newest)}` : `the newest dated ${newest}, a number as the source has it`;
    return `${asOf ? `up to ${writeMoment(asOf)}` : "all"}${newest ? `, ${dated}` : ""}`;
}

function originFacts() {
    const digest = page.digest.slice(0, DIGITS_IN_METRICS);
    const command = `git log -S${digest} --oneline -- reports/metrics.json`;
    const fact = (name, ...value) => [element("dt", {}, name), element("dd", {}, value)];
    return element(
        "section",
        { class: "origin", "aria-label": "Where this comes from" },
        element(
            "dl",
            {},
            fact("Source rows", sourceRows()),
            fact("Content digest", element("code", { title: page.digest }, digest), " ", copyButton(page.digest, "Copy the whole digest")),
            fact("Find its commit", element("code", {}, command), " ", copyButton(command, "Copy the command that finds the commit")),
            fact("Made by", `imageset ${page.version}`),
        ),
        paramTable(),
    );
}

function lostReasons(stage, rejected) {
    const known = new Set(page.rejects.map((reject) => `${reject.stage}:${reject.reason}`));
    const reasons = Object.entries(rejected).sort((one, other) => other[1] - one[1]);
    return reasons.map(([reason, count]) => {
        const words = `${inWords(reason)} ${number(count)}`;
        const name = `${stage}:${reason}`; // stages have some reasons in common
        const item = known.has(name) ? element("a", { href: `#photos?reject=${encodeURIComponent(name)}` }, words) : words;
        return element("li", {}, item);
    });
}

function funnel() {
    const steps = page.flow.filter((step) => step.in > 0);
    const most = Math.max(...steps.map((step) => step.in), 1);
    const rows = steps.map((step) => {
        const lost = Object.values(step.rejected).reduce((sum, count) => sum + count, 0);
        const parts = [
            { name: "kept", value: step.out, style: "part-kept" },
            { name: "lost", value: lost, style: "part-lost" },
        ];
        const reasons = lostReasons(step.stage, step.rejected);
        return element(
            "li",
            { class: "funnel-step" },
            element("span", { class: "funnel-name" }, STAGE_WORDS[step.stage] ?? step.stage),
            stackBar(parts, most),
            element("span", { class: "funnel-count" }, number(step.out)),
            reasons.length ? element("ul", { class: "funnel-reasons", "aria-label": "lost, by reason" }, reasons) : null,
        );
    });
    const names = page.subsets.map((subset) => ({ name: subset, style: `part-${subset}` }));
    const totals = names.map(({ name, style }) => ({ name, style, value: page.classes.photos[name].reduce((sum, count) => sum + count, 0) }));
    const kept = totals.reduce((sum, part) => sum + part.value, 0);
    const links = totals.map((part) => element("li", {}, element("a", { href: `#photos?subset=${part.name}` }, `${part.name} ${number(part.value)}`)));
    rows.push(
        element(
            "li",
            { class: "funnel-step" },
            element("span", { class: "funnel-name" }, "In the dataset"),
            stackBar(totals, most),
            element("span", { class: "funnel-count" }, number(kept)),
            element("ul", { class: "funnel-reasons", "aria-label": "by subset" }, links),
        ),
    );
    const copies = page.augment?.copies ?? 1;
    const note = copies > 1 ? `Each training photo is in the file ${number(copies)} times or more: once as it is, else augmented.` : null;
    const key = chartKey([{ name: "kept", style: "part-kept" }, { name: "lost", style: "part-lost" }, ...names]);
    return chartFigure("From listings to the dataset", [key, element("ol", { class: "funnel" }, rows)], note);
}

function checkList() {
    const failed = page.checks.filter((check) => !check.passed);
    const words = `${number(page.checks.length - failed.length)} of ${number(page.checks.length)} checks passed`;
    const row = (check) =>
        element(
            "tr",
            { class: check.passed ? "" : "check-failed" },
            element("td", {}, check.passed ? "✓ passed" : "✕ failed"),
            element("th", { scope: "row" }, check.name),
            element("td", { class: "number" }, number(check.examined)),
        );
    const heads = element("tr", {}, ["result", "check"].map((name) => element("th", { scope: "col" }, name)), element("th", { scope: "col", class: "number" }, "examined"));
    const table = (some) => element("table", { class: "checks" }, element("thead", {}, heads.cloneNode(true)), element("tbody", {}, some.map(row)));
    const passed = page.checks.filter((check) => check.passed);
    return chartFigure("Checks of the dataset file", [failed.length ? table(failed) : null, element("details", {}, element("summary", {}, words), table(passed))]);
}

function baselineScores() {
    const found = page.baseline;
    if (!found || found.accuracy === null || found.accuracy === undefined) {
        return chartFigure("Baseline", element("p", { class: "chart-empty" }, found?.note ?? "There is no baseline."));
    }
    const error = found.accuracy_standard_error;
    const line = (name, key, deviation) => ({
        name,
        value: found[key],
        floor: found.floor[key],
        interval: deviation ? [found[key] - 2 * deviation, found[key] + 2 * deviation] : null,
        said: [share(found[key]), deviation ? `± ${share(2 * deviation)}` : ""],
        alsoSaid: [share(found.floor[key])],
    });
    const rows = [line("accuracy", "accuracy", error), line("macro F1", "macro_f1", null), line("right class in best 5", "top5_accuracy", null)];
    const note = `A simple classifier on ${number(found.photos.test)} test photos. ± is two standard errors. The floor, a line, is what the commonest classes alone reach.`;
    const link = element("a", { href: "#confusion" }, "Look at what it confuses");
    return chartFigure("Baseline", [dotPlot(rows, ["score", null, "value", "floor"]), element("p", {}, link)], note);
}

// Of planted copies: the kinds that the search for duplicates finds least come first.
function copiesFound() {
    const title = "Planted copies that the search finds";
    const kinds = page.leakage.kinds.filter(({ recall }) => recall !== null);
    if (!kinds.length) {
        return chartFigure(title, element("p", { class: "chart-empty" }, "None was planted: leakage.planted is 0."));
    }
    kinds.sort((one, other) => one.recall - other.recall);
    const row = (counts) => ({
        name: inWords(counts.kind),
        value: counts.recall,
        floor: null,
        interval: [counts.recall_low, counts.recall_high],
        said: [share(counts.recall)],
        alsoSaid: [`${(100 * counts.recall_low).toFixed(1)} to`, share(counts.recall_high)],
    });
    const joined = page.leakage.joined_to_others;
    const wrong = joined ? ` ${counted(joined, "pair")} of different photos ${joined === 1 ? "was" : "were"} found, too.` : "";
    const note = `Stage leakage made a copy of each kind of ${counted(page.leakage.photos, "photo")}. A copy that is not found may be in another subset than its photo. The whisker is the 95\u00a0% interval.${wrong}`;
    const plot = (some) => dotPlot(some.map(row), ["copies", null, "found", "interval"], title);
    const [first, others] = [kinds.slice(0, KINDS_SHOWN), kinds.slice(KINDS_SHOWN)];
    const more = others.length ? element("details", {}, element("summary", {}, counted(others.length, "more kind")), plot(others)) : null;
    return chartFigure(title, [plot(first), more], note);
}

function augmentedSheet() {
    if (!page.augmented?.length) {
        return null;
    }
    const rows = page.augmented.map(({ photo, tiles }) =>
        element(
            "li",
            { class: "augmented-row" },
            element("span", { class: "augmented-original" }, tile(photo, 64), element("span", {}, photoLabel(photo))),
            element("span", { class: "augmented-copies", role: "img", "aria-label": `${number(tiles.length)} rows of photo ${photoLabel(photo)} in the dataset` }, tiles.map((place) => sheetTile("augmented", place, 64))),
        ),
    );
    return chartFigure("Training photos and their rows in the dataset", element("ul", { class: "augmented" }, rows), "The photo as it was, then its rows: the first unchanged, the others augmented.", "chart-wide");
}

const FACT_CHARTS = [
    { title: "Shorter side", unit: "px", whole: true, value: (index) => (photos.width[index] === null ? NaN : Math.min(photos.width[index], photos.height[index])) },
    { title: "Height / width", unit: "", value: (index) => photos.height[index] / photos.width[index] },
    { title: "Brightness", unit: "of 255", value: (index) => photos.brightness[index] ?? NaN },
    { title: "Contrast", unit: "of 127", value: (index) => photos.contrast[index] ?? NaN },
    { title: "Sharpness", unit: "", value: (index) => photos.sharpness[index] ?? NaN },
    { title: "Garment's share of the photo", unit: "", value: (index) => photos.foreground_share[index] ?? NaN },
];

function factCharts(choose) {
    const all = Array.from({ length: photoCount }, (_, index) => index);
    return FACT_CHARTS.map((fact) => histogram(all, fact.value, { ...fact, choose }));
}

function photosOfBars() {
    const heading = element("h4", { tabindex: "-1" });
    const host = element("div", {});
    const section = element("section", { class: "chosen", hidden: true, "aria-live": "polite" }, heading, host);
    let grid = null;
    const choose = (indices, words) => {
        section.hidden = false;
        heading.textContent = `${words}: ${counted(indices.length, "photo")}`;
        grid ??= photoGrid(host, { indices: [], label: "Photos of the chosen bars" });
        grid.show(indices);
    };
    return { section, choose, close: () => grid?.close() };
}

/** The first screen. */
export const summaryView = {
    id: "summary",
    title: "Summary",
    open(host) {
        const { section, choose, close } = photosOfBars();
        host.append(
            element("div", { class: "summary-top" }, verdictBanner(), originFacts()),
            element("div", { class: "charts" }, element("div", { class: "chart-column" }, funnel(), checkList()), element("div", { class: "chart-column" }, baselineScores(), copiesFound())),
            element("h3", {}, "The photos as they were"),
            element("p", { class: "hint" }, "Choose bars to see their photos: click, drag over several, or use the arrow keys, Shift and Enter."),
            element("div", { class: "charts charts-small" }, factCharts(choose)),
            section,
            augmentedSheet() ?? "",
        );
        showMarkedSuspects(host);
        const stop = onMarks(() => showMarkedSuspects(host));
        return () => {
            stop();
            close();
        };
    },
};
