// The data of the page, as stage page wrote it, and what several views ask of it.

import { number } from "./dom.js";

/** All data but the pictures. imageset/page describes it. */
export const page = JSON.parse(document.getElementById("data").textContent);

/** One array a column, ordered by product_id and position. Photos are named by their index. */
export const photos = page.photos;

/** How many photos the page has. */
export const photoCount = photos.product_id.length;

/** What a method of the audit saw, in words. */
export const WHY_WORDS = {
    another_class: "models find another class likelier",
    small_foreground: "the mask is much smaller than those of its class",
    large_foreground: "the mask is much larger than those of its class",
    unlike_class: "the mask is unlike those of its class",
    weak_outline: "much of the mask's outline separates nothing",
    unsure: "the network was undecided in much of the photo",
    far_from_all: "it looks like no class",
    uniform: "the whole picture has one gray value",
    blurred: "it has little sharpness",
    dark: "it is darker than the others",
    bright: "it is brighter than the others",
    low_contrast: "nearly all gray values are the same",
    small: "its shorter side has few pixels",
    elongated: "one side is much longer than the other",
};

/** The class's name; with its catalog_id where two classes have the same name. */
export function classLabel(index) {
    return index < 0 || index === null || index === undefined ? "no class" : classLabels[index];
}

const classLabels = makeClassLabels();

function makeClassLabels() {
    const { name, catalog_id: ids } = page.classes;
    const times = new Map();
    name.forEach((text) => times.set(text, (times.get(text) ?? 0) + 1));
    return name.map((text, index) => (times.get(text) > 1 || !text ? `${text} (${ids[index]})` : text));
}

const classOfId = new Map(page.classes.catalog_id.map((id, index) => [String(id), index])); // large ids are texts

/** The index of a class by its catalog_id, -1 if the page does not know it. */
export function classOfCatalogId(catalogId) {
    return classOfId.get(String(catalogId)) ?? -1;
}

const rowsOfProduct = new Map(Object.entries(page.label_rows)); // an id may be any text, such as "constructor"

/** The rows of labels of a photo's product, [catalog_id or null, date] each, the earliest first. */
export function labelRowsOf(index) {
    return rowsOfProduct.get(photos.product_id[index]) ?? [];
}

/** The name of a class by its catalog_id, also of one that no photo of the page has. */
export function catalogName(catalogId) {
    if (catalogId === null) {
        return "no class";
    }
    const index = classOfCatalogId(catalogId);
    return index >= 0 ? classLabel(index) : `class ${catalogId}`;
}

/** What people call a photo: its product, and its position where that is not 0. */
export function photoLabel(index) {
    const position = photos.position[index];
    return position === 0 ? photos.product_id[index] : `${photos.product_id[index]} photo ${position}`;
}

/** One line about a photo for screen readers. */
export function describePhoto(index) {
    const reject = rejectOf(index);
    const parts = [`product ${photoLabel(index)}`];
    parts.push(reject ? `rejected by ${reject.stage}: ${inWords(reject.reason)}` : classLabel(photos.class[index]));
    if (photos.subset[index] >= 0) {
        parts.push(page.subsets[photos.subset[index]]);
    }
    for (const suspicion of suspicionsOf(index)) {
        parts.push(`suspect ${suspicion.kind} ${number(suspicion.rank)}`);
    }
    return parts.join(", ");
}

/** A name of a table as words: "no_label" is "no label". */
export function inWords(name) {
    return name.replaceAll("_", " ");
}

const suspicionsByKind = new Map(page.kinds.map((kind) => [kind, []]));
const suspicionsByPhoto = new Map();
page.suspects.photo.forEach((photo, row) => {
    const kind = page.kinds[page.suspects.kind[row]];
    const { rank, score, why, suggestion } = page.suspects;
    const found = { photo, kind, rank: rank[row], score: score[row], why: why[row], suggestion: suggestion[row] };
    suspicionsByKind.get(kind).push(found);
    addTo(suspicionsByPhoto, photo, found);
});
suspicionsByKind.forEach((found) => found.sort((one, other) => one.rank - other.rank));

function addTo(map, key, value) {
    const list = map.get(key);
    if (list) {
        list.push(value);
    } else {
        map.set(key, [value]);
    }
}

/** The suspects of a kind, the most suspicious first: {photo, kind, rank, score, why, suggestion}. */
export function suspectsOf(kind) {
    return suspicionsByKind.get(kind) ?? [];
}

/** What looks wrong with a photo: {photo, kind, rank, score, why, suggestion} of each kind. */
export function suspicionsOf(index) {
    return suspicionsByPhoto.get(index) ?? [];
}

/** What looks wrong with a photo, of one kind, or null. */
export function suspicionOf(index, kind) {
    return suspicionsOf(index).find((suspicion) => suspicion.kind === kind) ?? null;
}

const membersByGroup = new Map();
photos.group.forEach((group, index) => {
    if (group >= 0) {
        addTo(membersByGroup, group, index);
    }
});

/** The photos of a group that the page has. */
export function membersOf(group) {
    return membersByGroup.get(group) ?? [];
}

const pairsByPhoto = new Map();
page.pairs.photo.forEach((photo, row) => {
    const other = page.pairs.other[row];
    addTo(pairsByPhoto, photo, { photo: other, likeness: page.pairs.likeness[row] });
    addTo(pairsByPhoto, other, { photo, likeness: page.pairs.likeness[row] });
});

/** The near-duplicates of a photo: {photo, likeness}. */
export function pairsOf(index) {
    return pairsByPhoto.get(index) ?? [];
}

const changesByPhoto = new Map();
page.changes.photo.forEach((photo, row) => {
    const { change, told, class: classes } = page.changes;
    addTo(changesByPhoto, photo, { change: change[row], told: told[row], class: classes[row] });
});

/** The views that list photos, by what a photo is found as: a kind of suspect, or one of the two others. */
export const LISTED_IN = {
    label: "Labels", mask: "Masks", outlier: "Oddities", photo: "Oddities", pair: "Near-duplicates", change: "Label changes",
};

/** Whether a photo is found as a kind of suspect, as "pair" or as "change". */
export function isFoundAs(index, kind) {
    const found = { pair: pairsOf, change: changesOf }[kind];
    return found ? found(index).length > 0 : suspicionOf(index, kind) !== null;
}

/** How the class of a photo was decided where that was not plain: {change, told, class}. */
export function changesOf(index) {
    return changesByPhoto.get(index) ?? [];
}

/** {stage, reason} of a photo that is not in the dataset, or null. */
export function rejectOf(index) {
    const reject = photos.reject[index];
    return reject >= 0 ? page.rejects[reject] : null;
}

/** Whether the baseline named the photo's class: true, false, or null if it was not asked. */
export function baselineWasRight(index) {
    const answer = photos.answer[index];
    return answer < 0 || answer === null ? null : answer === photos.class[index];
}

const indexByKey = new Map();

/** The photo of a product and position, -1 if the page does not have it. */
export function photoOf(productId, position) {
    if (indexByKey.size === 0) {
        photos.product_id.forEach((id, index) => indexByKey.set(`${id}/${photos.position[index]}`, index));
    }
    return indexByKey.get(`${productId}/${position}`) ?? -1;
}
