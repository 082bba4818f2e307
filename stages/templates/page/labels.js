// Label suspects: the photo beside the nearest photos of its class and of the class that models find likelier.

import { fillComparison } from "./beside.js";
import { baselineWasRight, classLabel, photoLabel, photos, suspectsOf, suspicionOf, WHY_WORDS } from "./data.js";
import { counted, element, number, share } from "./dom.js";
import { openReview } from "./review.js";
import { routeTo } from "./router.js";

function labelItems() {
    return suspectsOf("label").map(({ photo, rank, score, why, suggestion }) => ({
        photo, photos: [photo], rank, score, why, suggestion, kind: "label",
        title: `${photoLabel(photo)}: ${classLabel(photos.class[photo])}${suggestion < 0 ? "" : `, or ${classLabel(suggestion)}`}?`,
        caption: `${classLabel(photos.class[photo])} → ${suggestion < 0 ? "?" : classLabel(suggestion)}`,
    }));
}

function fillLabelCard(card, { photo, score, suggestion }) {
    const probability = Math.max(0, 1 - score);
    const given = probability < 0.001 ? "less than 0.1 %" : share(probability);
    const said = `Models that did not learn from it give ${classLabel(photos.class[photo])} ${given}.`;
    fillComparison(card, photo, suggestion, [said], "label");
}

// The baseline learned of no test photo, so what it takes for another class may be a wrong label, too.
function baselineLine() {
    const taken = [...photos.answer.keys()].filter((index) => baselineWasRight(index) === false);
    const unlisted = taken.filter((index) => suspicionOf(index, "label") === null).length;
    const route = routeTo("photos", { baseline: "wrong", kind: "not_label", sort: "probability", order: "down" });
    return unlisted === 0 ? null : element("p", { class: "review-above" },
        `The baseline takes ${counted(taken.length, "test photo")} for another class, ${number(unlisted)} of them not listed here: `,
        element("a", { href: `#${route}` }, `look at ${unlisted === 1 ? "it" : `these ${number(unlisted)}`} in Photos`), ".");
}

/** The view of label suspects. */
export const labelsView = {
    id: "labels",
    title: "Labels",
    count: () => suspectsOf("label").length,
    open: (host, query) => openReview(host, query, {
        view: "labels",
        grid: routeTo("photos", { kind: "label", sort: "rank_label" }),
        items: labelItems(),
        fill: fillLabelCard,
        whyWords: WHY_WORDS,
        listLabel: "Photos that look like another class, the most suspect first",
        intro: "Photos that look like another class than theirs. A suggestion is the guess of models, and often wrong: "
            + "compare, then decide.",
        above: baselineLine(),
        goOn: routeTo("photos", { kind: "not_label", sort: "doubt_class" }),
        empty: "No photo looks like another class than its own. Stage audit found no label suspect.",
    }),
};
