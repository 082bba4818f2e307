// The list beside the card of a queue: a part of it at a time, with the marks.

import { LISTED_IN, photos } from "./data.js";
import { button, element, number } from "./dom.js";
import { describeMark, markOf, shortMark } from "./marks.js";
import { lackedPicture, tile, tilePicture } from "./pictures.js";

const ENTRIES_SHOWN = 200; // of the list at once: a thousand would take longer than a key may
const GAP = 8; // pixels between the current entry and the end of the list
/** What a photo may be found as that is about its class alone. */
export const OF_CLASSES = ["label", "pair", "change"];

const MARK_SIGNS = { exclude: "✕", relabel: "→", right: "✓" };

/** Whether a person decided on one of an item's photos, now or before. */
export function isDecided(item) {
    return item.photos.some((photo) => photos.decided[photo] > 0 || closes(markOf(photo), item));
}

// A mark about the class says nothing about what else may be wrong with the photo, such as its mask. `right` in Masks or
// Oddities is about the whole photo.
function closes(mark, item) {
    if (mark === null || mark.action === "exclude" || OF_CLASSES.includes(item.kind)) {
        return mark !== null;
    }
    const isOfClass = mark.action === "relabel" || !mark.kind || OF_CLASSES.includes(mark.kind);
    return mark.kind === item.kind || !isOfClass;
}

/** A link to the photos that a queue does not list, or "" for a queue that lists all. */
export function goOnLink({ goOn }) {
    return goOn ? element("a", { href: `#${goOn}` }, "Go on in Photos, most doubtful first") : "";
}

/** Where a photo was marked, as words before the mark: " in Labels"; "" if it was here, or in no queue and for good. */
export function markedWhere(mark, item) {
    const other = LISTED_IN[mark.kind] ?? (closes(mark, item) ? "" : "Photos");
    return other && mark.kind !== item.kind ? ` in ${other}` : "";
}

// The mark as short as a list has room for.
function captionOf(mark, item) {
    const where = markedWhere(mark, item);
    return where ? `marked${where}: ${shortMark(mark)}` : shortMark(mark);
}

/** The entries of a queue, and which is the current one. */
export class ReviewList {
    constructor(queue) {
        this.queue = queue;
        this.buttons = new Map();
        this.start = 0;
        this.items = element("ol", {});
        this.element = element("nav", { class: "review-list", "aria-label": queue.spec.listLabel }, this.items);
    }

    /** Show the part that has the current item. */
    show() {
        const { visible, current, spec } = this.queue;
        this.start = Math.floor(Math.max(0, visible.indexOf(current)) / ENTRIES_SHOWN) * ENTRIES_SHOWN;
        const shown = visible.slice(this.start, this.start + ENTRIES_SHOWN);
        this.buttons = new Map(shown.map((item) => [item, this.makeButton(item)]));
        const lines = shown.flatMap((item, place) => {
            const isFirst = spec.grouped && item.why !== shown[place - 1]?.why;
            const group = element("li", { class: "review-group" }, spec.whyWords[item.why] ?? item.why);
            return [...(isFirst ? [group] : []), element("li", {}, this.buttons.get(item))];
        });
        const after = this.start + shown.length;
        const step = (place, text) => element("li", {}, button(text, () => this.queue.goTo(place), { quiet: true }));
        this.items.replaceChildren(
            ...(this.start > 0 ? [step(this.start - 1, `${number(this.start)} before`)] : []),
            ...lines,
            ...(after < visible.length ? [step(after, `${number(visible.length - after)} more`)] : []),
            ...(after === visible.length && spec.goOn ? [element("li", { class: "review-go-on" }, goOnLink(spec))] : []));
        this.describe(shown);
    }

    // Which picture the entries show: the photo, unless the view lets a person choose.
    which() {
        return this.queue.spec.picturesVary ? tilePicture(this.queue.spec.view) : "original";
    }

    makeButton(item) {
        const choose = () => {
            this.queue.select(item);
            this.queue.focusCard();
        };
        return element("button", { type: "button", class: "review-entry", tabindex: "-1", on: { click: choose } },
            item.photos.map((photo) => tile(photo, item.photos.length > 1 ? 36 : 48, this.which())),
            element("span", { class: "review-rank" }, number(item.rank)),
            element("span", { class: "review-caption", dir: "auto" }, item.caption),
            element("span", { class: "review-badge", "aria-hidden": "true" }));
    }

    /** Say in the entries of items how they are marked. */
    describe(items) {
        for (const item of items) {
            const entry = this.buttons.get(item);
            const marks = item.photos.map(markOf).filter(Boolean);
            const wasDecided = !marks.length && isDecided(item);
            const isOpen = !isDecided(item);
            const how = marks.map((mark) => `${describeMark(mark)}${markedWhere(mark, item)}`).join("; ");
            const said = how ? `${how}${isOpen ? ", still open here" : ""}` : wasDecided ? "decided before" : "open";
            if (entry) {
                const caption = entry.querySelector(".review-caption");
                caption.textContent = marks.length ? [...new Set(marks.map((mark) => captionOf(mark, item)))].join("; ") : item.caption;
                entry.title = said;
                entry.lastChild.textContent = isOpen ? "open" : marks.length ? MARK_SIGNS[marks[0].action] : "✓";
                entry.lastChild.dataset.action = isOpen ? "open" : (marks[0]?.action ?? "before");
                const lacked = lackedPicture(item.photo, this.which());
                entry.setAttribute("aria-label", `${number(item.rank)}: ${item.title}; ${lacked && `${lacked}; `}${said}`);
            }
        }
    }

    setCurrent() {
        const { current } = this.queue;
        if (current && !this.buttons.has(current)) {
            this.show();
        }
        for (const [item, entry] of this.buttons) {
            entry.setAttribute("tabindex", item === current ? "0" : "-1");
            entry.setAttribute("aria-current", String(item === current));
        }
        this.scrollToCurrent();
    }

    // Not scrollIntoView, which would also scroll the page.
    scrollToCurrent() {
        const entry = this.buttons.get(this.queue.current);
        if (entry) {
            const [inner, outer] = [entry.getBoundingClientRect(), this.element.getBoundingClientRect()];
            const beyond = (start, end) => Math.min(0, start - GAP) + Math.max(0, end + GAP);
            this.element.scrollTop += beyond(inner.top - outer.top, inner.bottom - outer.bottom);
            this.element.scrollLeft += beyond(inner.left - outer.left, inner.right - outer.right);
        }
    }

    focusCurrent() {
        this.buttons.get(this.queue.current)?.focus({ preventScroll: true });
    }
}
