// Marks by keyboard, and the dialogs that ask for a class or a reason. Keys act only while the focus is on photos.

import { classLabel, inWords, page, photoLabel, photos, suspicionOf, suspicionsOf } from "./data.js";
import { openDialog } from "./dialog.js";
import { announce, button, counted, element, number, uniqueId } from "./dom.js";
import { clearMark, describeMark, markOf, redo, setMark, undo, whyNotAnotherClass, whyNotReason } from "./marks.js";
import { nearest } from "./nearest.js";
import { picture, sheetTile } from "./pictures.js";
import { HELP_OF_REASONS } from "./reasons.js";

const LIKELY_NEIGHBOURS = 24;
const lastReasons = new Map(); // by kind of suspect, "" for none

/** All keys, for the help: where they act, the key, what it does. */
const KEY_HELP = [
    [
        "On photos: in a grid, on a card, in a photo's dialog",
        [
            ["x", "exclude; Shift + X chooses another reason"],
            ["r", "relabel to the suggested class; without one, as c"],
            ["c", "choose another class"],
            ["y", "right as it is"],
            ["e", "remove the mark"],
            ["u", "undo; Ctrl + Z everywhere"],
            ["Shift + U", "redo; Ctrl + Y everywhere"],
            ["?", "this help"],
        ],
    ],
    [
        "In a grid",
        [
            ["Arrows", "go to the next photo"],
            ["Page Up, Page Down", "previous page, next page"],
            ["Home, End", "first and last photo of the page; with Ctrl of all pages"],
            ["Space", "select or unselect the photo"],
            ["Shift + arrows", "select what you pass over"],
            ["Ctrl + A", "select all photos of the page"],
            ["Escape", "select nothing"],
            ["Enter", "open the photo"],
        ],
    ],
    [
        "On a card",
        [
            ["j, Down; k, Up", "next card, previous card"],
            ["Page Up, Page Down", "ten cards back, ten cards on"],
            ["Home, End", "first card, last card"],
            ["Left, Right", "the other photo of a pair; elsewhere the previous or next card"],
            ["Enter", "open the photo"],
        ],
    ],
    [
        "In a photo's dialog",
        [
            ["Left, Right", "previous photo, next photo"],
            ["Escape", "close it"],
        ],
    ],
];

/** Whether a key belongs to a text field or a list that has the focus. */
export function isTyping(event) {
    return (
        event.target.matches?.("input:not([type=checkbox]):not([type=radio]):not([type=button]), textarea, select") ??
        false
    );
}

/**
 * Do what a key says to photos. Options: kind (of suspect, so that reason and rank follow it), suggestion (a class;
 * without it, each photo's own), reason (of an exclusion). Returns true if the key was one of these.
 */
export function markKeys(event, indices, options = {}) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event)) {
        return false;
    }
    const actions = {
        x: () => excludePhotos(indices, options),
        X: () => chooseReason(indices, options),
        r: () => relabelPhotos(indices, options),
        c: () => chooseClass(indices, options),
        y: () => sayMarks(indices, setMark(indices, { action: "right", kind: options.kind })),
        e: () => clearPhotos(indices),
        u: () => undoMark(),
        U: () => redoMark(),
        "?": () => openHelp(),
    };
    const action = Object.hasOwn(actions, event.key) ? actions[event.key] : null;
    if (!action) {
        return false;
    }
    event.preventDefault();
    action();
    return true;
}

/** The reason of an exclusion of suspects of a kind: the usual one, else the one that was chosen last for it, else "". */
export function usualReason(kind) {
    return page.default_reasons[kind] || (kind && lastReasons.get(kind)) || "";
}

/** Exclude photos with the reason given, or the usual one of the kind; without one, ask for it. */
export function excludePhotos(indices, { kind, reason: given } = {}) {
    const reason = given ?? usualReason(kind);
    return reason
        ? sayMarks(indices, setMark(indices, { action: "exclude", reason, kind }))
        : chooseReason(indices, { kind });
}

/** Relabel photos to the suggestion. One photo without a suggestion: ask for the class. */
export function relabelPhotos(indices, { kind, suggestion } = {}) {
    const classFor = (index) => suggestion ?? suggestionOf(index);
    if (indices.every((index) => classFor(index) < 0)) {
        return chooseClass(indices, { kind });
    }
    return sayMarks(
        indices,
        setMark(indices, (index) => ({ action: "relabel", toClass: classFor(index), kind: kind ?? "label" })),
    );
}

/** The class that the audit suggests for a photo, -1 without one. */
export function suggestionOf(index) {
    return suspicionOf(index, "label")?.suggestion ?? -1;
}

/** Mark photos as right, and say so. */
export function confirmPhotos(indices, { kind } = {}) {
    return sayMarks(indices, setMark(indices, { action: "right", kind }));
}

/** Remove the marks of photos, and say so. */
export function clearPhotos(indices) {
    const count = clearMark(indices);
    announce(count ? `${counted(count, "mark")} removed.` : "There was no mark.");
    return count;
}

/** Undo, and say so. */
export function undoMark() {
    const count = undo();
    announce(count ? `Undone: ${counted(count, "mark")}.` : "There is nothing to undo.");
}

/** Redo, and say so. */
export function redoMark() {
    const count = redo();
    announce(count ? `Done again: ${counted(count, "mark")}.` : "There is nothing to do again.");
}

// Say what happened. Returns whether a photo was marked.
function sayMarks(indices, { set, refused }) {
    const parts = [];
    if (set === 1 && indices.length === 1) {
        parts.push(`${photoLabel(indices[0])}: ${describeMark(markOf(indices[0]))}.`);
    } else if (set) {
        parts.push(`${counted(set, "photo")} marked.`);
    }
    if (refused.length) {
        const first = refused[0];
        parts.push(
            `${refused.length === 1 ? `${photoLabel(first.photo)} is not marked` : `${counted(refused.length, "photo")} are not marked`}: ${first.why}.`,
        );
    }
    announce(parts.join(" "));
    return set > 0;
}

function nameOf(indices) {
    return indices.length === 1 ? `product ${photoLabel(indices[0])}` : counted(indices.length, "photo");
}

/** Ask for the reason of an exclusion, and exclude. Returns a promise: true if photos were marked. */
export async function chooseReason(indices, { kind } = {}) {
    const opened = openDialog(`Why exclude ${nameOf(indices)}?`, { className: "narrow" });
    const preset = usualReason(kind) || lastReasons.get("");
    const list = page.recommended_reasons.map((reason, place) => {
        const choose = button("", () => opened.close(reason), {
            "aria-keyshortcuts": String(place + 1),
            autofocus: reason === preset,
        });
        choose.append(element("kbd", { "aria-hidden": "true" }, place + 1), ` ${inWords(reason)}`);
        return element("div", { class: "reason" }, choose, element("span", { class: "hint" }, HELP_OF_REASONS[reason] ?? ""));
    });
    const fieldId = uniqueId("reason");
    const problem = element("p", { class: "problem", id: `${fieldId}-problem`, role: "alert" });
    const field = element("input", {
        id: fieldId,
        type: "text",
        autocomplete: "off",
        spellcheck: "false",
        maxlength: 40,
        "aria-describedby": problem.id,
    });
    const take = () => {
        problem.textContent = whyNotReason(field.value.trim());
        if (!problem.textContent) {
            opened.close(field.value.trim());
        }
    };
    field.addEventListener("keydown", (event) => event.key === "Enter" && take());
    opened.dialog.addEventListener("keydown", (event) => {
        const reason = page.recommended_reasons[Number(event.key) - 1];
        if (event.target !== field && reason) {
            opened.close(reason);
        }
    });
    const own = element("div", { class: "field-row" }, field, button("Use this word", take));
    opened.body.append(
        element("div", { class: "reasons" }, list),
        element("label", { for: fieldId }, "Or a word of your own"),
        own,
        problem,
    );
    const buttons = list.map((each) => each.firstChild);
    (buttons.find((each) => each.autofocus) ?? buttons[0] ?? field).focus();
    const reason = await opened.closed;
    if (reason) {
        lastReasons.set(kind ?? "", reason);
    }
    return reason ? sayMarks(indices, setMark(indices, { action: "exclude", reason, kind })) : false;
}

/** Ask for a class, and relabel. Returns a promise: true if photos were marked. Where none can be, it says so at once. */
export async function chooseClass(indices, { kind } = {}) {
    const refused = indices.map((photo) => ({ photo, why: whyNotAnotherClass(photo) })).filter(({ why }) => why);
    if (refused.length && refused.length === indices.length) {
        return sayMarks(indices, { set: 0, refused });
    }
    const toClass = await pickClass(
        `Which class is ${nameOf(indices)}?`,
        likelyClasses(indices),
        indices.length === 1 ? indices[0] : null,
    );
    return toClass === undefined ? false : sayMarks(indices, setMark(indices, { action: "relabel", toClass, kind }));
}

// The classes that a photo may well have: the suggestion, then those of the photos that look like it.
function likelyClasses(indices) {
    if (indices.length !== 1) {
        return [];
    }
    const votes = new Map();
    suspicionsOf(indices[0]).forEach(
        ({ suggestion }) => suggestion >= 0 && votes.set(suggestion, LIKELY_NEIGHBOURS + 1),
    );
    const { own_probability: own, other_class: other } = photos;
    if (own[indices[0]] !== null && own[indices[0]] < 0.5 && other[indices[0]] >= 0) {
        votes.set(other[indices[0]], LIKELY_NEIGHBOURS + 1);
    }
    for (const neighbour of nearest(indices[0], LIKELY_NEIGHBOURS, { exceptGroup: true })) {
        const its = photos.class[neighbour];
        if (its >= 0) {
            votes.set(its, (votes.get(its) ?? 0) + 1);
        }
    }
    return [...votes]
        .sort((one, other) => other[1] - one[1])
        .slice(0, 5)
        .map(([other]) => other);
}

/**
 * Ask for a class in a dialog that filters while one types: likely ones first, beside the photo that it is for. Returns
 * a promise of its index, or of undefined.
 */
export function pickClass(title, likely = [], index = null) {
    const opened = openDialog(title, { className: "narrow picker" });
    const others = page.classes.name.map((_, place) => place).filter((place) => !likely.includes(place));
    const isEmpty = (place) => Number(classTotal(place) === 0); // such as the parent of all classes
    others.sort((one, other) => isEmpty(one) - isEmpty(other) || classLabel(one).localeCompare(classLabel(other)));
    const picker = new ClassPicker([...likely, ...others], likely, opened.close);
    opened.body.append(
        ...(index === null ? [] : [picture(index, "original", 128)]),
        picker.field,
        picker.list,
        element("p", { class: "hint" }, "Arrows and Enter choose. Escape leaves all as it is."),
    );
    picker.filter();
    picker.field.focus();
    return opened.closed;
}

// A text field above a list: typing filters, arrows move, Enter chooses.
class ClassPicker {
    constructor(classes, likely, choose) {
        this.classes = classes;
        this.likely = likely;
        this.choose = choose;
        this.shown = [];
        this.active = 0;
        const id = uniqueId("classes");
        this.list = element("ul", { id, role: "listbox", "aria-label": "Classes", class: "options" });
        this.field = element("input", {
            type: "text",
            role: "combobox",
            "aria-expanded": "true",
            "aria-controls": id,
            "aria-autocomplete": "list",
            "aria-label": "Class: type a part of its name or its number",
            autocomplete: "off",
            spellcheck: "false",
            dir: "auto",
            on: { input: () => this.filter(), keydown: (event) => this.onKey(event) },
        });
    }

    filter() {
        this.shown = this.classes.filter((index) => classMatches(index, this.field.value));
        const options = this.shown.map((index, place) => {
            return classOption(index, this.likely.includes(index), `${this.list.id}-${place}`, this.choose);
        });
        this.list.replaceChildren(...options);
        this.activate(0);
    }

    activate(place) {
        this.list.children[this.active]?.setAttribute("aria-selected", "false");
        this.active = Math.max(0, Math.min(place, this.shown.length - 1));
        const option = this.list.children[this.active];
        option?.setAttribute("aria-selected", "true");
        option?.scrollIntoView({ block: "nearest" });
        this.field.setAttribute("aria-activedescendant", option?.id ?? "");
    }

    onKey(event) {
        const move = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
        if (move) {
            event.preventDefault();
            this.activate(this.active + move);
        } else if (event.key === "Enter" && this.shown.length) {
            event.preventDefault();
            this.choose(this.shown[this.active]);
        }
    }
}

/** Whether a class has a text in its name, or its catalog_id begins with it. */
function classMatches(index, text) {
    const wanted = text.trim().toLocaleLowerCase();
    return (
        classLabel(index).toLocaleLowerCase().includes(wanted) ||
        String(page.classes.catalog_id[index]).toLocaleLowerCase().startsWith(wanted)
    );
}

function classTotal(index) {
    return Object.values(page.classes.photos).reduce((sum, counts) => sum + (counts[index] ?? 0), 0);
}

function classOption(index, isLikely, id, choose) {
    const total = classTotal(index);
    const catalogId = String(page.classes.catalog_id[index]);
    const isNamed = catalogId === page.classes.name[index]; // a source without numbers names classes alone
    const facts = `${total ? counted(total, "photo") : "no photos"}${isLikely ? " · likely" : ""}`;
    const option = element("li", { id, role: "option", "aria-selected": "false", class: isLikely ? "likely" : null });
    const mean = page.classes.mean?.[index] ?? -1; // what its photos look like on average
    option.append(
        mean >= 0 ? sheetTile("means", mean, 28) : "",
        element("bdi", {}, classLabel(index)),
        element("span", { class: "facts" }, isNamed ? "" : [element("bdi", {}, catalogId), " · "], facts),
    );
    option.addEventListener("click", () => choose(index));
    return option;
}

/** Open the list of all keys. */
export function openHelp() {
    const { body } = openDialog("Keys", { className: "help" });
    body.tabIndex = 0; // it has nothing to focus, and may have to be scrolled
    for (const [title, keys] of KEY_HELP) {
        const rows = keys.map(([key, what]) =>
            element("tr", {}, element("th", { scope: "row" }, element("kbd", {}, key)), element("td", {}, what)),
        );
        body.append(element("table", {}, element("caption", {}, title), element("tbody", {}, rows)));
    }
    const total = number(page.photos.product_id.length);
    body.append(
        element(
            "p",
            { class: "hint" },
            `Marks stay in this browser until you remove them. The page has ${total} photos.`,
        ),
    );
}
