// Mask suspects: the photo, what its mask leaves out, the mask and the result side by side.

import { largePicture, originalPicture, otherSuspicions, roomySides } from "./beside.js";
import { photoLabel, photos, suspectsOf, WHY_WORDS } from "./data.js";
import { element } from "./dom.js";
import { pictureUrl } from "./pictures.js";
import { openReview, suspectItems } from "./review.js";
import { WHAT_RIGHT_DOES } from "./review_actions.js";
import { routeTo } from "./router.js";
import { factLine, scoreLine } from "./usual.js";

const UNUSUAL_FACT = { small_foreground: "foreground_share", large_foreground: "foreground_share", unsure: "uncertainty" };
const SCORE_WORDS = { unlike_class: "Unlike the masks of its class", weak_outline: "Weak outline" }; // no fact says these
const LEAST_SCORE = 3; // from which stage audit lists a mask
const MASK_FACTS = ["foreground_share", "uncertainty", "border_share", "pieces"];
const LEFT_OUT_COLOUR = "#d6006e";
const SHOWN_OF_LEFT_OUT = 0.35;

/** A figure of the photo in which everything that the mask leaves out is tinted; null without both pictures. */
function tintedPicture(index, side) {
    const sources = ["original", "mask"].map((which) => pictureUrl(index, which));
    if (sources.includes("")) {
        return null;
    }
    const canvas = element("canvas", { class: "picture", role: "img", width: 0, height: 0,
        "aria-label": `Product ${photoLabel(index)}; what the mask leaves out is tinted` });
    canvas.style.width = canvas.style.height = `${side}px`;
    Promise.all(sources.map(loadImage)).then(([original, mask]) => drawTinted(canvas, original, mask), () => canvas.remove());
    return element("figure", { class: "beside-figure" }, canvas, element("figcaption", {}, "What the mask leaves out, tinted"));
}

async function loadImage(source) {
    const image = new Image();
    image.src = source;
    await image.decode();
    return image;
}

// Blending alone makes this, so no pixel is read: original x mask + tint x (1 - mask).
function drawTinted(canvas, original, mask) {
    const [width, height] = [original.naturalWidth, original.naturalHeight];
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const outside = new OffscreenCanvas(width, height).getContext("2d");
    outside.drawImage(mask, 0, 0, width, height);
    outside.globalCompositeOperation = "difference";
    outside.fillStyle = "#fff";
    outside.fillRect(0, 0, width, height);
    outside.globalCompositeOperation = "multiply";
    outside.fillStyle = LEFT_OUT_COLOUR;
    outside.fillRect(0, 0, width, height);
    context.drawImage(mask, 0, 0, width, height);
    context.globalAlpha = SHOWN_OF_LEFT_OUT;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.globalAlpha = 1;
    context.globalCompositeOperation = "multiply";
    context.drawImage(original, 0, 0);
    context.globalCompositeOperation = "lighter";
    context.globalAlpha = 1 - SHOWN_OF_LEFT_OUT;
    context.drawImage(outside.canvas, 0, 0);
}

function fillMaskCard(card, { photo, why, score }) {
    const isScoreTold = Object.hasOwn(SCORE_WORDS, why);
    const told = scoreLine(SCORE_WORDS[why] ?? "All in all", score, suspectsOf("mask"), LEAST_SCORE, isScoreTold);
    const facts = MASK_FACTS.map((fact) => factLine(photo, fact, UNUSUAL_FACT[why] === fact));
    card.append(
        element("div", { class: "beside-row" },
            originalPicture(photo),
            tintedPicture(photo, roomySides().photo),
            largePicture(photo, "mask", "Mask: white is kept"),
            largePicture(photo, "result", "As it is in the dataset")),
        element("div", { class: "usual-lines" }, isScoreTold ? [told, facts] : [facts, told]),
        element("p", {}, otherSuspicions(photo, "mask")));
}

function noMasks() {
    const isKept = !photos.foreground_share.some((value) => value !== null);
    return isKept
        ? "There are no masks: with masks.background at keep, the background stays, and no mask can be wrong."
        : "No mask looks wrong. Stage audit found no mask suspect.";
}

/** The view of mask suspects. */
export const masksView = {
    id: "masks",
    title: "Masks",
    count: () => suspectsOf("mask").length,
    open: (host, query) => openReview(host, query, {
        view: "masks",
        grid: routeTo("photos", { kind: "mask", sort: "rank_mask" }),
        items: suspectItems("mask"),
        fill: fillMaskCard,
        picturesVary: true,
        goOn: routeTo("photos", { kind: "not_mask", sort: "doubt_mask" }),
        whyWords: WHY_WORDS,
        listLabel: "Masks that look wrong, the most suspect first",
        intro: "Masks that may have lost a part of the garment, or kept something else. "
            + `A whole garment that is small in its photo is right as it is. ${WHAT_RIGHT_DOES}`,
        empty: noMasks(),
    }),
};
