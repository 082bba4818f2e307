// Label changes: photos whose class the plain rule did not decide, with what each row said and what won.

import { fillComparison } from "./beside.js";
import { catalogName, classLabel, classOfCatalogId, page, photoLabel, photos, rejectOf } from "./data.js";
import { openReview } from "./review.js";

const CHANGE_WORDS = {
    same_photo: "products with the same picture have different classes",
    several_labels: "the product's rows name several classes",
    corrected: "a person gave the class",
    rare_merged: "the class was too small and moved to an ancestor",
};
const CHANGE_ORDER = Object.keys(CHANGE_WORDS);

/** What decided in a change, as short as the list has room for: "dress and shirt: dress won". */
function shortChange(change, told, classIndex, photo) {
    const names = told.map(catalogName).join(" and ") || "no class";
    const won = classLabel(classIndex);
    if (rejectOf(photo)) {
        return `${names}: left out`;
    }
    return { corrected: `${names}: a person gave ${won}`, rare_merged: `${names}: merged into ${won}` }[change] ?? `${names}: ${won} won`;
}

/** What decided in a change, in words. */
function changeInWords(change, told, classIndex, photo) {
    const names = told.map(catalogName);
    const list = names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0] ?? "no class";
    const won = classLabel(classIndex);
    if (rejectOf(photo)) {
        return `The rows name ${list}. The photo is left out: ${rejectOf(photo).reason}. A class that you give brings it back.`;
    }
    return {
        several_labels: `The rows of its product name ${list}. The latest row won: ${won}.`,
        same_photo: `Products that show this picture have the classes ${list}. The latest of all their rows won: ${won}.`,
        corrected: `The rows name ${list}. A person gave this photo, or one of the same picture, the class ${won}.`,
        rare_merged: `Its class, ${list}, has too few photos. They count for its ancestor ${won}.`,
    }[change] ?? `The rows name ${list}. It is ${won}.`;
}

function changeItems() {
    const rows = page.changes.photo.map((photo, row) => ({
        photo, change: page.changes.change[row], classIndex: page.changes.class[row],
        told: page.changes.told[row],
    }));
    const place = ({ change }) => (CHANGE_ORDER.includes(change) ? CHANGE_ORDER.indexOf(change) : CHANGE_ORDER.length);
    rows.sort((one, two) => place(one) - place(two) || one.photo - two.photo);
    return rows.map(({ photo, change, told, classIndex }, row) => {
        const others = told.map(classOfCatalogId).filter((other) => other >= 0 && other !== photos.class[photo]);
        return {
            photo, photos: [photo], rank: row + 1, kind: "change", why: change, told, classIndex,
            suggestion: change === "rare_merged" ? -1 : others[0] ?? -1,
            title: `${photoLabel(photo)}: ${classLabel(photos.class[photo])}, of ${told.map(catalogName).join(" and ")}`,
            caption: shortChange(change, told, classIndex, photo),
        };
    });
}

function fillChangeCard(card, { photo, why, told, classIndex, suggestion }) {
    fillComparison(card, photo, suggestion, [changeInWords(why, told, classIndex, photo)]);
}

/** The view of label changes and conflicts. */
export const changesView = {
    id: "changes",
    title: "Label changes",
    count: () => page.changes.photo.length,
    open: (host, query) => openReview(host, query, {
        view: "changes",
        items: changeItems(),
        fill: fillChangeCard,
        suggestion: () => -1, // a class that lost is no suggestion: r asks for the class
        grouped: true,
        whyWords: CHANGE_WORDS,
        listLabel: "Photos whose class was decided between several, by what decided",
        intro: "Photos whose rows of labels disagree, or whose class a rule or a person changed. What won is a rule's choice: look whether it is right.",
        empty: "Every photo has the class that its only row of labels names: nothing disagreed, and nothing was corrected or merged.",
    }),
};
