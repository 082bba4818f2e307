// A queue of cards: the list of suspects beside one large card, made for deciding by keyboard.

import { classLabel, inWords, membersOf, photoLabel, photos, suspectsOf, WHY_WORDS } from "./data.js";
import { openDetail } from "./detail.js";
import { announce, element, number } from "./dom.js";
import { isTyping, markKeys } from "./keys.js";
import { onMarks, stepCounts } from "./marks.js";
import { keepTilePicture, PICTURE_CHOICES, tilePicture } from "./pictures.js";
import { ReviewActions } from "./review_actions.js";
import { goOnLink, isDecided, ReviewList } from "./review_list.js";
import { currentRoute, replaceRoute, routeTo } from "./router.js";

const ADDRESS_PAUSE = 300; // milliseconds
const BY_NAME = new Intl.Collator();
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
 * onSide(content, side), suggestion(item, photo), reason (of an exclusion), grid (a route with the same photos),
 * above (what is above the list, or null), goOn (a route with the photos that are not listed), picturesVary (whether a person chooses what the list shows).
 * An item has: photo, photos (all that it shows), rank (from 1 within the queue), kind (of LISTED_IN), why,
 * suggestion (a class or -1), title, caption.
 */
export function openReview(host, query, spec) {
    if (!spec.items.length) {
        host.append(element("p", { class: "review-empty" }, spec.empty, " ", goOnLink(spec)), spec.above ?? "");
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

/** The suspects of a kind that is not about classes as items: all have the same form of title and caption. */
export function suspectItems(kind) {
    return suspectsOf(kind).map(({ photo, rank, score, why }) => ({
        photo, photos: [photo], rank, score, why, suggestion: -1, kind,
        title: `${photoLabel(photo)}, ${classLabel(photos.class[photo])}: ${WHY_WORDS[why] ?? inWords(why)}`,
        caption: `${inWords(why)}: ${classLabel(photos.class[photo])}`,
    }));
}

function startReview(host, spec, query) {
    const queue = new ReviewQueue(spec, query);
    host.append(queue.root);
    queue.start();
    return queue;
}

/** The other photos of a photo's product that are in the dataset. */
function restOfProduct(photo) {
    const product = photos.product_id[photo];
    const isRest = (other) => other !== photo && photos.product_id[other] === product && photos.reject[other] < 0;
    return membersOf(photos.group[photo]).filter(isRest);
}

function countedBy(values) {
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) ?? 0) + 1));
    return counts;
}

/** Which items are shown, which is the current one, and what marks do. */
class ReviewQueue {
    constructor(spec, query) {
        const isPlace = ["rank", "why", "class", "hide"].some((name) => query.has(name));
        const asked = isPlace ? query : new URLSearchParams(lastPlaces.get(this.placeName(spec)));
        this.spec = spec;
        this.filters = { why: asked.get("why") ?? "", class: asked.get("class") ?? "", hide: asked.get("hide") ?? "" };
        this.lastRank = asked.get("rank");
        this.written = routeTo(spec.view, query);
        this.side = 0;
        this.current = null;
        this.itemsOfPhoto = new Map();
        for (const item of spec.items) {
            for (const photo of item.photos) {
                this.itemsOfPhoto.set(photo, [...(this.itemsOfPhoto.get(photo) ?? []), item]);
            }
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
        const { spec } = this;
        this.progress = element("span", {});
        this.meter = element("progress", { "aria-label": "Decided" });
        this.heading = element("h3", { id: "review-heading", dir: "auto", "aria-live": "polite" });
        this.content = element("div", { class: "review-content" });
        this.card = element("section", { class: "review-card", tabindex: "-1", "aria-labelledby": "review-heading" },
            this.heading, this.content, this.actions.element);
        this.root = element("div", { class: "review", tabindex: "-1", on: { keydown: (event) => this.onKey(event) } },
            element("p", { class: "review-intro" }, this.spec.intro),
            spec.above ?? null,
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
        const productKey = element("kbd", { "aria-hidden": "true" }, "p");
        const hasProducts = !this.spec.targets && items.some(({ photo }) => restOfProduct(photo).length > 0);
        this.canMarkProducts = hasProducts;
        return element("div", { class: "review-bar" },
            element("p", { class: "review-progress" }, this.progress, " ", this.meter),
            this.makeChoice("why", "Why", countedBy(items.map(({ why }) => why)), (why) => whyWords[why] ?? why),
            this.makeChoice("class", "Class", countedBy(items.map(({ photo }) => String(photos.class[photo]))),
                (index) => classLabel(Number(index))),
            this.spec.picturesVary ? this.makePictureChoice() : null,
            element("label", {}, hide, " Hide decided"),
            element("label", {}, goOn, " Go on after a mark"),
            hasProducts ? element("label", {}, this.product, " Mark the whole product ", productKey) : null,
            this.spec.grid ? element("a", { href: `#${this.spec.grid}` }, "All in a grid") : null);
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

    // Which picture the list shows; the view Photos has a choice of its own.
    makePictureChoice() {
        const select = element("select", { on: { change: () => {
            keepTilePicture(this.spec.view, select.value);
            this.list.show();
            this.list.setCurrent();
        } } }, PICTURE_CHOICES.map(([value, text]) => element("option", { value }, text)));
        select.value = tilePicture(this.spec.view);
        return element("label", { class: "review-choice" }, "Pictures ", select);
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

    /** The next item after the current one that is not decided, null at the end. */
    nextOpen() {
        const start = this.visible.indexOf(this.current) + 1;
        return this.visible.slice(start).find((item) => !isDecided(item)) ?? null;
    }

    /** How many are not decided, where somebody came to the end; else 0. */
    leftAtEnd() {
        const isEnd = this.current === null || (isDecided(this.current) && this.nextOpen() === null);
        return isEnd ? this.visible.filter((item) => !isDecided(item)).length : 0;
    }

    /** Go to the first item that is not decided. */
    goToFirstOpen() {
        this.select(this.firstOpen());
        this.focusCard();
    }

    select(item) {
        const hadFocus = this.content.contains(document.activeElement);
        this.current = item;
        this.side = 0;
        this.content.replaceChildren();
        const left = this.visible.length;
        const title = item ? [`${number(item.rank)}. `, element("bdi", {}, item.title)] : [left ? "The end" : "Nothing is left here"];
        this.heading.replaceChildren(...title);
        if (item) {
            this.spec.fill(this.content, item, this);
        } else if (!left) {
            const why = this.filters.hide ? "All that the filters show are decided." : "Nothing passes the filters.";
            this.content.append(element("p", {}, why));
        }
        this.list.setCurrent();
        this.actions.describe();
        this.writePlace();
        this.showTop();
        if (hadFocus) {
            this.focusCard();
        }
    }

    // A card begins at its title, also where somebody has scrolled on: the tabs would hide it, or it would be below.
    showTop() {
        const { top } = this.heading.getBoundingClientRect();
        if (this.card.isConnected && (top < Math.max(0, document.getElementById("tabs").getBoundingClientRect().bottom) || top > innerHeight)) {
            this.card.scrollIntoView({ block: "start", behavior: "instant" });
        }
    }

    // Where somebody is belongs into the address, but browsers stop pages that change it with each repeated key.
    writePlace() {
        clearTimeout(this.writing);
        this.writing = setTimeout(() => {
            if (this.isOpen && currentRoute().view === this.spec.view) { // another address may be on its way
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
        const photo = this.target();
        return [photo, ...(this.canMarkProducts && marksWholeProduct ? restOfProduct(photo) : [])];
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
        const touched = [...(photosChanged ?? this.itemsOfPhoto.keys())];
        const changed = [...new Set(touched.flatMap((photo) => this.itemsOfPhoto.get(photo) ?? []))];
        const isUndo = stepCounts().undo < this.undoSteps;
        this.undoSteps = stepCounts().undo;
        const before = this.current;
        const next = this.afterMarks(changed, isUndo || photosChanged === null);
        const following = this.nextOpen(); // where the current one is hidden: on in the list's order, never back
        this.filterItems();
        this.list.describe(changed);
        if (next !== before || (before && !this.visible.includes(before))) {
            this.select([next, following].find((item) => this.visible.includes(item)) ?? null);
        } else {
            this.refill(photosChanged);
            this.actions.describe();
        }
    }

    // Examples beside the card may be marked meanwhile, from their dialogs or in another tab.
    refill(photosChanged) {
        if (this.current && !this.spec.targets && [...(photosChanged ?? [-1])].some((photo) => !this.current.photos.includes(photo))) {
            this.content.replaceChildren();
            this.spec.fill(this.content, this.current, this);
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
        const kind = this.current.kind || null;
        openDetail(this.target(), siblings, { kind, onClose: (photo) => this.selectPhoto(photo) });
    }
}
