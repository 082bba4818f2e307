// A queue of cards: the list of suspects beside one large card, made for deciding by keyboard.

import { classLabel, inWords, membersOf, page, photoLabel, photos } from "./data.js";
import { openDetail } from "./detail.js";
import { announce, button, element, number } from "./dom.js";
import { chooseClass, clearPhotos, confirmPhotos, excludePhotos, isTyping, markKeys, relabelPhotos, undoMark } from "./keys.js";
import { describeMark, markOf, onMarks, stepCounts, whyNotMark } from "./marks.js";
import { tile } from "./pictures.js";
import { go, replaceRoute, routeTo } from "./router.js";

const ENTRIES_SHOWN = 200; // of the list at once: a thousand would take longer than a key may
const ADDRESS_PAUSE = 300; // milliseconds
const BY_NAME = new Intl.Collator();
const MARK_SIGNS = { exclude: "✕", relabel: "→", right: "✓" };
const LIST_STEPS = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 10, PageUp: -10 };

const lastPlaces = new Map();
let goesOnAfterMark = true;
let marksWholeProduct = false;

/**
 * Open a queue in a host. Returns {close(), update(query)}, as a view's `open` does.
 *
 * `spec` has: view (its id), items, fill(content, item, queue), whyWords ({code: words}), listLabel, intro, empty (the
 * words where there is no item). Where a view differs from the usual: query (what else is in its address), grouped
 * (whether the list has a heading for each why), targets(item) (the photos between which left and right choose),
 * onSide(content, side), suggestion(item, photo), reason (of an exclusion).
 * An item has: photo, photos (all that it shows), rank (from 1 within the queue), kind (of suspect, or ""), why,
 * suggestion (a class or -1), title, caption.
 */
export function openReview(host, query, spec) {
    if (!spec.items.length) {
        host.append(element("p", { class: "review-empty" }, spec.empty));
        return { close: () => {}, update: () => {} };
    }
    let queue = startReview(host, spec, query);
    const update = (changed) => {
        if (routeTo(spec.view, changed) !== queue.written) {
            queue.stop();
            queue.root.remove();
            queue = startReview(host, spec, changed);
        }
    };
    return { close: () => queue.stop(), update };
}

function startReview(host, spec, query) {
    const queue = new ReviewQueue(spec, query);
    host.append(queue.root);
    queue.start();
    return queue;
}

/** Whether a person decided on one of an item's photos, now or before. */
export function isDecided(item) {
    return item.photos.some((photo) => markOf(photo) || photos.decided[photo] > 0);
}

/** The other photos of a photo's product that are in the dataset. */
function restOfProduct(photo) {
    const isOther = (other) => other !== photo && photos.product_id[other] === photos.product_id[photo] && photos.reject[other] < 0;
    return membersOf(photos.group[photo]).filter(isOther);
}

function countedBy(values) {
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) ?? 0) + 1));
    return counts;
}

/** Which items are shown, which is the current one, and what marks do. */
class ReviewQueue {
    constructor(spec, query) {
        const asked = ["rank", "why", "class", "hide"].some((name) => query.has(name)) ? query : new URLSearchParams(lastPlaces.get(this.placeName(spec)));
        this.spec = spec;
        this.filters = { why: asked.get("why") ?? "", class: asked.get("class") ?? "", hide: asked.get("hide") ?? "" };
        this.lastRank = asked.get("rank");
        this.written = routeTo(spec.view, query);
        this.side = 0;
        this.current = null;
        this.itemsOfPhoto = new Map();
        for (const item of spec.items) {
            item.photos.forEach((photo) => this.itemsOfPhoto.set(photo, [...(this.itemsOfPhoto.get(photo) ?? []), item]));
        }
        this.list = new ReviewList(this);
        this.actions = new ReviewActions(this);
        this.build();
    }

    placeName(spec = this.spec) {
        return routeTo(spec.view, spec.query);
    }

    start() {
        this.isOpen = true;
        this.undoSteps = stepCounts().undo;
        this.stopListening = onMarks((changed) => this.onMarksChanged(changed));
        this.filterItems();
        const wanted = this.visible.find((item) => String(item.rank) === this.lastRank);
        this.select(wanted ?? this.firstOpen());
        this.focusCard();
    }

    stop() {
        this.isOpen = false;
        this.stopListening();
        lastPlaces.set(this.placeName(), this.place().split("?")[1] ?? "");
    }

    build() {
        this.progress = element("span", {});
        this.meter = element("progress", { "aria-label": "Decided" });
        this.heading = element("h3", { id: "review-heading", dir: "auto", "aria-live": "polite" });
        this.content = element("div", { class: "review-content" });
        this.card = element("article", { class: "review-card", tabindex: "-1", "aria-labelledby": "review-heading" },
            this.heading, this.content, this.actions.element);
        this.root = element("div", { class: "review", tabindex: "-1", on: { keydown: (event) => this.onKey(event) } },
            element("p", { class: "review-intro" }, this.spec.intro),
            this.makeBar(),
            element("div", { class: "review-body" }, this.list.element, this.card));
    }

    makeBar() {
        const { items, whyWords } = this.spec;
        const hide = element("input", { type: "checkbox", checked: this.filters.hide === "1",
            on: { change: () => this.setFilter("hide", hide.checked ? "1" : "") } });
        const goOn = element("input", { type: "checkbox", checked: goesOnAfterMark,
            on: { change: () => { goesOnAfterMark = goOn.checked; } } });
        this.product = element("input", { type: "checkbox", checked: marksWholeProduct, "aria-keyshortcuts": "p",
            on: { change: () => this.setWholeProduct(this.product.checked) } });
        const hasProducts = !this.spec.targets && items.some(({ photo }) => restOfProduct(photo).length > 0);
        this.canMarkProducts = hasProducts;
        return element("div", { class: "review-bar" },
            element("p", { class: "review-progress" }, this.progress, " ", this.meter),
            this.makeChoice("why", "Why", countedBy(items.map(({ why }) => why)), (why) => whyWords[why] ?? why),
            this.makeChoice("class", "Class", countedBy(items.map(({ photo }) => String(photos.class[photo]))), (index) => classLabel(Number(index))),
            element("label", {}, hide, " Hide decided"),
            element("label", {}, goOn, " Go on after a mark"),
            hasProducts ? element("label", {}, this.product, " Mark the whole product ", element("kbd", { "aria-hidden": "true" }, "p")) : null);
    }

    setWholeProduct(isWhole) {
        marksWholeProduct = isWhole;
        this.product.checked = isWhole;
        announce(isWhole ? "A mark is for all photos of the product." : "A mark is for one photo.");
        this.actions.describe();
    }

    makeChoice(name, label, counts, write) {
        if (counts.size < 2) {
            return null;
        }
        const options = [...counts].map(([value, count]) => ({ value, text: `${write(value)} (${number(count)})` }));
        options.sort((one, other) => BY_NAME.compare(one.text, other.text));
        const select = element("select", { on: { change: () => this.setFilter(name, select.value) } },
            element("option", { value: "" }, `all (${number(this.spec.items.length)})`),
            options.map(({ value, text }) => element("option", { value }, text)));
        select.value = counts.has(this.filters[name]) ? this.filters[name] : "";
        this.filters[name] = select.value;
        return element("label", { class: "review-choice" }, `${label} `, select);
    }

    setFilter(name, value) {
        this.filters[name] = value;
        this.filterItems();
        this.select(this.visible.includes(this.current) ? this.current : this.firstOpen());
    }

    filterItems() {
        const { why, class: ofClass, hide } = this.filters;
        this.passing = this.spec.items.filter((item) =>
            (!why || item.why === why) && (!ofClass || String(photos.class[item.photo]) === ofClass));
        this.visible = hide ? this.passing.filter((item) => !isDecided(item)) : this.passing;
        const decided = this.passing.filter(isDecided).length;
        this.progress.textContent = `${number(decided)} of ${number(this.passing.length)} decided`;
        this.meter.max = Math.max(this.passing.length, 1);
        this.meter.value = decided;
        this.list.show();
    }

    firstOpen() {
        return this.visible.find((item) => !isDecided(item)) ?? this.visible[0] ?? null;
    }

    /** The next item that is not decided: after the current one, else from the top; null without one. */
    nextOpen() {
        const start = this.visible.indexOf(this.current) + 1;
        return [...this.visible.slice(start), ...this.visible.slice(0, start)].find((item) => !isDecided(item)) ?? null;
    }

    select(item) {
        const hadFocus = this.content.contains(document.activeElement);
        this.current = item;
        this.side = 0;
        this.content.replaceChildren();
        this.heading.replaceChildren(...(item ? [`${number(item.rank)}. `, element("bdi", {}, item.title)] : ["Nothing is left here"]));
        if (item) {
            this.spec.fill(this.content, item, this);
        } else {
            this.content.append(element("p", {}, this.filters.hide ? "All that the filters show are decided." : "Nothing passes the filters."));
        }
        this.list.setCurrent();
        this.actions.describe();
        this.writePlace();
        if (hadFocus) {
            this.focusCard();
        }
    }

    // Where somebody is belongs into the address, but browsers stop pages that change it with each repeated key.
    writePlace() {
        clearTimeout(this.writing);
        this.writing = setTimeout(() => {
            if (this.isOpen) {
                this.written = this.place();
                replaceRoute(this.written);
            }
        }, ADDRESS_PAUSE);
    }

    place() {
        return routeTo(this.spec.view, { ...this.spec.query, rank: this.current?.rank, ...this.filters });
    }

    focusCard() {
        this.card.focus({ preventScroll: true });
    }

    /** The photos between which left and right choose: most cards have one. */
    targets() {
        return this.current ? this.spec.targets?.(this.current) ?? [this.current.photo] : [];
    }

    /** The photo that a key marks, undefined without a card. */
    target() {
        return this.targets()[this.side];
    }

    /** All photos that a key marks. */
    marked() {
        return this.canMarkProducts && marksWholeProduct ? [this.target(), ...restOfProduct(this.target())] : [this.target()];
    }

    /** What a key needs to know of the card. */
    options() {
        const { kind, suggestion } = this.current;
        const wanted = this.spec.suggestion?.(this.current, this.target()) ?? suggestion;
        return { kind: kind || undefined, suggestion: wanted, reason: this.spec.reason };
    }

    chooseSide(side) {
        this.side = side;
        this.spec.onSide(this.content, side);
        this.actions.describe();
    }

    onMarksChanged(photosChanged) {
        const changed = [...new Set([...(photosChanged ?? this.itemsOfPhoto.keys())].flatMap((photo) => this.itemsOfPhoto.get(photo) ?? []))];
        const isUndo = stepCounts().undo < this.undoSteps;
        this.undoSteps = stepCounts().undo;
        const before = this.current;
        const next = this.afterMarks(changed, isUndo || photosChanged === null);
        this.filterItems();
        this.list.describe(changed);
        if (next !== before || !this.visible.includes(before)) {
            this.select(this.visible.includes(next) ? next : this.firstOpen());
        } else {
            this.actions.describe();
        }
    }

    // A mark leads on to the next open item; undo leads back to what it changed.
    afterMarks(changed, isUndo) {
        const isCurrent = changed.includes(this.current);
        if (isCurrent && !isUndo && goesOnAfterMark && isDecided(this.current)) {
            return this.nextOpen() ?? this.current;
        }
        return isUndo && changed.length && !isCurrent ? changed[0] : this.current;
    }

    onKey(event) {
        if (!this.current || isTyping(event)) {
            return;
        }
        const isControl = event.target.matches("button, a, input") && !event.target.matches(".review-entry");
        const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
        if (isPlain && !(isControl && event.key === "Enter") && this.move(event.key)) {
            event.preventDefault();
        } else {
            markKeys(event, this.marked(), this.options());
        }
    }

    /** Go where a key leads. Returns whether it leads anywhere. */
    move(key) {
        const hasSides = this.targets().length > 1;
        const steps = hasSides ? LIST_STEPS : { ...LIST_STEPS, ArrowRight: 1, ArrowLeft: -1 };
        const last = this.visible.length - 1;
        if (hasSides && ["ArrowLeft", "ArrowRight"].includes(key)) {
            this.chooseSide(key === "ArrowLeft" ? 0 : 1);
        } else if (Object.hasOwn(steps, key)) {
            this.goTo(Math.max(0, Math.min(last, this.visible.indexOf(this.current) + steps[key])));
        } else if (key === "Home" || key === "End") {
            this.goTo(key === "Home" ? 0 : last);
        } else if (key === "Enter") {
            this.openDetail();
        } else if (key === "p" && this.canMarkProducts) {
            this.setWholeProduct(!marksWholeProduct);
        } else {
            return false;
        }
        return true;
    }

    goTo(place) {
        const inList = this.list.element.contains(document.activeElement);
        this.select(this.visible[place]);
        if (inList) {
            this.list.focusCurrent();
        }
    }

    selectPhoto(photo) {
        const item = this.visible.find((one) => one.photos.includes(photo));
        if (item && !this.current?.photos.includes(photo)) {
            this.select(item);
        }
    }

    openDetail() {
        const targets = this.targets();
        const siblings = targets.length > 1 ? targets : this.visible.map((item) => item.photo);
        openDetail(this.target(), siblings, { kind: this.current.kind || null, onClose: (photo) => this.selectPhoto(photo) });
    }
}

/** The list of a queue: a part of it at a time, with marks. */
class ReviewList {
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
            const line = element("li", {}, this.buttons.get(item));
            return isFirst ? [element("li", { class: "review-group" }, spec.whyWords[item.why] ?? item.why), line] : [line];
        });
        const after = this.start + shown.length;
        const step = (place, text) => element("li", {}, button(text, () => this.queue.goTo(place), { class: "review-more" }));
        this.items.replaceChildren(
            ...(this.start > 0 ? [step(this.start - 1, `${number(this.start)} before`)] : []),
            ...lines,
            ...(after < visible.length ? [step(after, `${number(visible.length - after)} more`)] : []));
        this.describe(shown);
    }

    makeButton(item) {
        const choose = () => {
            this.queue.select(item);
            this.queue.focusCard();
        };
        return element("button", { type: "button", class: "review-entry", tabindex: "-1", on: { click: choose } },
            item.photos.map((photo) => tile(photo, item.photos.length > 1 ? 36 : 48)),
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
            const said = marks.length ? marks.map(describeMark).join("; ") : wasDecided ? "decided before" : "not decided";
            if (entry) {
                entry.title = said;
                entry.lastChild.textContent = marks.length ? MARK_SIGNS[marks[0].action] : wasDecided ? "✓" : "";
                entry.lastChild.dataset.action = marks[0]?.action ?? (wasDecided ? "before" : "");
                entry.setAttribute("aria-label", `${number(item.rank)}: ${item.title}; ${said}`);
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
            this.element.scrollTop += Math.min(0, inner.top - outer.top - 8) + Math.max(0, inner.bottom - outer.bottom + 8);
            this.element.scrollLeft += Math.min(0, inner.left - outer.left - 8) + Math.max(0, inner.right - outer.right + 8);
        }
    }

    focusCurrent() {
        this.buttons.get(this.queue.current)?.focus({ preventScroll: true });
    }
}

/** The buttons below a card. Each does what its key does, and says what that is. */
class ReviewActions {
    constructor(queue) {
        const act = (action) => () => action(queue.marked(), queue.options());
        this.queue = queue;
        this.exclude = this.makeButton("x", act(excludePhotos));
        this.relabel = this.makeButton("r", act(relabelPhotos));
        this.choose = this.makeButton("c", act(chooseClass));
        this.right = this.makeButton("y", act(confirmPhotos));
        this.clear = this.makeButton("e", act(clearPhotos));
        this.undo = this.makeButton("u", undoMark);
        this.back = this.makeButton("k", () => queue.move("k"));
        this.next = this.makeButton("j", () => queue.move("j"));
        this.open = this.makeButton("Enter", () => queue.openDetail());
        this.note = element("p", { class: "review-note" });
        this.finish = element("p", { class: "review-finish", role: "status" });
        const decide = [this.exclude, this.relabel, this.choose, this.right];
        const others = [this.clear, this.undo, this.back, this.next, this.open];
        this.element = element("div", { class: "review-foot" }, this.finish, this.note,
            element("div", { class: "review-actions", role: "group", "aria-label": "Decide" }, decide.map((each) => each.button)),
            element("div", { class: "review-actions", role: "group", "aria-label": "Move" }, others.map((each) => each.button)));
    }

    // After a click with a pointer the keys belong to the card again, not to this button.
    makeButton(key, act) {
        const words = element("span", {});
        const onClick = (event) => {
            if (event.detail > 0) {
                this.queue.focusCard();
            }
            act();
        };
        const made = button([words, element("kbd", { "aria-hidden": "true" }, key)], onClick, { "aria-keyshortcuts": key });
        return { button: made, words };
    }

    /** Say in the buttons what they do to this card. */
    describe() {
        const photo = this.queue.target();
        this.showFinish();
        if (photo === undefined) {
            this.element.querySelectorAll(".review-actions").forEach((group) => group.toggleAttribute("hidden", true));
            return;
        }
        this.element.querySelectorAll(".review-actions").forEach((group) => group.toggleAttribute("hidden", false));
        const { suggestion, kind, reason } = this.queue.options();
        const mark = markOf(photo);
        const count = this.queue.marked().length;
        const which = count > 1 ? ` ${number(count)} photos` : this.queue.targets().length > 1 ? ` ${photoLabel(photo)}` : "";
        const usualReason = reason ?? page.default_reasons[kind];
        this.write(this.exclude, "exclude", photo, usualReason ? `Exclude${which}: ${inWords(usualReason)}` : `Exclude${which} …`);
        this.write(this.relabel, "relabel", photo, suggestion >= 0 ? `Relabel${which} to ${classLabel(suggestion)}` : `Relabel${which} …`, suggestion);
        this.write(this.right, "right", photo, `Right${count > 1 ? `, ${number(count)} photos` : ""}: ${classLabel(photos.class[photo])}`);
        this.choose.words.textContent = suggestion >= 0 ? "Another class …" : "Choose a class …";
        this.clear.words.textContent = "Clear the mark";
        this.undo.words.textContent = "Undo";
        this.back.words.textContent = "Back";
        this.next.words.textContent = "Next";
        this.open.words.textContent = "All about it";
        this.relabel.button.hidden = suggestion < 0;
        this.clear.button.setAttribute("aria-disabled", String(!mark));
        this.undo.button.setAttribute("aria-disabled", String(stepCounts().undo === 0));
        this.note.textContent = mark ? `Marked: ${describeMark(mark)}.` : photos.decided[photo] ? "A person decided on it before." : "";
    }

    write({ button: made, words }, action, photo, text, toClass) {
        const problem = whyNotMark(photo, action, toClass);
        const isRefused = problem !== "" && !(action === "relabel" && toClass < 0);
        words.textContent = text;
        made.setAttribute("aria-pressed", String(markOf(photo)?.action === action));
        made.setAttribute("aria-disabled", String(isRefused));
        made.title = isRefused ? problem : "";
    }

    showFinish() {
        const { passing } = this.queue;
        const isDone = passing.length > 0 && passing.every(isDecided);
        this.finish.replaceChildren(...(isDone ? [`All ${number(passing.length)} are decided. `, button("See and save the marks", () => go("marks"))] : []));
    }
}
