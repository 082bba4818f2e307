// What a person decided about photos: marks. They survive a reload, and become rows for tools.suspects --apply.

import { catalogName, classLabel, classOfCatalogId, inWords, isFoundAs, LISTED_IN, page, photoCount, photoOf, photos, suspicionOf } from "./data.js";
import { REASON_WORDS } from "./reasons.js";
import { readStorage, writeStorage } from "./storage.js";

const STORAGE_KEY = `imageset-marks-${page.digest}`;
const PROBE_KEY = "imageset-probe"; // it stays, as it says nothing
const CSV_COLUMNS = [
    "product_id",
    "position",
    "action",
    "catalog_id",
    "reason",
    "note",
    "by",
    "date",
    "class",
    "kind",
    "rank",
];
const EMPTY_ROW = Object.fromEntries(CSV_COLUMNS.map((column) => [column, ""]));
const ACTIONS = ["exclude", "relabel", "right"];
const LARGEST_POSITION = 2 ** 15 - 1;
const KEY_PATTERN = /^[^\p{Cc}]{1,255}\/[0-9]{1,5}$/u; // an id may be any text
const REASON_PATTERN = /^[a-z][a-z0-9_]{0,39}$/;

const markListeners = new Set();
const undoSteps = [];
const redoSteps = [];
let storageFails = !writeStorage(PROBE_KEY, "1");
let knownProducts = null;
// marks: by product_id/position, so that a page of the same dataset with another sample finds them.
let markState = readStored() ?? { marks: {}, by: "", note: "", saved: "" };

function readStored() {
    try {
        const text = readStorage(STORAGE_KEY);
        return text ? checkStored(JSON.parse(text)) : null;
    } catch {
        return null; // no JSON
    }
}

// People and other versions may have written there: only what this page could have written counts.
function checkStored(stored) {
    const textOf = (name) => (typeof stored?.[name] === "string" ? stored[name] : "");
    const known = Object.entries(stored?.marks ?? {}).filter(([key, mark]) => KEY_PATTERN.test(key) && isMark(mark));
    const marks = known.map(([key, mark]) => [key, { ...mark, class: isId(mark.class) ? mark.class : undefined }]);
    return { marks: Object.fromEntries(marks), by: textOf("by"), note: textOf("note"), saved: textOf("saved") };
}

function isMark(mark) {
    const { action, reason, catalog_id: catalogId, note = "", date = "", by = "", kind = "", rank = "" } = mark ?? {};
    const isNamed = { exclude: isReason(reason), relabel: isId(catalogId), right: true }[action] ?? false;
    const isKind = kind === "" || Object.hasOwn(LISTED_IN, kind);
    return isNamed && isKind && [note, date, by].every((text) => typeof text === "string") && (rank === "" || isWhole(rank));
}

function isReason(reason) {
    return typeof reason === "string" && REASON_PATTERN.test(reason);
}

function isWhole(value) {
    return ["number", "string"].includes(typeof value) && /^-?[0-9]{1,19}$/.test(String(value));
}

function isId(value) {
    return ["number", "string"].includes(typeof value) && /^[^\p{Cc}]{1,255}$/u.test(String(value));
}

// Another tab may have written meanwhile. So a change is made to what is stored now, and to that photo alone.
function changeStored(change) {
    if (!storageFails) {
        markState = readStored() ?? markState;
    }
    change(markState);
    storageFails = !writeStorage(STORAGE_KEY, JSON.stringify(markState));
}

addEventListener("storage", (event) => {
    if (event.key === STORAGE_KEY || event.key === null) {
        markState = readStored() ?? { marks: {}, by: "", note: "", saved: "" };
        tellListeners(null);
    }
});

addEventListener("beforeunload", (event) => {
    if (storageFails && !isSaved()) {
        event.preventDefault();
        event.returnValue = "unsaved"; // what browsers of 2024 ask for
    }
});

/** Whether the browser keeps marks: not in private windows, and not for pages from the disk in some browsers. */
export function marksAreKept() {
    return !storageFails;
}

function markKeyOf(index) {
    return `${photos.product_id[index]}/${photos.position[index]}`;
}

/**
 * Say why a mark is not possible: what tools.suspects --apply would refuse. "" if it is possible.
 * `toClass` is the class of a relabel.
 */
export function whyNotMark(index, action, toClass = -1) {
    const decided = photos.decided[index];
    if (!isKnownProduct(photos.product_id[index])) {
        return "no table knows this product, so no correction can name it";
    }
    if (photos.position[index] < 0 || photos.position[index] > LARGEST_POSITION) {
        return "the photo's position is no number that a correction can name";
    }
    if (decided === 2) {
        return "a person excluded it already; to change that, edit its row in corrections/exclusions.csv";
    }
    if (action === "right" && (photos.class[index] < 0 || photos.reject[index] >= 0)) {
        return "it has no class in the dataset that could be right";
    }
    if (action === "relabel" && toClass < 0) {
        return "there is no suggestion: choose a class (c)";
    }
    if (action === "relabel" && decided === 1 && toClass !== photos.class[index]) {
        return "a person gave it its class already; to change that, edit its row in corrections/labels.csv";
    }
    return "";
}

/** Say why a photo cannot be given another class than its own. "" if it can. */
export function whyNotAnotherClass(index) {
    return whyNotMark(index, "relabel", photos.class[index] === 0 ? 1 : 0);
}

// The products of labels.csv and groups.csv, as --apply knows them.
function isKnownProduct(productId) {
    if (knownProducts === null) {
        knownProducts = new Set(Object.keys(page.label_rows));
        for (let index = 0; index < photoCount; index += 1) {
            if (photos.group_size[index] > 0) {
                knownProducts.add(photos.product_id[index]);
            }
        }
    }
    return knownProducts.has(productId);
}

/** Say why a word cannot be a reason of an exclusion. "" if it can. */
export function whyNotReason(reason) {
    if (!REASON_PATTERN.test(reason)) {
        return "Write one word of small letters a to z, digits and _, at most 40 characters.";
    }
    return Object.hasOwn(REASON_WORDS, reason) ? "A stage gives this reason. Take another word." : "";
}

/**
 * Mark photos, as one step of undo: {action: "exclude" | "relabel" | "right", toClass, reason, note, kind, date, by (who
 * decided, where a file says so; else it is who saves the marks)}, or a function that returns this for a photo. Returns {set: how many, refused: [{photo, why}]}.
 */
export function setMark(indices, mark) {
    const changes = [];
    const refused = [];
    const date = utcNow(); // of marks that a file does not date
    for (const index of indices) {
        const wanted = plainAction(index, typeof mark === "function" ? mark(index) : mark);
        const why = whyNotMark(index, wanted.action, wanted.toClass ?? -1);
        if (why) {
            refused.push({ photo: index, why });
        } else {
            changes.push([
                markKeyOf(index),
                markState.marks[markKeyOf(index)],
                makeMark(index, wanted, wanted.date || date),
            ]);
        }
    }
    takeStep(changes);
    return { set: changes.length, refused };
}

function utcNow() {
    return new Date().toISOString().replace(/\.\d+Z$/, "+00:00");
}

// A photo that is given the class that it has is right as it is.
function plainAction(index, mark) {
    const isSame = mark.action === "relabel" && mark.toClass === photos.class[index];
    return isSame && !whyNotMark(index, "right") ? { ...mark, action: "right" } : mark;
}

function makeMark(index, { action, toClass, reason, note, kind, by }, date) {
    const made = { action, date };
    if (action === "relabel") {
        made.catalog_id = page.classes.catalog_id[toClass];
    }
    if (action === "exclude") {
        made.reason = reason;
    }
    if (note) {
        made.note = note;
    }
    if (by) {
        made.by = by;
    }
    if (photos.class[index] >= 0) {
        made.class = page.classes.catalog_id[photos.class[index]];
    }
    if (kind && isFoundAs(index, kind)) {
        made.kind = kind;
        made.rank = suspicionOf(index, kind)?.rank ?? "";
    }
    return made;
}

/** Remove the marks of photos, as one step of undo. Returns how many there were. */
export function clearMark(indices) {
    const keys = indices.map(markKeyOf).filter((key) => markState.marks[key]);
    return clearMarkKeys(keys);
}

/** Remove marks by their keys (as allMarks has them): also those of photos that the page does not have. */
export function clearMarkKeys(keys) {
    takeStep(keys.map((key) => [key, markState.marks[key], undefined]));
    return keys.length;
}

/** Write a note to the mark of a photo, as one step of undo. */
export function setNote(key, note) {
    const before = markState.marks[key];
    if (before && (before.note ?? "") !== note) {
        takeStep([[key, before, { ...before, note }]]);
    }
}

function takeStep(changes) {
    if (changes.length) {
        undoSteps.push(changes);
        redoSteps.length = 0;
        applyChanges(changes.map(([key, , after]) => [key, after]));
    }
}

function applyChanges(changes) {
    changeStored(({ marks }) => {
        for (const [key, mark] of changes) {
            if (mark) {
                marks[key] = mark;
            } else {
                delete marks[key];
            }
        }
    });
    tellListeners(new Set(changes.map(([key]) => photoOfKey(key))));
}

/** Undo the last step. Returns how many marks it changed: 0 if there is nothing to undo. */
export function undo() {
    const step = undoSteps.pop();
    if (!step) {
        return 0;
    }
    redoSteps.push(step);
    applyChanges(step.map(([key, before]) => [key, before]));
    return step.length;
}

/** Do the last undone step again. Returns how many marks it changed. */
export function redo() {
    const step = redoSteps.pop();
    if (!step) {
        return 0;
    }
    undoSteps.push(step);
    applyChanges(step.map(([key, , after]) => [key, after]));
    return step.length;
}

/** How many steps undo and redo have. */
export function stepCounts() {
    return { undo: undoSteps.length, redo: redoSteps.length };
}

/** The mark of a photo, or null: {action, toClass, reason, note, kind, rank, date, by}. */
export function markOf(index) {
    const mark = markState.marks[markKeyOf(index)];
    return mark ? withClass(mark) : null;
}

function withClass(mark) {
    return { ...mark, toClass: mark.catalog_id === undefined ? -1 : classOfCatalogId(mark.catalog_id) };
}

/** All marks, by product and position: {key, photo (-1 if the page does not have it), action, toClass, reason, ...}. */
export function allMarks() {
    const marks = Object.entries(markState.marks).map(([key, mark]) => ({
        key,
        photo: photoOfKey(key),
        ...withClass(mark),
    }));
    // Photos are in the order of product_id and position. Those that the page does not have come last.
    return marks.sort((one, other) =>
        one.photo < 0 || other.photo < 0 ? other.photo - one.photo : one.photo - other.photo,
    );
}

/** How many photos are marked. */
export function markCount() {
    return Object.keys(markState.marks).length;
}

function photoOfKey(key) {
    const place = key.lastIndexOf("/");
    return photoOf(key.slice(0, place), Number(key.slice(place + 1)));
}

/** A mark in words: "relabel to dress". */
export function describeMark({ action, catalog_id: catalogId, reason }) {
    if (action === "relabel") {
        return `relabel to ${catalogName(catalogId)}`;
    }
    return action === "exclude" ? `exclude, ${inWords(reason)}` : "right as it is";
}

/** What a mark makes of a photo, for captions: "shirt → dress" or "excluded: off topic"; "" where it keeps its class. */
export function markChange(index) {
    const mark = markOf(index);
    if (!mark || mark.action === "right") {
        return "";
    }
    return mark.action === "exclude" ? shortMark(mark) : `${classLabel(photos.class[index])} ${shortMark(mark)}`;
}

/** A mark as short as a list has room for: "→ dress", "excluded: off topic" or "right". */
export function shortMark({ action, catalog_id: catalogId, reason }) {
    if (action === "relabel") {
        return `→ ${catalogName(catalogId)}`;
    }
    return action === "exclude" ? `excluded: ${inWords(reason)}` : "right";
}

/** Call a listener after every change, with the set of the photos that changed, or null for all. Returns a stop. */
export function onMarks(listener) {
    markListeners.add(listener);
    return () => markListeners.delete(listener);
}

function tellListeners(changed) {
    markListeners.forEach((listener) => listener(changed));
}

/** Who decides, and the note of marks without their own: {by, note}. */
export function remarks() {
    return { by: markState.by, note: markState.note };
}

/** Keep {by} or {note} for the file. They are no step of undo. */
export function setRemarks(changed) {
    changeStored((stored) => Object.assign(stored, changed));
    tellListeners(new Set());
}

/** The marks as rows for `python -m tools.suspects --apply`. */
export function correctionsCsv() {
    const rows = allMarks().map((mark) => {
        const place = mark.key.lastIndexOf("/");
        const cells = { ...mark, product_id: mark.key.slice(0, place), position: mark.key.slice(place + 1) };
        for (const name of ["product_id", "catalog_id", "class"]) {
            cells[name] = cellOfId(String(cells[name] ?? ""));
        }
        cells.note = asText(mark.note || markState.note);
        cells.by = asText(mark.by || markState.by);
        cells.date = asText(mark.date ?? "");
        return CSV_COLUMNS.map((column) => csvCell(cells[column] ?? ""));
    });
    return [CSV_COLUMNS, ...rows].map((cells) => `${cells.join(",")}\n`).join("");
}

// A spreadsheet takes these for a formula, as imageset/formats/hand_edited.py says. Line ends would be right in CSV, and
// hard to read in a diff.
function asText(text) {
    const line = text.replace(/[\s\0]+/g, " ").trim();
    return /^[=+\-@＝＋－＠]/.test(line) ? `'${line}` : line;
}

// An id has to come back as it was, so one that has such a ' already gets another one.
function cellOfId(id) {
    return /^'*[=+\-@＝＋－＠]/.test(id) ? `'${id}` : id;
}

function idOfCell(cell) {
    return /^'+[=+\-@＝＋－＠]/.test(cell) ? cell.slice(1) : cell;
}

function csvCell(value) {
    const text = String(value);
    return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Whether the last saved file has all marks as they are now, and no other. */
export function isSaved() {
    return markState.saved === "" ? markCount() === 0 : markState.saved === signature();
}

/** Remember that the marks were saved as they are. */
export function noteSaved() {
    changeStored((stored) => {
        stored.saved = signature();
    });
    tellListeners(new Set());
}

// A short sum (FNV-1a of each mark, in any order): enough to see that something changed.
function signature() {
    let sum = sumOf(`${markState.by}\n${markState.note}`);
    for (const [key, { action, catalog_id: catalogId, reason, note, by }] of Object.entries(markState.marks)) {
        sum = (sum + sumOf(`${key} ${action} ${catalogId} ${reason} ${note} ${by}`)) >>> 0;
    }
    return sum.toString(16);
}

function sumOf(text) {
    let sum = 2166136261;
    for (let place = 0; place < text.length; place += 1) {
        sum = Math.imul(sum ^ text.charCodeAt(place), 16777619) >>> 0;
    }
    return sum;
}

/** Mark the photos of a saved file, as one step of undo. Returns {set, refused: [{line, why}]}. */
export function loadCorrections(text) {
    const [header = { cells: [] }, ...rows] = parseCsv(text);
    const columns = header.cells.map((name) => name.trim().toLowerCase());
    if (!["product_id", "position", "action"].every((column) => columns.includes(column))) {
        return { set: 0, refused: [{ line: header.line ?? 1, why: "the first line has no columns product_id, position and action" }] };
    }
    const marks = new Map();
    const refused = [];
    for (const row of rows.map(({ line, cells }) => readRow(line, columns, cells)).sort(productsFirst)) {
        const wanted = wantedOf(row);
        const found = photosOfRow(row);
        const why = wanted.action ? whyNotRow(found, wanted, row) || whyContradicted(found, wanted, marks) : "";
        if (why) {
            refused.push({ line: row.line, why });
        } else if (wanted.action) {
            found.forEach((index) => marks.set(index, wanted));
        }
    }
    const result = setMark([...marks.keys()], (index) => marks.get(index));
    return { set: result.set, refused: [...refused.sort((one, other) => one.line - other.line), ...result.refused] };
}

// A file may have some of the columns. Those that it lacks are empty.
function readRow(line, columns, cells) {
    const given = columns.map((column, place) => [column, (cells[place] ?? "").trim()]);
    return { ...EMPTY_ROW, ...Object.fromEntries(given), line };
}

// A row of a photo wins over one of its whole product, wherever it is in the file.
function productsFirst(one, other) {
    return Number(one.position !== "") - Number(other.position !== "") || one.line - other.line;
}

// A mark as setMark takes it, with the row's line, and whether it is of one photo.
function wantedOf({ action, catalog_id: catalogId, position, reason, note, date, by, kind, line }) {
    const known = Object.hasOwn(LISTED_IN, kind) ? kind : "";
    const mark = { action: action.toLowerCase(), toClass: classOfCell(catalogId), reason, note, date, by, kind: known };
    return { ...mark, line, isOfPhoto: position !== "" };
}

// Spreadsheets write 7.0 for 7.
function classOfCell(cell) {
    const found = classOfCatalogId(idOfCell(cell));
    return found >= 0 ? found : classOfCatalogId(cell.replace(/^([0-9]+)\.0*$/, "$1"));
}

function photosOfRow({ product_id: cell, position }) {
    const productId = idOfCell(cell);
    if (position) {
        return [photoOf(productId, Number(position))].filter((index) => index >= 0);
    }
    return [...photos.product_id.keys()].filter((index) => photos.product_id[index] === productId);
}

function whyNotRow(found, { action, reason, toClass }, row) {
    if (!ACTIONS.includes(action)) {
        return `action ${action} is not one of ${ACTIONS.join(", ")}`;
    }
    if (action === "right" && !row.position) {
        return "action right needs the position of one photo";
    }
    if (!found.length) {
        return "the page does not have this photo";
    }
    const own = photos.class[found[0]];
    if (action === "right" && own >= 0 && row.class && classOfCell(row.class) !== own) {
        return `the photo has class ${page.classes.catalog_id[own]} by now, not ${row.class}: look at it again`;
    }
    if (action === "relabel" && toClass < 0) {
        return "the page does not have this class";
    }
    return action === "exclude" ? whyNotReason(reason) : "";
}

// Of two rows of one photo, or of one product, nobody knows which is meant.
function whyContradicted(found, wanted, marks) {
    const other = found.map((index) => ({ index, before: marks.get(index) })).find(
        ({ index, before }) => before?.isOfPhoto === wanted.isOfPhoto && decisionOfRow(index, before) !== decisionOfRow(index, wanted),
    );
    return other ? `it contradicts line ${other.before.line}` : "";
}

function decisionOfRow(index, { action, toClass, reason }) {
    return action === "exclude" ? `exclude ${reason}` : `class ${action === "right" ? photos.class[index] : toClass}`;
}

/**
 * Parse CSV: quotes, and commas, semicolons or tabs between the cells, as spreadsheets write it.
 *
 * Returns {line, cells} of each row that is not empty: the line of the file on which it starts, from 1.
 */
function parseCsv(text) {
    const plain = text.replace(/^\ufeff/, "");
    const firstLine = plain.split(/[\r\n]/, 1)[0];
    const delimiter = [",", ";", "\t"].sort(
        (one, other) => firstLine.split(other).length - firstLine.split(one).length,
    )[0];
    const rows = [{ line: 1, cells: [] }];
    let line = 1;
    const cell = new RegExp(`(?:"((?:[^"]|"")*)"|([^${delimiter}\r\n]*))(${delimiter}|\r\n?|\n|$)`, "y");
    while (cell.lastIndex < plain.length) {
        const found = cell.exec(plain);
        if (!found) {
            break;
        }
        rows.at(-1).cells.push(found[1] === undefined ? found[2] : found[1].replaceAll('""', '"'));
        line += found[0].match(/\r\n?|\n/g)?.length ?? 0; // a text in quotes may have several lines
        if (found[3] !== delimiter) {
            rows.push({ line, cells: [] });
        }
    }
    return rows.filter(({ cells }) => cells.some((each) => each.trim()));
}
