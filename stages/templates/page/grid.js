// A grid of photos, one page at a time: by keyboard, with a selection, with marks.

import { classLabel, describePhoto, photos, suspicionOf } from "./data.js";
import { openDetail } from "./detail.js";
import { announce, button, counted, element, icon, number } from "./dom.js";
import { markKeys } from "./keys.js";
import { markChange, describeMark, markOf, onMarks } from "./marks.js";
import { lackedPicture, tile } from "./pictures.js";
import { readStorage, writeStorage } from "./storage.js";

/** The sides of tiles that a person can choose, in pixels. */
export const TILE_SIDES = [48, 72, 104, 144];

const TILES_A_PAGE = { 48: 300, 72: 160, 104: 96, 144: 60 };
const TILE_PADDING = 8; // of .tiles in page.css, as is the gap
const TILE_GAP = 4;
const SIDE_STORAGE = "imageset-tile-side";
const storedSide = Number(readStorage(SIDE_STORAGE));
let keptSide = TILE_SIDES.includes(storedSide) ? storedSide : 72;

/** The side of tiles that the person chose last. */
export function tileSide() {
    return keptSide;
}

/** Remember the side of tiles. */
export function keepTileSide(side) {
    keptSide = side;
    writeStorage(SIDE_STORAGE, String(side)); // without storage it holds until the page is closed
}

/**
 * Put a grid of photos into a host. Options: indices (the photos, in their order), label (the grid's name), caption
 * (index => text under the tile), kind (of suspect: marks take its reason, rank and suggestion), side (of tiles), which
 * (picture the tiles show: original, mask or result), onSelect (called with the selected photos).
 *
 * Returns {element, show(indices, {keepPage}), focusPhoto(index), focusActive(), selection(), countElsewhere(), selectAll(),
 * selectNone(), setSide(side), close()}. A mark of selected photos ends the selection. Call close() when the view closes.
 */
export function photoGrid(host, options) {
    const grid = new PhotoGrid(options);
    host.append(grid.element);
    grid.show(options.indices ?? []);
    return grid;
}

class PhotoGrid {
    constructor({ label, caption = null, kind = null, side = null, which = "original", onSelect = null }) {
        this.caption = caption;
        this.kind = kind;
        this.side = side ?? tileSide();
        this.which = which;
        this.onSelect = onSelect;
        this.indices = [];
        this.perRow = 1; // tiles
        this.page = 0;
        this.active = 0; // place of the photo that Tab reaches
        this.anchor = null; // place where a selection by Shift began
        this.selected = new Set();
        this.list = element("div", {
            class: "tiles",
            role: "listbox",
            "aria-label": label,
            "aria-multiselectable": "true",
            on: {
                keydown: (event) => this.onKey(event),
                click: (event) => this.onClick(event),
                focusin: (event) => this.onFocus(event),
            },
        });
        this.pagers = [element("div", { class: "pager" }), element("div", { class: "pager" })]; // above and below
        this.element = element("div", { class: "photo-grid" }, this.pagers[0], this.list, this.pagers[1]);
        this.stop = onMarks((changed) => this.refreshMarks(changed));
        this.watcher = new ResizeObserver(() => this.reflow());
        this.watcher.observe(this.element);
    }

    close() {
        this.stop();
        this.watcher.disconnect();
        this.element.remove();
    }

    // Whole rows, so that only the last page ends in the middle of one.
    get pageSize() {
        const most = TILES_A_PAGE[this.side] ?? 96;
        return Math.max(this.perRow, most - (most % this.perRow));
    }

    measure() {
        this.perRow = Math.max(1, Math.floor((this.element.clientWidth + TILE_GAP) / (this.side + TILE_PADDING + TILE_GAP)));
    }

    // In a window of another width a row has more or fewer tiles. The photo at which the person is stays on the page.
    reflow() {
        const before = this.pageSize;
        if (this.element.clientWidth) {
            this.measure();
        }
        if (this.pageSize !== before) {
            this.page = Math.floor(this.active / this.pageSize);
            this.draw();
        }
    }

    get pageCount() {
        return Math.max(1, Math.ceil(this.indices.length / this.pageSize));
    }

    get first() {
        return this.page * this.pageSize;
    }

    /** Show other photos. keepPage: stay on the page and at the place, such as after a mark. */
    show(indices, { keepPage = false } = {}) {
        this.indices = indices;
        const known = new Set(indices);
        this.selected = new Set([...this.selected].filter((index) => known.has(index)));
        this.active = keepPage ? Math.min(this.active, Math.max(0, indices.length - 1)) : 0;
        this.measure();
        this.page = Math.floor(this.active / this.pageSize);
        this.anchor = null;
        this.draw();
    }

    /** Show tiles of another size. The photo at which the person is stays on the page. */
    setSide(side) {
        this.side = side;
        this.measure();
        this.page = Math.floor(this.active / this.pageSize);
        this.draw();
    }

    draw() {
        const shown = this.indices.slice(this.first, this.first + this.pageSize);
        const hadFocus = this.list.contains(document.activeElement);
        this.list.style.setProperty("--tile", `${this.side}px`);
        this.list.replaceChildren(...shown.map((index, place) => this.drawTile(index, this.first + place)));
        this.list.hidden = shown.length === 0;
        this.pagers.forEach((pager) => this.drawPager(pager));
        if (hadFocus) {
            this.optionAt(this.active)?.focus();
        }
        this.onSelect?.(this.selection());
    }

    drawTile(index, place) {
        const made = element(
            "div",
            {
                class: "tile-option",
                role: "option",
                tabindex: place === this.active ? 0 : -1,
                dataset: { place },
            },
            tile(index, this.side, this.which),
            element("span", { class: "tile-select", "aria-hidden": "true" }, icon("right")),
        );
        if (this.caption) {
            made.append(
                element("span", { class: "tile-caption", dir: "auto", "aria-hidden": "true" }),
            );
        }
        this.dress(made, index);
        return made;
    }

    // What changes while the tile stays: its mark and whether it is selected.
    dress(made, index) {
        const mark = markOf(index);
        const name = describePhoto(index);
        const caption = this.caption ? `, ${this.caption(index)}` : "";
        const lacked = lackedPicture(index, this.which);
        made.setAttribute("aria-label", `${name}${caption}${lacked && `, ${lacked}`}${mark ? `, marked: ${describeMark(mark)}` : ""}`);
        made.title = made.getAttribute("aria-label");
        made.setAttribute("aria-selected", String(this.selected.has(index)));
        made.dataset.mark = mark?.action ?? "";
        if (this.caption) {
            made.querySelector(".tile-caption").textContent = this.captionWithMark(index);
        }
        made.querySelector(".tile-mark")?.remove();
        if (mark) {
            made.append(element("span", { class: "tile-mark", "aria-hidden": "true" }, icon(mark.action)));
        }
    }

    // What a mark makes of the photo is there in place of its class, and behind another caption.
    captionWithMark(index) {
        const [usual, change] = [this.caption(index), markChange(index)];
        return change && !usual.includes(classLabel(photos.class[index])) ? `${usual} · ${change}` : change || usual;
    }

    refreshMarks(changed) {
        for (const made of this.list.children) {
            const index = this.indices[Number(made.dataset.place)];
            if (changed === null || changed.has(index)) {
                this.dress(made, index);
            }
        }
        // What was marked is done with: the next mark is for what is selected then.
        if ([...(changed ?? [])].some((index) => this.selected.has(index))) {
            this.selectNone();
        }
    }

    drawPager(pager) {
        const total = this.indices.length;
        pager.hidden = this.pageCount === 1;
        const last = Math.min(total, this.first + this.pageSize);
        const text = `${number(this.first + 1)} to ${number(last)} of ${number(total)}`;
        const turn = (name, iconName, page, title) =>
            button("", () => this.turnTo(page), {
                iconName,
                quiet: true,
                "aria-label": name,
                title,
                disabled: page < 0 || page >= this.pageCount || page === this.page,
            });
        pager.replaceChildren(
            turn("First page", "first", 0, "First page (Ctrl + Home)"),
            turn("Previous page", "previous", this.page - 1, "Previous page (Page Up)"),
            element("span", { class: "pager-text" }, text),
            turn("Next page", "next", this.page + 1, "Next page (Page Down)"),
            turn("Last page", "last", this.pageCount - 1, "Last page (Ctrl + End)"),
        );
    }

    turnTo(page) {
        const pager = this.pagers.find((each) => each.contains(document.activeElement));
        const name = pager ? document.activeElement.getAttribute("aria-label") : "";
        this.page = Math.max(0, Math.min(page, this.pageCount - 1));
        this.active = this.first;
        this.draw();
        announce(this.pagers[0].querySelector(".pager-text").textContent, { isSeen: false }); // the pager shows it
        if (pager) {
            const again = pager.querySelector(`[aria-label="${name}"]`);
            (again.disabled ? pager.querySelector("button:not(:disabled)") : again)?.focus();
        }
    }

    /** Go to a photo: turn to its page and focus it. */
    focusPhoto(index) {
        const place = this.indices.indexOf(index);
        if (place >= 0) {
            this.moveTo(place);
        }
    }

    moveTo(place) {
        const wanted = Math.max(0, Math.min(place, this.indices.length - 1));
        const page = Math.floor(wanted / this.pageSize);
        this.optionAt(this.active)?.setAttribute("tabindex", "-1");
        this.active = wanted;
        if (page !== this.page) {
            this.page = page;
            this.draw();
        }
        const made = this.optionAt(wanted);
        made?.setAttribute("tabindex", "0");
        made?.focus();
    }

    optionAt(place) {
        return this.list.children[place - this.first] ?? null;
    }

    get columns() {
        const tiles = [...this.list.children];
        const other = tiles.findIndex((made) => made.offsetTop > tiles[0].offsetTop);
        return other < 0 ? Math.max(1, tiles.length) : other;
    }

    onFocus(event) {
        const made = event.target.closest(".tile-option");
        if (made) {
            this.optionAt(this.active)?.setAttribute("tabindex", "-1");
            this.active = Number(made.dataset.place);
            made.setAttribute("tabindex", "0");
        }
    }

    onClick(event) {
        const made = event.target.closest(".tile-option");
        if (!made) {
            return;
        }
        const place = Number(made.dataset.place);
        if (event.shiftKey && this.anchor !== null) {
            this.selectRange(this.anchor, place);
        } else if (event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest(".tile-select")) {
            this.anchor = place;
            this.toggle(place);
        } else {
            this.anchor = place;
            this.open(place);
        }
    }

    open(place) {
        this.active = place;
        openDetail(this.indices[place], this.indices, { kind: this.kind, onClose: (index) => this.focusPhoto(index) });
    }

    onKey(event) {
        const place = this.active;
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns }[event.key];
        if (markKeys(event, this.targets(), this.markOptions())) {
            return;
        }
        const isCommand = event.ctrlKey || event.metaKey;
        if (step) {
            event.preventDefault();
            this.step(place, step, event.shiftKey);
        } else if (event.key === "PageDown" || event.key === "PageUp") {
            event.preventDefault();
            this.moveTo((this.page + (event.key === "PageDown" ? 1 : -1)) * this.pageSize);
        } else if (event.key === "Home" || event.key === "End") {
            event.preventDefault();
            const [from, to] = isCommand
                ? [0, this.indices.length - 1]
                : [this.first, this.first + this.list.children.length - 1];
            this.moveTo(event.key === "Home" ? from : to);
        } else if (event.key === " ") {
            event.preventDefault();
            this.anchor = place;
            this.toggle(place);
        } else if (event.key === "Enter") {
            event.preventDefault();
            this.open(place);
        } else if (event.key === "a" && isCommand) {
            event.preventDefault();
            this.selectRange(this.first, this.first + this.list.children.length - 1);
        } else if (event.key === "Escape" && this.selected.size) {
            event.preventDefault();
            this.selectNone();
        }
    }

    step(place, step, extends_) {
        const wanted = place + step;
        if (wanted < 0 || wanted >= this.indices.length) {
            return;
        }
        if (extends_) {
            this.anchor ??= place;
            this.selectRange(this.anchor, wanted);
        } else {
            this.anchor = null;
        }
        this.moveTo(wanted);
    }

    // Marks go to the selection; without one, to the photo that has the focus.
    targets() {
        return this.selected.size ? this.selection() : this.indices.slice(this.active, this.active + 1);
    }

    markOptions() {
        const [index] = this.targets();
        const isSuspect = this.kind && this.targets().length === 1 && suspicionOf(index, this.kind);
        return this.kind ? { kind: isSuspect || this.targets().length > 1 ? this.kind : null } : {};
    }

    /** How many selected photos are on other pages. */
    countElsewhere() {
        const here = this.indices.slice(this.first, this.first + this.pageSize);
        return this.selected.size - here.filter((index) => this.selected.has(index)).length;
    }

    /** Focus the photo at which the person was. */
    focusActive() {
        this.optionAt(this.active)?.focus({ preventScroll: true });
    }

    /** The selected photos, in the grid's order. */
    selection() {
        return this.indices.filter((index) => this.selected.has(index));
    }

    /** Select all photos of all pages. */
    selectAll() {
        this.selected = new Set(this.indices);
        this.dressAll();
    }

    /** Select nothing. */
    selectNone() {
        this.selected.clear();
        this.anchor = null;
        this.dressAll();
    }

    toggle(place) {
        const index = this.indices[place];
        if (!this.selected.delete(index)) {
            this.selected.add(index);
        }
        this.dressAll();
    }

    selectRange(from, to) {
        this.selected = new Set(this.indices.slice(Math.min(from, to), Math.max(from, to) + 1));
        this.dressAll();
    }

    dressAll() {
        for (const made of this.list.children) {
            made.setAttribute("aria-selected", String(this.selected.has(this.indices[Number(made.dataset.place)])));
        }
        if (this.onSelect) {
            this.onSelect(this.selection());
        } else {
            announce(this.selected.size ? `${counted(this.selected.size, "photo")} selected.` : "Nothing is selected.");
        }
    }
}
