// Pictures of photos: small ones out of sprite sheets, larger ones out of the details.

import { photoLabel, photos, page, rejectOf } from "./data.js";
import { element } from "./dom.js";

const DETAILS_A_SCRIPT = 100;
const PICTURE_NAMES = { original: "Photo", mask: "Mask", result: "Result" };

/** What tiles can show: the name of the picture, and words. */
export const PICTURE_CHOICES = [
    ["original", "photo"],
    ["mask", "mask"],
    ["tinted", "what the mask leaves out"],
    ["result", "in the dataset"],
];
const LACKED_WORDS = { mask: "mask", tinted: "mask", result: "picture in the dataset" };
const TINT = "linear-gradient(#ff8cc6, #ff8cc6)";
const tileChoices = { photos: "original", masks: "result" }; // by view
const sheetUrls = new Map();
const detailScripts = new Map();

/** What the tiles of a view show, as the person chose last: a name of PICTURE_CHOICES. */
export function tilePicture(view) {
    return tileChoices[view];
}

/** Remember what the tiles of a view show, until the page is closed. */
export function keepTilePicture(view, which) {
    tileChoices[view] = which;
}

// What a tile shows, one above the other; [] without it. Tinted is the photo, multiplied with white in the mask and with a
// colour outside.
function tileLayers(index, which) {
    const urls = (which === "tinted" ? ["original", "mask"] : [which]).map((each) => pictureUrl(index, each));
    return urls.includes("") ? [] : urls;
}

/**
 * The small picture of a photo, of PICTURE_CHOICES. Where the page does not have that, the photo is dimmed.
 * It is decoration: what is around it says which photo it is, and what lacks.
 */
export function tile(index, side = page.sheets.tiles.side, which = "original") {
    const layers = which === "original" ? [] : tileLayers(index, which).map((url) => `url("${url}")`);
    if (layers.length) {
        const made = element("span", { class: `tile tile-whole ${which}`, "aria-hidden": "true" });
        made.style.width = made.style.height = `${side}px`;
        made.style.backgroundImage = layers.join(`, ${TINT}, `);
        return made;
    }
    const made = photos.tile[index] < 0 ? emptyTile(side) : sheetTile("tiles", photos.tile[index], side);
    made.classList.toggle("tile-lacking", which !== "original");
    return made;
}

/** Say what a tile lacks: "no mask", "mask not in this page", or "" where it shows what was chosen. */
export function lackedPicture(index, which) {
    if (which === "original" || tileLayers(index, which).length) {
        return "";
    }
    return photos.detail[index] < 0 && photos.tile[index] >= 0
        ? `${LACKED_WORDS[which]} not in this page`
        : `no ${LACKED_WORDS[which]}`;
}

function emptyTile(side) {
    const made = element("span", { class: "tile none", "aria-hidden": "true" });
    made.style.width = made.style.height = `${side}px`;
    return made;
}

/** A picture out of a sheet ("tiles", "means", "augmented"), by its place. */
export function sheetTile(sheet, place, side = page.sheets[sheet].side) {
    const { columns, rows } = page.sheets[sheet];
    const url = place >= 0 ? sheetUrl(sheet, Math.floor(place / (columns * rows))) : null;
    if (!url) {
        return emptyTile(side);
    }
    const within = place % (columns * rows);
    const made = element("span", { class: "tile", "aria-hidden": "true" });
    made.style.width = made.style.height = `${side}px`;
    made.style.backgroundImage = `url("${url}")`;
    made.style.backgroundSize = `${columns * side}px ${rows * side}px`;
    made.style.backgroundPosition = `${-(within % columns) * side}px ${-Math.floor(within / columns) * side}px`;
    return made;
}

// A sheet becomes a picture when its first photo is shown: most views need few of them.
function sheetUrl(sheet, place) {
    const id = `${sheet}-${place}`;
    if (!sheetUrls.has(id)) {
        const base64 = document.getElementById(id)?.textContent.trim();
        const blob = base64 ? new Blob([bytesOf(base64)], { type: "image/webp" }) : null;
        sheetUrls.set(id, blob ? URL.createObjectURL(blob) : null);
    }
    return sheetUrls.get(id);
}

/** Decode base64 to bytes. */
export function bytesOf(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place += 1) {
        bytes[place] = text.charCodeAt(place);
    }
    return bytes;
}

/** The URL of a picture at 128 px: "original", "mask" or "result". "" if the page does not have it. */
export function pictureUrl(index, which) {
    const place = photos.detail[index];
    if (place < 0 || place === null) {
        return "";
    }
    const script = Math.floor(place / DETAILS_A_SCRIPT);
    if (!detailScripts.has(script)) {
        const text = document.getElementById(`details-${script}`)?.textContent ?? "[]";
        detailScripts.set(script, JSON.parse(text));
    }
    const base64 = detailScripts.get(script)[place % DETAILS_A_SCRIPT]?.[Object.keys(PICTURE_NAMES).indexOf(which)];
    return base64 ? `data:image/webp;base64,${base64}` : "";
}

/** A picture at 128 px ("original", "mask", "result"). Without one: the small picture, or the reason why not. */
export function picture(index, which, side = 192) {
    const url = pictureUrl(index, which);
    const name = `${PICTURE_NAMES[which]} of product ${photoLabel(index)}`;
    if (url) {
        const made = element("img", { class: `picture ${which}`, src: url, alt: name, decoding: "async" });
        made.style.width = made.style.height = `${side}px`;
        return made;
    }
    if (which === "original" && photos.tile[index] >= 0) {
        const made = element("span", { class: "picture small", role: "img", "aria-label": name }, tile(index, side));
        made.style.width = made.style.height = `${side}px`;
        return made;
    }
    const made = element("span", { class: "picture none" }, whyNoPicture(index, which));
    made.style.width = made.style.height = `${side}px`;
    return made;
}

function whyNoPicture(index, which) {
    const stage = rejectOf(index)?.stage;
    if (stage === "listings" || stage === "ingest" || photos.tile[index] < 0) {
        return "No picture: the photo never came, or cannot be decoded.";
    }
    if (photos.detail[index] < 0) {
        return `The ${which} is not in this page: only suspects, rejects and a sample have it.`;
    }
    return which === "mask"
        ? "No mask: the background stays, or the photo has none."
        : "No result: no mask, or rejected before.";
}
