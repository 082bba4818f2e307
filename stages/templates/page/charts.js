// Charts as HTML and SVG. Words are HTML, so that the reader's fonts draw them and a screen reader says them.
import { counted, element, number, svgElement } from "./dom.js";

const BINS = 13; // at most one more: each bar is a target of at least 24 px, as WCAG 2.2 asks
const STEPS = [1, 1.5, 2, 2.5, 3, 4, 5, 10];

/** Return a figure: a title, what it shows, and what it means, if anything. */
export function chartFigure(title, content, note = null, extra = "") {
    return element(
        "figure",
        { class: `chart ${extra}`.trim() },
        element("figcaption", { class: "chart-title" }, title),
        content,
        note ? element("p", { class: "chart-note" }, note) : null,
    );
}

/** Return the key of a chart: a coloured square and a word for each part. */
export function chartKey(parts) {
    const items = parts.map((part) =>
        element("li", {}, element("span", { class: `swatch ${part.style}`, "aria-hidden": "true" }), part.name),
    );
    return element("ul", { class: "chart-key" }, items);
}

/**
 * Return one bar of several parts, side by side.
 *
 * parts: name, value and style (a CSS class) of each; maximum: the value of a bar that fills the width.
 */
export function stackBar(parts, maximum) {
    const shown = parts.filter((part) => part.value > 0);
    const said = shown.map((part) => `${part.name} ${number(part.value)}`).join(", ");
    const segments = shown.map((part) => {
        const segment = element("span", { class: `segment ${part.style}`, title: `${part.name}: ${number(part.value)}` });
        segment.style.width = `${(100 * part.value) / Math.max(maximum, 1)}%`;
        return segment;
    });
    return element("span", { class: "stack", role: "img", "aria-label": said || "none" }, segments);
}

/** Return a step of STEPS times a power of ten that divides the span into at most `most` parts. */
function niceStep(span, most) {
    const power = 10 ** Math.floor(Math.log10(span / most));
    return power * STEPS.find((step) => power * step >= (span / most) * 0.999999);
}

function quantileOf(sorted, part) {
    return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
}

/**
 * Return the bins of a histogram: from, to, and the photos in each.
 *
 * Values far outside the middle 98 % go to an open bin at either end, so that one giant does not flatten all others.
 */
function binValues(indices, valueOf, whole = false) {
    const known = indices.filter((index) => Number.isFinite(valueOf(index)));
    const sorted = known.map(valueOf).sort((one, other) => one - other);
    if (!sorted.length) {
        return [];
    }
    const [low, high] = [quantileOf(sorted, 0.01), quantileOf(sorted, 0.99)];
    const reach = Math.max(high - low, Math.abs(high) * 1e-6, 1e-9);
    const least = Math.max(sorted[0], low - reach / 2);
    const most = Math.min(sorted.at(-1), high + reach / 2);
    const span = Math.max(most - least, whole ? 1 : Math.max(Math.abs(most) * 0.01, 0.01));
    const step = whole ? Math.max(1, Math.round(niceStep(span, BINS))) : niceStep(span, BINS);
    const first = Math.floor(least / step + 1e-9);
    const last = Math.max(first, Math.floor(most / step + 1e-9));
    const bins = [];
    for (let place = first; place <= last; place += 1) {
        bins.push({ from: place * step, to: (place + 1) * step, indices: [], below: false, above: false, exact: whole && step === 1 });
    }
    for (const index of known) {
        const place = Math.floor(valueOf(index) / step + 1e-9) - first;
        bins[Math.min(Math.max(place, 0), bins.length - 1)].indices.push(index);
    }
    bins[0].below = sorted[0] < bins[0].from;
    bins.at(-1).above = sorted.at(-1) >= bins.at(-1).to;
    return bins;
}

// As many digits as tell two edges apart.
function edgeFormat(bins) {
    const step = bins[0].to - bins[0].from;
    const digits = Math.max(0, Math.ceil(-Math.log10(step) + (Number.isInteger(step * 10 ** Math.ceil(-Math.log10(step))) ? 0 : 1)));
    return (value) => number(Number(value.toFixed(digits)));
}

function nameBin(first, last, format, unit) {
    const words = unit ? ` ${unit}` : "";
    if (first.below && last.above) {
        return "all values";
    }
    if (first.below) {
        return `less than ${format(last.to)}${words}`;
    }
    if (last.above) {
        return `${format(first.from)}${words} and more`;
    }
    const isOne = first === last && first.exact;
    return isOne ? `${format(first.from)}${words}` : `${format(first.from)} to ${format(last.to)}${words}`;
}

function drawBins(bins, format, unit) {
    const tallest = Math.max(...bins.map((bin) => bin.indices.length));
    return bins.map((bin) => {
        const fill = element("span", { class: "histogram-fill" });
        // A bin of one photo among thousands stays visible: it is often the one to look at.
        fill.style.height = bin.indices.length ? `max(2px, ${(100 * bin.indices.length) / tallest}%)` : "0";
        const name = `${nameBin(bin, bin, format, unit)}: ${counted(bin.indices.length, "photo")}`;
        return element("button", { type: "button", class: "histogram-bar", tabindex: "-1", title: name, "aria-label": name, "aria-pressed": "false" }, fill);
    });
}

/**
 * Return a histogram whose bars choose photos: click or Enter for one, drag or Shift and an arrow for several.
 *
 * options: title, unit, note, whole (values are whole numbers), choose(photos, words).
 */
export function histogram(indices, valueOf, { title, unit = "", note = null, whole = false, choose }) {
    const bins = binValues(indices, valueOf, whole);
    if (!bins.length) {
        return chartFigure(title, element("p", { class: "chart-empty" }, "No photo has this value."), note);
    }
    const format = edgeFormat(bins);
    const bars = drawBins(bins, format, unit);
    const group = element("div", { class: "histogram", role: "group", "aria-label": `${title}. Arrow keys move, Enter shows the photos of a bar.` }, bars);
    brushBars(group, bars, (first, last) => {
        const photos = bins.slice(first, last + 1).flatMap((bin) => bin.indices);
        choose(photos, `${title}: ${nameBin(bins[first], bins[last], format, unit)}`);
    });
    const axis = histogramAxis(bins, format, unit);
    const tallest = number(Math.max(...bins.map((bin) => bin.indices.length)));
    const scale = element("span", { class: "histogram-top", "aria-hidden": "true" }, `${tallest} photos`);
    const frame = element("div", { class: "histogram-frame" }, scale, group, axis);
    frame.style.setProperty("--bars", String(bars.length));
    return chartFigure(title, frame, note);
}

function histogramAxis(bins, format, unit) {
    const words = unit ? ` ${unit}` : "";
    const [first, last] = [bins[0], bins.at(-1)];
    const middle = Math.floor(bins.length / 2);
    const start = element("span", {}, first.below ? `< ${format(first.to)}` : format(first.from));
    const end = element("span", {}, last.above ? `> ${format(last.from)}${words}` : `${last.exact ? format(last.from) : format(last.to)}${words}`);
    const between = element("span", { class: "chart-axis-middle" }, format(bins[middle].from));
    between.style.insetInlineStart = `${(100 * middle) / bins.length}%`;
    const parts = bins.length < 3 ? (last.exact && bins.length === 1 ? [end] : [start, end]) : [start, between, end];
    return element("div", { class: "chart-axis", "aria-hidden": "true" }, parts);
}

// A pointer that is dragged over bars chooses them all: the first by `move`, the others as its extension.
function dragOver(group, bars, move, choose, press) {
    let dragging = false;
    group.addEventListener("pointerdown", (event) => {
        const place = bars.indexOf(event.target.closest(".histogram-bar"));
        if (place >= 0 && event.button === 0) {
            dragging = true;
            move(place, event.shiftKey);
            press();
        }
    });
    group.addEventListener("pointerover", (event) => {
        const place = bars.indexOf(event.target.closest(".histogram-bar"));
        if (dragging && place >= 0) {
            move(place, true);
            press();
        }
    });
    const release = () => {
        if (dragging) {
            dragging = false;
            choose();
        }
    };
    group.addEventListener("pointerup", release);
    group.addEventListener("pointerleave", release);
}

function brushBars(group, bars, choose) {
    let [start, at] = [0, 0];
    bars[0].tabIndex = 0;
    const press = () => {
        const [first, last] = [Math.min(start, at), Math.max(start, at)];
        bars.forEach((bar, place) => bar.setAttribute("aria-pressed", String(place >= first && place <= last)));
        return [first, last];
    };
    const move = (place, extend) => {
        bars[at].tabIndex = -1;
        at = Math.min(Math.max(place, 0), bars.length - 1);
        start = extend ? start : at;
        bars[at].tabIndex = 0;
    };
    dragOver(group, bars, move, () => choose(...press()), press);
    group.addEventListener("click", (event) => {
        // A click without a pointer comes from Enter, Space or a screen reader.
        const place = bars.indexOf(event.target.closest(".histogram-bar"));
        if (event.detail === 0 && place >= 0) {
            move(place, start !== at && place === at);
            choose(...press());
        }
    });
    group.addEventListener("keydown", (event) => {
        const place = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[event.key];
        if (place !== undefined) {
            event.preventDefault();
            move(place, event.shiftKey);
            press();
            bars[at].focus();
        }
    });
}

/**
 * Return scores as a table with a dot for each, a line for its floor and a whisker for its interval.
 *
 * rows: name, value and floor (0 to 1 or null), interval (two such numbers, or null), and what the last two columns say,
 * each in words that do not break: said and alsoSaid.
 */
export function dotPlot(rows, heads, label = "Scores") {
    const percent = (value) => `${100 * Math.min(Math.max(value, 0), 1)}%`;
    const marker = (style, from, to = null) => {
        const node = element("span", { class: style });
        node.style.insetInlineStart = percent(from);
        if (to !== null) {
            node.style.width = `calc(${percent(to)} - ${percent(from)})`;
        }
        return node;
    };
    const body = rows.map((row) =>
        element(
            "tr",
            {},
            element("th", { scope: "row" }, row.name),
            element(
                "td",
                { class: "dots", "aria-hidden": "true" },
                element(
                    "span",
                    { class: "dots-track" },
                    row.interval ? marker("dots-error", ...row.interval) : null,
                    row.floor === null ? null : marker("dots-floor", row.floor),
                    marker("dots-dot", row.value),
                ),
            ),
            saidCell(row.said),
            saidCell(row.alsoSaid),
        ),
    );
    const head = element("tr", {}, heads.map((name) => (name ? element("th", { scope: "col" }, name) : element("td", { "aria-hidden": "true" }))));
    return element("div", { class: "wide", tabindex: "0", role: "group", "aria-label": label }, element("table", { class: "dot-plot" }, element("thead", {}, head), element("tbody", {}, body)));
}

function saidCell(parts) {
    return element("td", { class: "number" }, parts.map((part) => [element("span", {}, part), " "]));
}

/**
 * Return the curve of values that descend, on a logarithmic scale; a click chooses a rank.
 *
 * options: title, unit, choose(rank from 0), said: what it shows in words.
 */
export function rankCurve(values, { title, unit, choose, said }) {
    const [wide, high] = [1000, 160];
    const top = Math.log10(Math.max(values[0], 1) * 1.05 + 1);
    const place = (value) => high - (high * Math.log10(value + 1)) / top;
    const across = (rank) => (wide * rank) / Math.max(values.length, 1);
    const steps = values.map((value, rank) => `L${across(rank).toFixed(1)},${place(value).toFixed(1)}H${across(rank + 1).toFixed(1)}`);
    const ticks = [1, 10, 100, 1000, 10000, 100000].filter((tick) => tick <= values[0]);
    const lines = ticks.map((tick) => svgElement("line", { class: "curve-tick", x1: 0, x2: wide, y1: place(tick), y2: place(tick) }));
    const area = svgElement("path", { class: "curve-area", d: `M0,${high}${steps.join("")}V${high}Z` });
    const window = svgElement("rect", { class: "curve-window", x: 0, y: 0, width: 0, height: high });
    const drawing = svgElement("svg", { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", role: "img", "aria-label": said }, ...lines, area, window);
    drawing.addEventListener("click", (event) => {
        const box = drawing.getBoundingClientRect();
        choose(Math.min(values.length - 1, Math.floor((values.length * (event.clientX - box.left)) / box.width)));
    });
    const labels = ticks.map((tick) => {
        const label = element("span", { class: "curve-label" }, number(tick));
        label.style.top = `${(100 * place(tick)) / high}%`;
        return label;
    });
    const axis = element("div", { class: "chart-axis", "aria-hidden": "true" }, element("span", {}, "largest class"), element("span", {}, "smallest class"));
    const frame = element("div", { class: "curve" }, element("div", { class: "curve-labels", "aria-hidden": "true" }, labels), drawing, axis);
    const show = (first, count) => {
        window.setAttribute("x", String(across(first)));
        window.setAttribute("width", String(across(Math.min(count, values.length - first))));
    };
    return { figure: chartFigure(title, frame, unit, "chart-wide"), show };
}
