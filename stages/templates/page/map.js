// The map: photos that look alike are near each other. Colours, pictures where there is room, a lasso to choose photos.
import { baselineWasRight, classLabel, page, photoCount, photoLabel, photos, suspicionsOf } from "./data.js";
import { openDetail } from "./detail.js";
import { announce, button, counted, element, number, svgElement } from "./dom.js";
import { photoGrid } from "./grid.js";
import { chooseClass, chooseReason, clearPhotos, confirmPhotos } from "./keys.js";
import { markOf, onMarks } from "./marks.js";
import { tile } from "./pictures.js";
import { findStrangers, neighbourClasses, PlaceIndex } from "./places.js";
import { Scatter } from "./scatter.js";

const COLORS = 10;
const COLOURED_NEIGHBOURS = 5;
const MOST_IN_ADDRESS = 2000;
const MOST_STRANGERS = 300;
const MODES = [
    ["class", "class"],
    ["subset", "subset"],
    ["suspect", "what looks wrong"],
    ["baseline", "baseline right or wrong"],
    ["mark", "your marks"],
];
const MARK_ORDER = ["exclude", "relabel", "right"];

/** Return the photos that have a place on the map. */
function mappedPhotos() {
    const known = [];
    for (let index = 0; index < photoCount; index += 1) {
        if (photos.x[index] !== null && photos.y[index] !== null) {
            known.push(index);
        }
    }
    return known;
}

// How a way of colouring sees photos: names of its styles, the style of a photo; `back` is what others are drawn over.
const SCHEMES = {
    class: (map) => classScheme(map),
    subset: () => ({ names: [...page.subsets, "in no subset"], back: page.subsets.length, styleOf: (index) => (photos.subset[index] < 0 ? page.subsets.length : photos.subset[index]) }),
    suspect: () => {
        const names = [...page.kinds, "nothing"];
        const first = (index) => (suspicionsOf(index).length ? Math.min(...suspicionsOf(index).map((found) => page.kinds.indexOf(found.kind))) : page.kinds.length);
        return { names, back: page.kinds.length, styleOf: first };
    },
    baseline: () => ({ names: ["wrong", "right", "not asked"], back: 2, styleOf: (index) => ({ true: 1, false: 0, null: 2 })[String(baselineWasRight(index))] }),
    mark: () => ({
        names: [...MARK_ORDER, "none"],
        back: MARK_ORDER.length,
        styleOf: (index) => {
            const place = MARK_ORDER.indexOf(markOf(index)?.action);
            return place < 0 ? MARK_ORDER.length : place;
        },
    }),
};

function classScheme({ classes, chosen, places, indices }) {
    if (chosen < 0) {
        const styles = new Map(classes.map((place, style) => [place, style]));
        return { names: classes.map(classLabel), back: -1, styleOf: (index) => styles.get(photos.class[index]) ?? -1 };
    }
    const members = indices.filter((index) => photos.class[index] === chosen);
    const shown = [chosen, ...(members.length ? neighbourClasses(places, members, COLOURED_NEIGHBOURS) : [])];
    const styles = new Map(shown.map((place, style) => [place, style]));
    return { names: [...shown.map(classLabel), "other classes"], back: shown.length, styleOf: (index) => styles.get(photos.class[index]) ?? shown.length };
}

// The canvas needs colours as numbers: the browser works out what a variable is in the theme.
function paletteOf(host, count, back) {
    const probe = element("span", { hidden: true });
    host.append(probe);
    const styles = Array.from({ length: count }, (_, style) => {
        probe.style.color = `var(${style === back ? "--map-other" : `--map-${style % COLORS}`})`;
        return { color: getComputedStyle(probe).color, shape: style === back ? 0 : style, back: style === back };
    });
    probe.remove();
    return styles;
}

function shapeIcon({ color, shape }) {
    const outlines = ["M8 3a5 5 0 1 0 0 10a5 5 0 1 0 0-10z", "M3.5 3.5h9v9h-9z", "M8 2l6 11H2z", "M8 2l6 6-6 6-6-6z"];
    const path = svgElement("path", { d: outlines[shape % outlines.length] });
    path.style.fill = color;
    return svgElement("svg", { class: "map-shape", viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
}

class MapView {
    constructor(host, query) {
        this.host = host;
        this.indices = mappedPhotos();
        this.places = new PlaceIndex(this.indices, photos.x, photos.y);
        this.classes = [...new Set(this.indices.map((index) => photos.class[index]))].filter((place) => place >= 0).sort((one, other) => one - other);
        this.chosen = Number(query.get("class") ?? (this.classes.length > COLORS ? this.suspectClass() : -1));
        this.mode = Object.hasOwn(SCHEMES, query.get("color")) ? query.get("color") : "class";
        this.hidden = new Set();
        this.grids = new Map();
        this.scatter = new Scatter({
            indices: this.indices,
            x: photos.x,
            y: photos.y,
            label: `Map of ${counted(this.indices.length, "photo")}. Arrow keys move it, plus and minus zoom, 0 shows all. The list below says the same in words.`,
            hover: (...where) => this.showTip(...where),
            open: (index) => openDetail(index, this.scatter.selected.has(index) ? [...this.scatter.selected] : [index]),
            select: (found) => this.select(found),
        });
        this.legend = element("ul", { class: "map-legend", "aria-label": "Colours: press one to hide or show its photos" });
        this.tip = element("div", { class: "map-tip", "aria-hidden": "true", hidden: true });
        this.tipped = -1; // the photo that the tip shows
        this.scatter.element.append(this.tip, this.zoomButtons());
        this.chosenSection = element("section", { class: "chosen", hidden: true });
        this.strangers = element("section", { class: "chosen" });
        host.append(this.hint(), this.controls(), this.legend, this.scatter.element, this.chosenSection, this.strangers);
        this.watch();
        this.paint();
        this.listStrangers();
        const wanted = (query.get("photos") ?? "").split(",").filter(Boolean).map(Number);
        if (wanted.length) {
            this.select(wanted.filter((index) => this.indices.includes(index)));
        }
    }

    hint() {
        return element("p", { class: "hint" }, "Photos that look alike are near each other. A point of one class in the middle of another is worth a look. Axes and distances between far groups mean nothing. Drag to move, wheel or pinch to zoom, click for a photo, Shift and drag (or Lasso) to choose photos.");
    }

    // With many classes one is in colour at first: the one with the most label suspects.
    suspectClass() {
        const counts = new Map();
        for (const index of this.indices) {
            const doubts = suspicionsOf(index).filter((found) => found.kind === "label").length;
            counts.set(photos.class[index], (counts.get(photos.class[index]) ?? 0) + doubts);
        }
        return [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0])[0][0];
    }

    controls() {
        const option = (chosen) => ([value, text]) => element("option", { value: String(value), selected: String(value) === String(chosen) }, text);
        const mode = element("select", { on: { change: () => this.recolor(mode.value, this.chosen) } }, MODES.map(option(this.mode)));
        const named = [...this.classes].sort((one, other) => classLabel(one).localeCompare(classLabel(other))).map((place) => [place, classLabel(place)]);
        const all = this.classes.length > COLORS ? [] : [[-1, "all classes"]];
        const chosen = element("select", { on: { change: () => this.recolor("class", Number(chosen.value)) } }, [...all, ...named].map(option(this.chosen)));
        this.modeSelect = mode;
        this.lasso = button("Lasso", () => this.toggleLasso(), { "aria-pressed": "false", title: "Draw around photos to choose them. Shift and drag does the same." });
        const pictures = element("input", { type: "checkbox", checked: true, on: { change: () => this.togglePictures(pictures.checked) } });
        return element(
            "div",
            { class: "map-controls" },
            element("label", {}, "Colour by ", mode),
            element("label", {}, this.classes.length > COLORS ? "Class and its neighbours " : "Class ", chosen),
            this.lasso,
            element("label", {}, pictures, " Pictures when zoomed in"),
        );
    }

    zoomButtons() {
        const { scatter } = this;
        const one = (text, name, act) => button(text, act, { "aria-label": name, title: name });
        return element("div", { class: "map-zoom" }, one("+", "Zoom in", () => scatter.zoom(1.6)), one("−", "Zoom out", () => scatter.zoom(1 / 1.6)), one("All", "Show all photos", () => scatter.fit()));
    }

    watch() {
        const repaint = () => this.paint();
        this.themes = [new MutationObserver(repaint), matchMedia("(prefers-color-scheme: dark)")];
        this.themes[0].observe(document.documentElement, { attributes: true });
        this.themes[1].addEventListener("change", repaint);
        const stopMarks = onMarks(() => this.mode === "mark" && this.paint());
        this.stop = () => {
            this.themes[0].disconnect();
            this.themes[1].removeEventListener("change", repaint);
            stopMarks();
            this.scatter.close();
            this.grids.forEach((grid) => grid.close());
        };
    }

    recolor(mode, chosen) {
        Object.assign(this, { mode, chosen });
        this.modeSelect.value = mode;
        this.hidden.clear();
        this.paint();
        this.listStrangers();
    }

    paint() {
        const { names, back, styleOf } = SCHEMES[this.mode](this);
        const styles = paletteOf(this.scatter.element, names.length, back);
        this.scatter.paint((index) => (this.hidden.has(styleOf(index)) ? -1 : styleOf(index)), styles);
        const counts = names.map(() => 0);
        this.indices.forEach((index) => {
            counts[styleOf(index)] += 1;
        });
        const items = names.map((name, style) => element("li", { hidden: !counts[style] }, this.legendItem(name, style, counts[style], styles[style])));
        const focused = [...this.legend.children].findIndex((item) => item.contains(document.activeElement));
        this.legend.replaceChildren(...items);
        items[focused]?.firstChild.focus();
    }

    legendItem(name, style, count, look) {
        const toggle = () => {
            this.hidden[this.hidden.has(style) ? "delete" : "add"](style);
            this.paint();
        };
        const parts = [shapeIcon(look), element("bdi", {}, name), " ", element("span", { class: "hint" }, number(count))];
        return element("button", { type: "button", class: "map-legend-item", "aria-pressed": String(!this.hidden.has(style)), on: { click: toggle } }, parts);
    }

    showTip(index, left, top) {
        this.tip.hidden = index < 0;
        if (index < 0) {
            return;
        }
        if (this.tipped !== index) {
            this.tipped = index;
            this.fillTip(index);
        }
        const { width, height } = this.scatter;
        this.tip.style.insetInlineStart = `${Math.max(4, left + 150 > width ? left - 136 : left + 16)}px`;
        this.tip.style.insetBlockStart = `${Math.max(4, Math.min(top - 60, height - this.tip.offsetHeight - 4))}px`;
    }

    fillTip(index) {
        const doubts = suspicionsOf(index).map((found) => found.kind).join(", ");
        this.tip.replaceChildren(tile(index, 96), element("div", {}, element("bdi", {}, classLabel(photos.class[index]))), element("div", {}, photoLabel(index)), doubts ? element("div", {}, `suspect: ${doubts}`) : "");
    }

    toggleLasso() {
        this.scatter.lassoing = !this.scatter.lassoing;
        this.lasso.setAttribute("aria-pressed", String(this.scatter.lassoing));
        this.scatter.canvas.classList.toggle("map-lasso", this.scatter.lassoing);
    }

    togglePictures(shown) {
        this.scatter.withTiles = shown;
        this.scatter.request();
    }

    select(found) {
        this.scatter.choose(found);
        this.chosenSection.hidden = !found.length;
        if (!found.length) {
            return;
        }
        const actions = [
            button("Exclude…", () => chooseReason(found)),
            button("Another class…", () => chooseClass(found)),
            button("Right as they are", () => confirmPhotos(found)),
            button("Remove marks", () => clearPhotos(found)),
            button("Choose none", () => this.select([])),
        ];
        const link = found.length <= MOST_IN_ADDRESS ? element("a", { href: `#photos?photos=${found.join(",")}` }, "Open in Photos") : null;
        announce(`${counted(found.length, "photo")} chosen. They follow below the map.`);
        const host = element("div", {});
        this.chosenSection.replaceChildren(
            element("h4", {}, `${counted(found.length, "photo")} chosen`),
            element("p", { class: "hint" }, classCounts(found)),
            element("div", { class: "map-actions" }, actions, link),
            host,
        );
        this.fillGrid("chosen", host, { indices: found, caption: (index) => classLabel(photos.class[index]), label: "Photos chosen on the map" });
    }

    fillGrid(name, host, options) {
        this.grids.get(name)?.close();
        this.grids.set(name, photoGrid(host, options));
    }

    // The points of the chosen class are above all others, but for photos of another class in its middle.
    raise(members, found) {
        const isOne = this.mode === "class" && this.chosen >= 0;
        const around = new Set(isOne ? members.flatMap((index) => this.places.nearestTo(index)) : []);
        const strangers = [...found, ...findStrangers(this.places, [...around])];
        this.scatter.above = [new Set(isOne ? members : []), new Set(strangers.map(({ index }) => index))];
        this.scatter.request();
    }

    listStrangers() {
        const members = this.chosen < 0 ? this.indices : this.indices.filter((index) => photos.class[index] === this.chosen);
        const found = findStrangers(this.places, members);
        const strangers = found.slice(0, MOST_STRANGERS);
        this.raise(members, found);
        const words = new Map(strangers.map(({ index, strangers: others, of: near, likeliest }) => [index, `${others} of ${near} near: ${classLabel(likeliest)}`]));
        const of = this.chosen < 0 ? "Photos" : ["Photos of ", element("bdi", {}, classLabel(this.chosen))];
        const host = element("div", {});
        this.strangers.replaceChildren(
            element("h3", {}, of, " among photos of other classes"),
            element("p", { class: "hint" }, strangers.length ? "Most of the ten nearest photos on the map have another class. Those with the most such neighbours come first." : "There are none."),
            host,
        );
        if (strangers.length) {
            this.fillGrid("strangers", host, { indices: strangers.map(({ index }) => index), caption: (index) => words.get(index), label: "Photos among photos of other classes" });
        }
    }
}

function classCounts(found) {
    const counts = new Map();
    found.forEach((index) => counts.set(photos.class[index], (counts.get(photos.class[index]) ?? 0) + 1));
    const sorted = [...counts].sort((one, other) => other[1] - one[1]);
    const parts = sorted.slice(0, 6).map(([place, count]) => [element("bdi", {}, classLabel(place)), ` ${number(count)}`]);
    const rest = sorted.length - parts.length;
    return [parts.map((part, place) => (place ? [", ", part] : part)), rest ? `, and ${counted(rest, "other class", "other classes")}` : ""];
}

/** The map of photos by their embeddings. */
export const mapView = {
    id: "map",
    title: "Map",
    count: () => mappedPhotos().length,
    open(host, query) {
        if (!mappedPhotos().length) {
            host.append(element("p", { class: "chart-empty" }, "There is no map: stage audit had too few photos."));
            return () => {};
        }
        const view = new MapView(host, query);
        return () => view.stop();
    },
};
