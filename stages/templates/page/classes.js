// Class balance, each class's mean photo, and classes that look wrong.
import { rankCurve, stackBar, chartKey } from "./charts.js";
import { classLabel, page, photoCount, photos, suspectsOf } from "./data.js";
import { button, counted, element, number, share } from "./dom.js";
import { sheetTile, tile } from "./pictures.js";
import { medianOf } from "./usual.js";

const PER_PAGE = 50;
const SAMPLE = 6;
const COLUMNS = [
    { key: "name", title: "class", text: true },
    { key: "photos", title: "photos" },
    { key: "suspects", title: "label suspects" },
    { key: "recall", title: "baseline recall" },
];
const WHY = {
    same_class: (one, other) => ["Models that did not learn from a photo hardly tell ", one, " from ", other, ". Perhaps they are one class."],
    similar_name: (one, other) => [one, " and ", other, " have nearly the same name and one parent."],
    no_better_than_chance: (one) => ["Photos of ", one, " are taken for it no more often than photos of other classes."],
};

/** Return name, photos by subset, label suspects (those of the page) and baseline recall of each class with photos. */
function countClasses() {
    const rows = page.classes.name.map((_, place) => ({
        place,
        name: classLabel(place),
        subsets: page.subsets.map((subset) => page.classes.photos[subset][place]),
        photos: 0,
        suspects: 0,
        asked: page.classes.asked[place],
        right: page.classes.right[place],
        recall: null,
        sample: [],
    }));
    for (const { photo } of suspectsOf("label")) {
        const row = rows[photos.class[photo]]; // a photo that was left out may have no class
        if (row) {
            row.suspects += 1;
        }
    }
    for (let index = 0; index < photoCount; index += 1) {
        const row = rows[photos.class[index]];
        if (row && photos.reject[index] < 0 && photos.tile[index] >= 0 && row.sample.length < SAMPLE) {
            row.sample.push(index);
        }
    }
    for (const row of rows) {
        row.photos = row.subsets.reduce((sum, count) => sum + count, 0);
        row.recall = row.asked ? row.right / row.asked : null;
    }
    return rows.filter((row) => row.photos > 0 || page.classes.label[row.place] >= 0);
}

function classLink(row) {
    return element("a", { href: `#photos?class=${row.place}`, dir: "auto" }, row.name);
}

function meanPhoto(place, side) {
    const spot = page.classes.mean[place];
    return spot >= 0 ? sheetTile("means", spot, side) : element("span", { class: "no-mean", "aria-hidden": "true" });
}

function suspectCard(suspect, rows) {
    const byPlace = (place) => rows.find((row) => row.place === place);
    const members = [suspect.class, suspect.other].filter((place) => place >= 0).map(byPlace).filter(Boolean);
    const bold = members.map((row) => element("strong", {}, element("bdi", {}, row.name)));
    const sides = members.map((row) =>
        element(
            "div",
            { class: "twin-side" },
            meanPhoto(row.place, 96),
            element("div", {}, classLink(row), element("p", { class: "hint" }, counted(row.photos, "photo")), element("div", { class: "sample" }, row.sample.map((index) => tile(index, 48)))),
        ),
    );
    const words = (WHY[suspect.why] ?? ((one) => [one, `: ${suspect.why}`]))(...bold);
    const score = element("span", { class: "hint" }, ` Score ${suspect.score.toFixed(2)}.`);
    return element("li", { class: "class-suspect" }, element("p", {}, words, score), element("div", { class: "twin-sides" }, sides));
}

function classSuspects(rows) {
    if (!page.class_suspects.length) {
        return element("p", {}, "No class looks wrong as a whole.");
    }
    const cards = page.class_suspects.map((suspect) => suspectCard(suspect, rows));
    const [first, rest] = [cards.slice(0, 10), cards.slice(10)];
    const more = rest.length ? element("details", {}, element("summary", {}, `${number(rest.length)} more`), element("ul", { class: "class-suspects" }, rest)) : null;
    return [
        element("p", { class: "hint" }, "To make one class of two, correct the labels in the database, or the photos here: mark them with another class."),
        element("ul", { class: "class-suspects" }, first),
        more,
    ];
}

function compareRows(key, descending) {
    const sign = descending ? -1 : 1;
    return (one, other) => {
        if (key === "name") {
            return sign * one.name.localeCompare(other.name) || one.place - other.place;
        }
        // Classes without a value come last in either order.
        if (one[key] === null || other[key] === null) {
            return (one[key] === null) - (other[key] === null) || one.place - other.place;
        }
        return sign * (one[key] - other[key]) || one.place - other.place;
    };
}

// A class with mistakes leads to them.
function recallLink(row) {
    const text = `${share(row.recall)} of ${number(row.asked)}`;
    const wrong = row.asked - row.right;
    const href = `#photos?class=${row.place}&baseline=wrong`;
    return wrong ? element("a", { href, "aria-label": `${text} of ${row.name}: ${number(wrong)} wrong` }, text) : text;
}

function classRow(row, most) {
    const parts = page.subsets.map((subset, place) => ({ name: subset, value: row.subsets[place], style: `part-${subset}` }));
    const suspects = row.suspects ? element("a", { href: `#photos?class=${row.place}&kind=label`, "aria-label": `${number(row.suspects)} label suspects of ${row.name}` }, number(row.suspects)) : "0";
    const recall = row.recall === null ? element("span", { class: "hint" }, "no test photo") : recallLink(row);
    return element(
        "tr",
        {},
        element("td", { class: "mean" }, meanPhoto(row.place, 48)),
        element("th", { scope: "row" }, classLink(row)),
        element("td", { class: "bar" }, stackBar(parts, most)),
        element("td", { class: "number" }, number(row.photos)),
        element("td", { class: "number" }, suspects),
        element("td", { class: "number" }, recall),
    );
}

class ClassTable {
    constructor(rows) {
        this.rows = rows;
        this.most = Math.max(...rows.map((row) => row.photos), 1);
        this.key = "photos";
        this.descending = true;
        this.first = 0;
        this.search = element("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter classes by name" });
        this.search.addEventListener("input", () => this.draw(0));
        this.status = element("p", { class: "hint", role: "status" });
        this.body = element("tbody", {});
        this.heads = element("tr", {});
        this.back = button("Previous", () => this.draw(this.first - PER_PAGE));
        this.forth = button("Next", () => this.draw(this.first + PER_PAGE));
        const table = element("table", { class: "class-table" }, element("thead", {}, this.heads), this.body);
        const scroll = element("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Classes" }, table);
        this.pager = element("nav", { class: "pager", "aria-label": "Pages of classes" }, this.back, this.forth);
        this.element = element("div", {}, element("div", { class: "table-bar" }, this.search, this.status, this.pager), scroll);
        this.onDraw = () => {};
    }

    sort(key) {
        this.descending = this.key === key ? !this.descending : key !== "name" && key !== "recall";
        this.key = key;
        this.draw(0);
        this.heads.querySelector(`[data-key="${key}"]`).focus();
    }

    shown() {
        const wanted = this.search.value.trim().toLocaleLowerCase();
        const found = wanted ? this.rows.filter((row) => row.name.toLocaleLowerCase().includes(wanted)) : [...this.rows];
        return found.sort(compareRows(this.key, this.descending));
    }

    drawHeads() {
        const heads = COLUMNS.map((column) => {
            const sorted = column.key === this.key;
            const arrow = sorted ? (this.descending ? " ↓" : " ↑") : "";
            const button = element("button", { type: "button", class: "sort", "data-key": column.key, on: { click: () => this.sort(column.key) } }, column.title, element("span", { "aria-hidden": "true" }, arrow));
            const order = sorted ? (this.descending ? "descending" : "ascending") : "none";
            return element("th", { scope: "col", class: column.text ? "" : "number", "aria-sort": order }, button);
        });
        const [name, ...others] = heads;
        this.heads.replaceChildren(element("th", { scope: "col" }, "mean"), name, element("th", { scope: "col" }, "subsets"), ...others);
    }

    draw(first) {
        const rows = this.shown();
        this.first = Math.max(0, Math.min(first, rows.length - 1));
        const last = Math.min(this.first + PER_PAGE, rows.length);
        this.drawHeads();
        this.body.replaceChildren(...rows.slice(this.first, last).map((row) => classRow(row, this.most)));
        this.status.textContent = rows.length ? `${number(this.first + 1)} to ${number(last)} of ${number(rows.length)} classes` : "No class has such a name.";
        this.pager.hidden = rows.length <= PER_PAGE;
        this.back.disabled = this.first === 0;
        this.forth.disabled = last >= rows.length;
        this.onDraw(this.key === "photos" && this.descending && rows.length === this.rows.length ? this.first : -1);
    }

    showRank(rank) {
        this.search.value = "";
        this.key = "photos";
        this.descending = true;
        this.draw(Math.floor(rank / PER_PAGE) * PER_PAGE);
    }
}

function overview(rows, table) {
    const counts = rows.map((row) => row.photos).sort((one, other) => other - one);
    const said = `The largest class has ${number(counts[0])} photos, the smallest ${number(counts.at(-1))}. The median is ${number(medianOf(counts))}.`;
    if (rows.length <= PER_PAGE) {
        return element("p", {}, said);
    }
    const curve = rankCurve(counts, { title: "Photos of each class, the largest first", unit: `Logarithmic scale. ${said} Click on the curve to see the classes there.`, said, choose: (rank) => table.showRank(rank) });
    table.onDraw = (first) => curve.show(Math.max(first, 0), first < 0 ? 0 : PER_PAGE);
    return curve.figure;
}

/** Classes: balance, means, and what looks wrong. */
export const classesView = {
    id: "classes",
    title: "Classes",
    count: () => page.classes.label.filter((label) => label >= 0).length,
    open(host) {
        const rows = countClasses();
        const table = new ClassTable(rows);
        const key = chartKey(page.subsets.map((subset) => ({ name: subset, style: `part-${subset}` })));
        host.append(
            element("h3", {}, "Balance"),
            overview(rows, table),
            key,
            table.element,
            element("h3", {}, "Classes that look wrong"),
            ...[classSuspects(rows)].flat().filter(Boolean),
        );
        table.draw(0);
        return () => {};
    },
};
