// Which photos a query chooses, and in which order. A query is the part of the address after "photos?".

import {
    baselineWasRight,
    classLabel,
    inWords,
    page,
    pairsOf,
    photoCount,
    photoLabel,
    photos,
    suspicionOf,
    suspicionsOf,
    suspectsOf,
} from "./data.js";
import { share } from "./dom.js";
import { markOf } from "./marks.js";

let namePlaces = null;

/** The groups of values that a filter offers: {id, label, options: [[value, text]]}. The class has a picker instead. */
export const FILTERS = [
    { id: "subset", label: "Subset", options: () => page.subsets.map((subset) => [subset, subset]) },
    {
        id: "kind",
        label: "Suspect",
        options: () => [
            ["any", "of any kind"],
            ["none", "of no kind"],
            ...page.kinds.map((kind) => [kind, `of kind ${kind}`]),
            ...page.kinds.map((kind) => [`not_${kind}`, `not of kind ${kind}`]),
        ],
    },
    {
        id: "why",
        label: "Why suspect",
        options: () => [...new Set(page.suspects.why)].sort().map((why) => [why, inWords(why)]),
    },
    {
        id: "reject",
        label: "Rejected",
        options: () => [["none", "no, in the dataset"], ["any", "yes, for any reason"], ...rejectOptions()],
    },
    {
        id: "group",
        label: "Group",
        options: () => [
            ["several", "of several photos"],
            ["1", "of 1 photo"],
            ["2", "of 2 photos"],
            ["3", "of 3 photos"],
            ["4+", "of 4 photos or more"],
        ],
    },
    {
        id: "pair",
        label: "Near-duplicate",
        options: () => [
            ["any", "yes"],
            ["none", "no"],
        ],
    },
    {
        id: "baseline",
        label: "Baseline",
        options: () => [
            ["right", "right"],
            ["wrong", "wrong"],
            ["none", "not asked"],
        ],
    },
    {
        id: "decided",
        label: "Decided",
        options: () => [
            ["0", "by nobody"],
            ["1", "class by a person"],
            ["2", "excluded by a person"],
        ],
    },
    {
        id: "mark",
        label: "Marked",
        options: () => [
            ["any", "yes"],
            ["none", "no"],
            ["exclude", "exclude"],
            ["relabel", "relabel"],
            ["right", "right as it is"],
        ],
    },
];

/** The names of a query that choose photos. The others, sort and order, are their order. */
export const QUERY_NAMES = [...FILTERS.map(({ id }) => id), "class", "answer", "search", "photos"];

function rejectOptions() {
    return page.rejects.map(({ stage, reason }) => [`${stage}:${reason}`, `${stage}: ${inWords(reason)}`]);
}

const byPosition = (table) => (index) => table[index];

function rankIn(kind) {
    const ranks = new Map(suspectsOf(kind).map(({ photo, rank }) => [photo, rank]));
    return (index) => ranks.get(index) ?? null;
}

// Names are compared once, not for each of ten thousand photos.
function placeOfName(index) {
    if (namePlaces === null) {
        const { compare } = new Intl.Collator(undefined, { numeric: true });
        const order = page.classes.name
            .map((_, place) => place)
            .sort((one, other) => compare(classLabel(one), classLabel(other)));
        namePlaces = new Map(order.map((place, rank) => [place, rank]));
    }
    return namePlaces.get(photos.class[index]) ?? null;
}

/** The orders: id, name, and a function that makes the value of a photo. Photos without the value come last. */
export const SORTS = [
    ["product", "product id", () => (index) => index],
    ["class", "class name", () => placeOfName],
    ["doubt_class", "doubt about the class", () => byPosition(photos.own_probability)],
    ["doubt_mask", "doubt about the mask", () => (index) => (photos.mask_score[index] === null ? null : -photos.mask_score[index])],
    ["width", "width", () => byPosition(photos.width)],
    ["height", "height", () => byPosition(photos.height)],
    ["sharpness", "sharpness", () => byPosition(photos.sharpness)],
    ["brightness", "brightness", () => byPosition(photos.brightness)],
    ["contrast", "contrast", () => byPosition(photos.contrast)],
    ["aspect_ratio", "aspect ratio", () => byPosition(photos.aspect_ratio)],
    ["foreground_share", "foreground share", () => byPosition(photos.foreground_share)],
    ["border_share", "border share of the mask", () => byPosition(photos.border_share)],
    ["uncertainty", "uncertainty of the mask", () => byPosition(photos.uncertainty)],
    ["pieces", "pieces of the mask", () => byPosition(photos.pieces)],
    ["probability", "probability of the baseline's answer", () => byPosition(photos.probability)],
    ["group_size", "size of its group", () => byPosition(photos.group_size)],
    ...page.kinds.map((kind) => [`rank_${kind}`, `rank as suspect ${kind}`, () => rankIn(kind)]),
];

const GROUP_TESTS = {
    several: (size) => size > 1,
    "4+": (size) => size >= 4,
};

const TESTS = {
    subset: (value) => (index) => (page.subsets[photos.subset[index]] ?? "none") === value,
    kind: (value) => (index) => matchesKind(index, value),
    why: (value) => (index) => suspicionsOf(index).some(({ why }) => why === value),
    reject: (value) => (index) => matchesReject(photos.reject[index], value),
    group: (value) => (index) =>
        Object.hasOwn(GROUP_TESTS, value) ? GROUP_TESTS[value](photos.group_size[index]) : photos.group_size[index] === Number(value),
    pair: (value) => (index) => pairsOf(index).length > 0 === (value !== "none"),
    baseline: (value) => (index) => ({ right: true, wrong: false, none: null })[value] === baselineWasRight(index),
    decided: (value) => (index) => decisionOf(index) === value,
    mark: (value) => (index) => matchesMark(markOf(index), value),
    class: (value) => isAmong(value, photos.class),
    answer: (value) => isAmong(value, photos.answer),
    photos: (value) => {
        const wanted = new Set(value.split(",").map(Number));
        return (index) => wanted.has(index);
    },
    search: (value) => matchesSearch(value),
};

// A class that a person gave to the whole product is the photo's, too.
function decisionOf(index) {
    return ["0", "1", "2", "1"][photos.decided[index]];
}

function matchesKind(index, value) {
    if (value === "any" || value === "none") {
        return suspicionsOf(index).length > 0 === (value === "any");
    }
    const kind = value.replace(/^not_/, "");
    return (suspicionOf(index, kind) !== null) === (kind === value);
}

function matchesReject(reject, value) {
    if (value === "any" || value === "none") {
        return reject >= 0 === (value === "any");
    }
    const { stage, reason } = page.rejects[reject] ?? {};
    return reject >= 0 && [reason, stage, `${stage}:${reason}`].includes(value);
}

function matchesMark(mark, value) {
    return value === "any" || value === "none" ? (mark !== null) === (value === "any") : mark?.action === value;
}

function isAmong(value, column) {
    const wanted = new Set(value.split(",").map((text) => (text === "none" ? -1 : Number(text))));
    return (index) => wanted.has(column[index] ?? -1);
}

// Each word has to be in the product id or in the name of the class, in capitals or not.
function matchesSearch(text) {
    const words = text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const names = page.classes.name.map((_, index) => classLabel(index).toLocaleLowerCase());
    return (index) => {
        const id = photos.product_id[index].toLocaleLowerCase();
        return words.every((word) => id.includes(word) || (names[photos.class[index]] ?? "").includes(word));
    };
}

/** The photos that a query chooses, in its order. */
export function choosePhotos(query) {
    const tests = Object.keys(TESTS)
        .filter((name) => query.get(name))
        .map((name) => TESTS[name](query.get(name)));
    const chosen = [];
    for (let index = 0; index < photoCount; index += 1) {
        if (tests.every((test) => test(index))) {
            chosen.push(index);
        }
    }
    return sortPhotos(chosen, query.get("sort") ?? "", query.get("order") ?? "");
}

function sortPhotos(chosen, sort, order) {
    const found = SORTS.find(([id]) => id === sort) ?? SORTS[0];
    const valueOf = found[2]();
    const keyed = chosen.map((index) => [valueOf(index), index]);
    const sign = order === "down" ? -1 : 1;
    keyed.sort(([one, first], [other, second]) => {
        if (one === null || one === undefined || other === null || other === undefined) {
            return (
                Number(one === null || one === undefined) - Number(other === null || other === undefined) ||
                first - second
            );
        }
        return sign * (one - other) || first - second;
    });
    return keyed.map(([, index]) => index);
}

// What a query of photos is about, beside their class: id of the sort, or of the filter; what is under a tile.
const CLASS_CAPTIONS = {
    doubt_class: (index) => {
        const [own, other] = [photos.own_probability[index], photos.other_class[index]];
        return own === null ? "" : ` ${share(own)}${own < 0.5 && other >= 0 ? `, or ${classLabel(other)}?` : ""}`;
    },
    doubt_mask: (index) => (photos.mask_score[index] === null ? "" : ` ${photos.mask_score[index].toFixed(2)}`),
    wrong: (index) => (baselineWasRight(index) === false ? `; baseline: ${classLabel(photos.answer[index])}` : ""),
};

/** The class as the text under a photo's tile, with the doubt by which a query sorts, or the baseline's wrong answer. */
export function classCaption(query) {
    const more = [query.get("sort"), query.get("baseline")].find((name) => Object.hasOwn(CLASS_CAPTIONS, name));
    return (index) => `${classLabel(photos.class[index])}${CLASS_CAPTIONS[more]?.(index) ?? ""}`;
}

/** What a sort shows of a photo, as the text under its tile. */
export function sortCaption(sort) {
    const found = SORTS.find(([id]) => id === sort);
    if (!found || sort === "class") {
        return (index) => classLabel(photos.class[index]);
    }
    if (sort === "product") {
        return (index) => photoLabel(index);
    }
    const valueOf = found[2]();
    return (index) => {
        const value = sort === "doubt_mask" ? photos.mask_score[index] : valueOf(index);
        return value === null || value === undefined ? "—" : String(Number(value.toPrecision(4)));
    };
}
