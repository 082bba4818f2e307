// What the baseline takes for what: the matrix of the test photos, and the photos of each cell.
import { classLabel, page, photoCount, photos } from "./data.js";
import { announce, counted, debounce, element, number, share } from "./dom.js";
import { photoGrid } from "./grid.js";

const SHOWN_CLASSES = 25;
const SHOWN_PAIRS = 10;
const STRONGEST = 60;

/**
 * Count the answers to the test photos.
 *
 * Returns classes (those with a photo or an answer), cells (the photos by "class answer"), and photos by class.
 */
function countAnswers() {
    const cells = new Map();
    const asked = new Map();
    const classes = new Set();
    for (let index = 0; index < photoCount; index += 1) {
        const [own, answer] = [photos.class[index], photos.answer[index]];
        if (answer >= 0 && own >= 0) {
            const key = `${own} ${answer}`;
            if (!cells.has(key)) {
                cells.set(key, []);
            }
            cells.get(key).push(index);
            asked.set(own, (asked.get(own) ?? 0) + 1);
            classes.add(own).add(answer);
        }
    }
    cells.forEach((members) => members.sort(surestFirst));
    return { cells, asked, classes: [...classes].sort((one, other) => one - other) };
}

function surestFirst(one, other) {
    return photos.probability[other] - photos.probability[one] || one - other;
}

/** Return the confused pairs, the most photos first: class, answer, and photos. */
function confusedPairs(answers) {
    const pairs = [];
    for (const [key, members] of answers.cells) {
        const [own, answer] = key.split(" ").map(Number);
        if (own !== answer) {
            pairs.push({ own, answer, members, share: members.length / answers.asked.get(own) });
        }
    }
    return pairs.sort((one, other) => other.members.length - one.members.length || other.share - one.share || one.own - other.own);
}

// The classes that the matrix shows by name. All others are one row and one column.
function classesToShow(answers, pairs, wanted) {
    if (answers.classes.length <= SHOWN_CLASSES && !wanted) {
        return answers.classes;
    }
    const chosen = new Set();
    if (wanted) {
        answers.classes.filter((place) => classLabel(place).toLocaleLowerCase().includes(wanted)).slice(0, SHOWN_CLASSES).forEach((place) => chosen.add(place));
        const found = new Set(chosen);
        pairs.filter((pair) => found.has(pair.own) !== found.has(pair.answer)).forEach((pair) => addUpTo(chosen, pair));
    } else {
        pairs.forEach((pair) => addUpTo(chosen, pair));
    }
    return answers.classes.filter((place) => chosen.has(place));
}

function addUpTo(chosen, pair) {
    for (const place of [pair.own, pair.answer]) {
        if (chosen.size < SHOWN_CLASSES) {
            chosen.add(place);
        }
    }
}

// Rows and columns of the matrix: one class each, and "other", which is -1.
function sumCells(answers, shown) {
    const known = new Set(shown);
    const places = shown.length < answers.classes.length ? [...shown, -1] : shown;
    const sums = new Map();
    for (const [key, members] of answers.cells) {
        const [own, answer] = key.split(" ").map((place) => (known.has(Number(place)) ? Number(place) : -1));
        const cell = sums.get(`${own} ${answer}`) ?? [];
        members.forEach((index) => cell.push(index));
        sums.set(`${own} ${answer}`, cell);
    }
    sums.forEach((cell) => cell.sort(surestFirst));
    const totals = new Map(places.map((own) => [own, places.reduce((sum, answer) => sum + (sums.get(`${own} ${answer}`)?.length ?? 0), 0)]));
    return { places, sums, totals };
}

const cellName = (place) => (place < 0 ? "other classes" : classLabel(place));

function matrixCell(own, answer, members, total, withShare) {
    const part = total ? members.length / total : 0;
    const right = own === answer && own >= 0;
    const count = members.length ? number(members.length) : "";
    const cell = element(
        "td",
        { class: right ? "cell cell-right" : "cell cell-wrong", tabindex: "-1", "data-own": own, "data-answer": answer, "aria-label": `${cellName(own)} taken for ${cellName(answer)}: ${counted(members.length, "photo")}, ${share(part)}` },
        count ? element("span", {}, count) : null,
        count && withShare ? element("span", { class: "cell-share" }, share(part)) : null,
    );
    cell.style.setProperty("--strength", `${Math.round(STRONGEST * Math.sqrt(part))}%`);
    return cell;
}

class Matrix {
    constructor(choose) {
        this.choose = choose;
        this.table = element("table", { class: "matrix", role: "grid", "aria-label": "Confusion matrix: rows are classes, columns are answers" });
        this.element = element("div", { class: "wide" }, this.table);
        this.table.addEventListener("click", (event) => this.enter(event.target.closest("td.cell")));
        this.table.addEventListener("keydown", (event) => this.onKey(event));
        this.at = [0, 0];
    }

    draw({ places, sums, totals }) {
        this.data = { places, sums };
        const withShare = places.length <= 12;
        const heads = places.map((answer) => element("th", { scope: "col", class: "matrix-answer", title: cellName(answer) }, element("span", {}, element("bdi", {}, cellName(answer)))));
        this.cells = places.map((own) => places.map((answer) => matrixCell(own, answer, sums.get(`${own} ${answer}`) ?? [], totals.get(own), withShare)));
        const rows = places.map((own, place) =>
            element("tr", {}, element("th", { scope: "row", title: cellName(own) }, element("bdi", {}, cellName(own)), element("span", { class: "hint" }, ` ${number(totals.get(own))}`)), this.cells[place]),
        );
        const corner = element("th", { scope: "col", class: "matrix-corner" }, "class ↓ answer →");
        this.table.replaceChildren(element("thead", {}, element("tr", {}, corner, heads)), element("tbody", {}, rows));
        this.table.classList.toggle("matrix-small", withShare);
        this.at = [0, 0];
        if (this.cells.length) {
            this.cells[0][0].tabIndex = 0;
        }
    }

    onKey(event) {
        const [row, column] = this.at;
        const last = this.cells.length - 1;
        const [start, end] = event.ctrlKey ? [[0, 0], [last, last]] : [[row, 0], [row, last]];
        const moves = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], Home: start, End: end };
        if (event.key === "Enter" || event.key === " ") {
            event.preventDefault();
            this.enter(event.target.closest("td.cell"));
        } else if (moves[event.key]) {
            event.preventDefault();
            this.focus(...moves[event.key]);
        }
    }

    focus(row, column) {
        const last = this.cells.length - 1;
        const to = [Math.min(Math.max(row, 0), last), Math.min(Math.max(column, 0), last)];
        this.cells[this.at[0]][this.at[1]].tabIndex = -1;
        this.at = to;
        const cell = this.cells[to[0]][to[1]];
        cell.tabIndex = 0;
        cell.focus();
    }

    enter(cell) {
        if (!cell) {
            return;
        }
        const [own, answer] = [Number(cell.dataset.own), Number(cell.dataset.answer)];
        const { places } = this.data;
        this.cells[this.at[0]][this.at[1]].tabIndex = -1;
        this.at = [places.indexOf(own), places.indexOf(answer)];
        cell.tabIndex = 0;
        this.choose(own, answer, this.data.sums.get(`${own} ${answer}`) ?? []);
    }

    mark(own, answer) {
        for (const cell of this.table.querySelectorAll("td.cell")) {
            const chosen = Number(cell.dataset.own) === own && Number(cell.dataset.answer) === answer;
            cell.setAttribute("aria-selected", String(chosen));
        }
    }
}

function pairTable(pairs, choose) {
    const row = (pair) =>
        element(
            "tr",
            {},
            element("th", { scope: "row" }, element("bdi", {}, classLabel(pair.own))),
            element("td", {}, element("bdi", {}, classLabel(pair.answer))),
            element("td", { class: "number" }, number(pair.members.length)),
            element("td", { class: "number" }, share(pair.share)),
            element("td", {}, element("button", { type: "button", class: "button", on: { click: () => choose(pair.own, pair.answer, pair.members) }, "aria-label": `Photos of ${classLabel(pair.own)} taken for ${classLabel(pair.answer)}` }, "Photos")),
        );
    const heads = ["class", "taken for"].map((name) => element("th", { scope: "col" }, name));
    const numbers = ["photos", "of the class"].map((name) => element("th", { scope: "col", class: "number" }, name));
    const head = element("thead", {}, element("tr", {}, heads, numbers, element("td", {})));
    const table = (some) => element("div", { class: "wide" }, element("table", { class: "pair-table" }, head.cloneNode(true), element("tbody", {}, some.map(row))));
    const rest = pairs.slice(SHOWN_PAIRS);
    const more = element("details", { hidden: !rest.length }, element("summary", {}, `${number(rest.length)} more pairs`));
    more.addEventListener("toggle", () => more.children.length === 1 && more.append(table(rest)), { once: true });
    return [table(pairs.slice(0, SHOWN_PAIRS)), more];
}

function cellPhotos() {
    const heading = element("h4", {});
    const link = element("a", {}, "Open in Photos");
    const host = element("div", {});
    const caption = (index) => `${share(photos.probability[index])} ${classLabel(photos.answer[index])}`;
    const section = element("section", { class: "chosen", hidden: true }, heading, element("p", {}, link), host);
    let grid = null;
    const show = (own, answer, members, after, tells) => {
        after.after(section);
        section.hidden = false;
        heading.textContent = `${cellName(own)} taken for ${cellName(answer)}: ${counted(members.length, "photo")}, the surest answer first`;
        link.hidden = own < 0 || answer < 0;
        link.href = `#photos?class=${own}&answer=${answer}`;
        grid ??= photoGrid(host, { indices: [], caption, label: "Photos of the cell" });
        grid.show(members);
        if (!tells) {
            return;
        }
        // The focus stays in the matrix, for the next cell. Tab goes on to the photos.
        announce(`${heading.textContent}. They follow below.`);
        section.scrollIntoView({ block: "nearest" });
    };
    return { show, close: () => grid?.close() };
}

function matrixFilter(answers, redraw) {
    const search = element("input", { type: "search", placeholder: "Filter by class", "aria-label": "Show the classes with this name, and what they are confused with" });
    search.addEventListener("input", debounce(() => redraw(search.value.trim().toLocaleLowerCase()), 150));
    return element("div", { class: "table-bar", hidden: answers.classes.length <= 10 }, search);
}

function summarizeAnswers(answers, pairs) {
    const asked = [...answers.asked.values()].reduce((sum, count) => sum + count, 0);
    const wrong = pairs.reduce((sum, pair) => sum + pair.members.length, 0);
    const of = page.sampled ? " Of the photos that this page shows, it" : " It";
    return `The baseline is a simple classifier.${of} named ${number(asked - wrong)} of ${counted(asked, "test photo")} right, and ${number(wrong)} wrong. Its mistakes show where classes are alike, and where labels are wrong.`;
}

function openMatrix(host, query, answers) {
    const pairs = confusedPairs(answers);
    const { show, close } = cellPhotos();
    // The photos come right below what they were chosen in.
    const choose = (after, own, answer, members, tells = true) => {
        matrix.mark(own, answer);
        show(own, answer, members, after, tells);
    };
    const matrix = new Matrix((...cell) => choose(matrix.element, ...cell));
    const note = element("p", { class: "hint" });
    const redraw = (wanted) => {
        const shown = classesToShow(answers, pairs, wanted);
        matrix.draw(sumCells(answers, shown));
        const rest = answers.classes.length - shown.length;
        note.textContent = rest ? `${counted(shown.length, "class", "classes")} by name, ${number(rest)} together as "other classes". ` : "";
        note.append("Colour is the share of the row. Choose a cell with a click, or with arrow keys and Enter, to see its photos.");
    };
    const large = answers.classes.length > SHOWN_CLASSES;
    const matrixPart = [element("h3", {}, "Matrix"), matrixFilter(answers, redraw), note, matrix.element];
    const pairList = element("div", {});
    pairList.append(...pairTable(pairs, (...cell) => choose(pairList, ...cell)));
    const pairPart = [element("h3", {}, "Most confused pairs"), pairList];
    const parts = large ? [...pairPart, ...matrixPart] : [...matrixPart, ...pairPart];
    host.append(element("p", {}, summarizeAnswers(answers, pairs)), ...parts);
    redraw("");
    const [own, answer] = [Number(query.get("class") ?? -1), Number(query.get("answer") ?? -1)];
    if (own >= 0 && answer >= 0) {
        choose(matrix.element, own, answer, answers.cells.get(`${own} ${answer}`) ?? [], false);
    }
    return close;
}

let answersOfPage = null;

// The answers do not change while the page is open.
function knownAnswers() {
    answersOfPage ??= countAnswers();
    return answersOfPage;
}

/** Confusion: the answers of the baseline, and the photos of each. */
export const confusionView = {
    id: "confusion",
    title: "Confusion",
    count: () => confusedPairs(knownAnswers()).reduce((sum, pair) => sum + pair.members.length, 0),
    open(host, query) {
        const answers = knownAnswers();
        if (answers.cells.size) {
            return openMatrix(host, query, answers);
        }
        host.append(element("p", { class: "chart-empty" }, page.baseline?.note ?? "The baseline answered no photo of this page."));
        return () => {};
    },
};
