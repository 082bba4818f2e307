// What is set beside a photo in question: its large pictures, the nearest photos of a class, and facts in words.

import { catalogName, classLabel, classOfCatalogId, describePhoto, inWords, labelRowsOf, LISTED_IN, membersOf, page, pairsOf, photoLabel, photos, suspicionsOf, WHY_WORDS } from "./data.js";
import { counted, element, share } from "./dom.js";
import { nearest } from "./nearest.js";
import { picture, tile } from "./pictures.js";
import { openDetail } from "./detail.js";

const NEAREST_ASKED = 20;
const NARROW = { below: 640, photo: 176, small: 112, tile: 52 };
const USUAL = { below: 1700, photo: 256, small: 128, tile: 88 };
const WIDE = { below: Infinity, photo: 384, small: 192, tile: 144 };

/** The sides of pictures that a screen has room for: {photo, small, tile}. */
export function roomySides() {
    return [NARROW, USUAL, WIDE].find(({ below }) => innerWidth < below);
}

/** A figure with the photo as it was, and a link to where it came from. */
export function originalPicture(index) {
    const url = photos.url[index];
    if (!/^https?:\/\//i.test(url)) {
        return largePicture(index, "original", "As it was");
    }
    const link = element("a", { href: url, rel: "noreferrer noopener", target: "_blank",
        "aria-label": `see it in full: product ${photoLabel(index)}, in a new tab` }, "see it in full");
    return largePicture(index, "original", ["As it was; ", link]);
}

/** What else the audit found wrong with a photo, in words, or "". */
export function otherSuspicions(index, kind) {
    const others = suspicionsOf(index).filter((each) => each.kind !== kind);
    return others.map((each) => `Also listed in ${LISTED_IN[each.kind]}: ${WHY_WORDS[each.why] ?? inWords(each.why)}.`).join(" ");
}

/** A figure with a large picture of a photo: "original", "mask" or "result". */
export function largePicture(index, which, caption, side = roomySides().photo) {
    return element("figure", { class: "beside-figure" }, picture(index, which, side), element("figcaption", {}, caption));
}

/** Small pictures of photos as buttons; each opens its photo. */
export function tileButtons(indices, side = roomySides().tile) {
    return element("div", { class: "beside-tiles" }, indices.map((index) =>
        element("button", {
            type: "button",
            class: "beside-tile",
            title: `${photoLabel(index)}, ${classLabel(photos.class[index])}`,
            "aria-label": `Open ${describePhoto(index)}`,
            on: { click: () => openDetail(index, indices, { onClose: focusCardAgain }) },
        }, tile(index, side))));
}

// A mark in the dialog may have filled the card anew, without the button that opened it.
function focusCardAgain() {
    if (document.activeElement === document.body) {
        document.querySelector(".review-card")?.focus({ preventScroll: true });
    }
}

/** A section with the photos of a class that look most like a photo, of other groups. */
export function nearestOfClass(index, classIndex, heading, count = 9) {
    const found = nearest(index, count, { ofClass: classIndex, exceptGroup: true });
    return element("section", { class: "beside" },
        element("h4", { dir: "auto" }, heading, " ", element("bdi", {}, classLabel(classIndex))),
        found.length ? tileButtons(found) : element("p", { class: "beside-note" }, noNearest(classIndex)));
}

function noNearest(classIndex) {
    return page.components?.photos.length
        ? `No photo of another group is in ${classLabel(classIndex)}, or none that this page has an embedding of.`
        : "The page has no embeddings, so it cannot say which photos look alike.";
}

/** Which classes the photos have that look most like a photo: "Of the 20 nearest photos, 14 are shirts and 2 ...". */
function nearestInWords(index) {
    const found = nearest(index, NEAREST_ASKED, { exceptGroup: true });
    if (!found.length) {
        return "";
    }
    const counts = new Map();
    for (const other of found) {
        counts.set(photos.class[other], (counts.get(photos.class[other]) ?? 0) + 1);
    }
    const parts = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 3);
    const said = parts.map(([classIndex, times]) => `${times} ${classLabel(classIndex)}`).join(", ");
    return `The ${found.length} photos that look most like it: ${said}${counts.size > 3 ? ", and others" : ""}.`;
}

/** The baseline's answer to a test photo in words, or "". */
function baselineInWords(index) {
    const answer = photos.answer[index];
    if (answer === null || answer < 0) {
        return "";
    }
    const isRight = answer === photos.class[index];
    const verdict = isRight ? "its class" : "not for its class";
    return `The baseline takes this test photo for ${classLabel(answer)} (${share(photos.probability[index])}), ${verdict}.`;
}

/** The rows of labels of a photo's product, the latest last; the row whose class the photo has is marked. */
function labelRows(index) {
    const rows = labelRowsOf(index);
    const own = page.classes.catalog_id[photos.class[index]];
    return element("section", { class: "beside-rows" },
        element("h4", {}, "Rows of labels"),
        rows.length
            ? element("ul", {}, rows.map(([catalogId, date]) =>
                element("li", { class: catalogId === own ? "beside-row-won" : "" },
                    element("bdi", {}, catalogId === null ? "no class" : catalogName(catalogId)), ", ",
                    date ? element("time", { datetime: date }, dateInWords(date)) : "without a date")))
            : element("p", { class: "beside-note" }, "None: no row names a class of this product."));
}

/** A date as people write it, with the time where it has one: "2026-01-01 09:30". A number stays as it is. */
export function dateInWords(date) {
    return date.includes("T") ? date.slice(0, 16).replace("T", " ").replace(" 00:00", "") : date;
}

/** What a mark on a photo does to others, in words: one picture has one class. */
function reachInWords(index) {
    const same = pairsOf(index).length;
    const product = photos.product_id[index];
    const ofProduct = membersOf(photos.group[index]).filter((other) => photos.product_id[other] === product).length - 1;
    const parts = [];
    if (same) {
        parts.push(`${counted(same, "near-duplicate")} of it ${same === 1 ? "takes" : "take"} the class that you give here, too.`);
    }
    if (ofProduct > 0) {
        parts.push(`The product has ${counted(ofProduct, "other photo")}.`);
    }
    return parts.join(" ");
}

/**
 * The latest row of a photo's product that names a class, as stage catalog takes it: {classIndex (-1 if there is none, or
 * the page does not have its class), date ("" without one)}.
 */
export function latestRow(index) {
    const rows = labelRowsOf(index).filter(([catalogId]) => catalogId !== null);
    const latest = rows.find(([, date]) => date === rows.at(-1)[1]) ?? null; // they are in order; of one date the first counts
    return { classIndex: latest === null ? -1 : classOfCatalogId(latest[0]), date: latest?.[1] ?? "" };
}

/** Set a photo between the nearest photos of two classes: its own on the left, another on the right. */
export function fillComparison(card, photo, other, said, kind = "") {
    fillBeside(card, photo, [
        nearestOfClass(photo, photos.class[photo], "It is"),
        other >= 0 ? nearestOfClass(photo, other, "Perhaps") : null,
    ], said, kind);
}

/** Fill a card: the photo on the left, sections beside it, and words and the rows of labels below these. */
export function fillBeside(card, photo, sections, said, kind = "") {
    const words = [...said, nearestInWords(photo), baselineInWords(photo), otherSuspicions(photo, kind), reachInWords(photo)].filter(Boolean);
    card.append(element("div", { class: "beside-comparison" },
        element("div", { class: "beside-photo" },
            originalPicture(photo),
            largePicture(photo, "result", "As it is in the dataset", roomySides().small)),
        sections,
        element("div", { class: "beside-words" },
            element("div", {}, words.map((text) => element("p", { dir: "auto" }, text))),
            labelRows(photo))));
}
