// Near-duplicates: pairs of photos that look nearly alike, with the doubtful ones first.

import { dateInWords, latestRow, roomySides, tileButtons } from "./beside.js";
import { changesOf, classLabel, membersOf, page, photoLabel, photos, rejectOf, inWords } from "./data.js";
import { button, counted, element } from "./dom.js";
import { picture } from "./pictures.js";
import { openReview } from "./review.js";
import { go, routeTo } from "./router.js";

const WHY_PAIR = {
    classes_differ: "the two have different classes",
    rows_differ: "their rows of labels name different classes",
    left_out: "one of the two is left out",
    alike: "both have the same class and the same latest label",
};
const PAIR_ORDER = Object.keys(WHY_PAIR);
const REASON_OF_COPIES = "copy";
const GROUP_SHOWN = 12;

function whyPair(photo, other) {
    if (photos.class[photo] !== photos.class[other] && photos.class[photo] >= 0 && photos.class[other] >= 0) {
        return "classes_differ";
    }
    const disagree = [photo, other].some((index) => changesOf(index).some(({ change }) => change === "same_photo"));
    if (disagree || latestRow(photo).classIndex !== latestRow(other).classIndex) {
        return "rows_differ";
    }
    return rejectOf(photo) || rejectOf(other) ? "left_out" : "alike";
}

// A pair whose classes disagree is either two garments or a wrong label; then the least alike come first.
function pairItems() {
    const { photo, other, likeness } = page.pairs;
    const pairs = photo.map((first, row) => {
        const second = other[row];
        return { first, second, likeness: likeness[row], why: whyPair(first, second) };
    });
    pairs.sort((one, two) => PAIR_ORDER.indexOf(one.why) - PAIR_ORDER.indexOf(two.why) || one.likeness - two.likeness);
    return pairs.map(({ first, second, likeness: alike, why }, row) => ({
        photo: first, photos: [first, second], rank: row + 1, kind: "pair", why, suggestion: -1, likeness: alike,
        title: `${photoLabel(first)} and ${photoLabel(second)}: likeness ${alike.toFixed(2)}`,
        caption: `${alike.toFixed(2)} ${classLabel(photos.class[first])}${why === "alike" ? "" : " !"}`,
    }));
}

function otherClass({ photos: [first, second] }, photo) {
    const own = photos.class[photo];
    const known = [first, second].flatMap((index) => [photos.class[index], latestRow(index).classIndex]);
    return known.find((classIndex) => classIndex >= 0 && classIndex !== own) ?? -1;
}

function pairSide(queue, photo, side, names) {
    const reject = rejectOf(photo);
    const { classIndex, date } = latestRow(photo);
    const facts = [
        ["Product", photoLabel(photo)],
        ["Class", classLabel(photos.class[photo])],
        ["Latest row", `${classIndex >= 0 ? classLabel(classIndex) : "nothing"}${date ? `, ${dateInWords(date)}` : ""}`],
        ["Subset", photos.subset[photo] >= 0 ? page.subsets[photos.subset[photo]] : "none"],
        ["Left out", reject ? inWords(reject.reason) : "no"],
    ];
    const choose = element("button", { type: "button", class: "button pair-choose", "aria-pressed": "false",
        on: { click: () => queue.chooseSide(side) } }, `Keys mark the ${names[side]} one`);
    return element("section", { class: "pair-side", "aria-label": `The ${names[side]} photo`,
        on: { click: () => queue.chooseSide(side) } },
    picture(photo, "original", roomySides().photo),
    choose,
    element("dl", {}, facts.map(([name, value]) => [element("dt", {}, name), element("dd", {}, element("bdi", {}, value))])));
}

function showSide(content, chosen) {
    content.querySelectorAll(".pair-side").forEach((section, side) => {
        section.toggleAttribute("data-chosen", side === chosen);
        section.querySelector(".pair-choose").setAttribute("aria-pressed", String(side === chosen));
    });
}

function fillPairCard(card, item, queue) {
    const [first, second] = item.photos;
    const members = membersOf(photos.group[first]);
    const sides = item.photos.map((photo, side) => pairSide(queue, photo, side, ["left", "right"]));
    card.append(
        element("p", {}, `Likeness ${item.likeness.toFixed(3)}; ${WHY_PAIR[item.why]}.`),
        element("div", { class: "pair" }, sides, element("div", {},
            element("ul", { class: "pair-words" }, pairWords(first, second).map((text) => element("li", {}, text))),
            members.length > 2 ? groupSection(first, members) : null)));
    showSide(card, 0);
}

function groupSection(photo, members) {
    const show = () => go(routeTo("photos", { photos: members.join(",") }));
    const all = button(`Show all ${counted(members.length, "photo")} of the group in Photos`, show, { quiet: true });
    return element("section", {}, element("h4", {}, `In one group with ${counted(photos.group_size[photo] - 2, "other photo")}`),
        tileButtons(members.slice(0, GROUP_SHOWN), 64), element("p", {}, all));
}

function pairWords(first, second) {
    const isOut = [first, second].some((index) => photos.subset[index] < 0);
    return [
        isOut ? null : "Without a mark, both photos stay, and both are in the same subset: the test score is as good as without the copy.",
        isOut ? null : `To keep one of them, exclude the ${worseInWords(first, second)}.`,
        olderInWords(first, second),
        "A class that you give one of them goes to both if they are one picture, in colour, but not to a photo with a correction of its own.",
        "Are these two garments? No mark parts them. If their classes differ, raise duplicates.likeness in params.yaml: then only photos "
            + "that are more alike count as near-duplicates.",
    ].filter(Boolean);
}

// Which of the two to exclude, where one of them is to go.
function worseInWords(first, second) {
    const [one, other] = [first, second].map((index) => (photos.width[index] ?? 0) * (photos.height[index] ?? 0));
    if (one === other) {
        return "one whose class is wrong, else either one: they have the same size";
    }
    return `one whose class is wrong, else the smaller one, ${photoLabel(one < other ? first : second)}`;
}

function olderInWords(first, second) {
    const [one, other] = [first, second].map((index) => latestRow(index).date);
    if (!one || !other || one === other) {
        return null;
    }
    const isFirst = Number.isNaN(Number(one)) ? one < other : Number(one) < Number(other); // dates may be numbers
    return `The label row of ${photoLabel(isFirst ? first : second)} is older.`;
}

/** The view of near-duplicates. */
export const pairsView = {
    id: "pairs",
    title: "Near-duplicates",
    count: () => page.pairs.photo.length,
    open: (host, query) => openReview(host, query, {
        view: "pairs",
        grid: routeTo("photos", { pair: "any" }),
        items: pairItems(),
        fill: fillPairCard,
        targets: ({ photos: both }) => both,
        onSide: showSide,
        suggestion: otherClass,
        reason: REASON_OF_COPIES,
        whyWords: WHY_PAIR,
        listLabel: "Near-duplicates, doubtful ones first",
        intro: "Pairs of photos that look nearly alike. Pairs that disagree come first, then the least alike. Left and right choose the photo that the keys mark.",
        empty: "No two photos with other bytes were found to look nearly alike. Equal photos are in one group without a comparison.",
    }),
};
