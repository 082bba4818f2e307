// Outliers, which look like no class, and photos with unusual facts.

import { fillBeside, largePicture, nearestOfClass, originalPicture, otherSuspicions, tileButtons } from "./beside.js";
import { classLabel, photos, suspectsOf, WHY_WORDS } from "./data.js";
import { element, number } from "./dom.js";
import { nearest } from "./nearest.js";
import { openReview, suspectItems } from "./review.js";
import { WHAT_RIGHT_DOES } from "./review_actions.js";
import { go, routeTo } from "./router.js";
import { factLine, usualPhoto } from "./usual.js";

const FACT_OF_WHY = {
    blurred: "sharpness", dark: "brightness", bright: "brightness", low_contrast: "contrast", small: "side", elongated: "aspect_ratio",
};
const PHOTO_FACTS = ["brightness", "contrast", "sharpness", "side", "aspect_ratio"];
const ODD_KINDS = {
    outlier: {
        name: "Look like no class",
        intro: "Photos that look like no class: price tags, screenshots, unusual garments. " + WHAT_RIGHT_DOES,
        empty: "Every photo looks like some class. Stage audit found no outlier.",
    },
    photo: {
        name: "Unusual photos",
        intro: "Photos with facts that are unusual in their class and among all. "
            + `A black garment that fills its photo is dark, and right as it is. ${WHAT_RIGHT_DOES}`,
        empty: "No photo has unusual facts. Stage audit found no suspect of kind photo.",
    },
};

function fillOutlierCard(card, { photo, why }) {
    const near = nearest(photo, 9, { examples: true, exceptGroup: true });
    fillBeside(card, photo, [
        nearestOfClass(photo, photos.class[photo], "It is"),
        near.length ? element("section", { class: "beside" }, element("h4", {}, "Looks most like"), tileButtons(near)) : null,
    ], [why === "uniform" ? "The whole picture has one gray value, give or take 4 of 255." : ""], "outlier");
}

function fillPhotoCard(card, { photo, why }) {
    const fact = FACT_OF_WHY[why];
    const usual = fact ? usualPhoto(photo, fact) : -1;
    const usualCaption = [`Usual in ${classLabel(photos.class[photo])}. `, "Its own label may be wrong, too."];
    const order = [fact, ...PHOTO_FACTS.filter((name) => name !== fact)].filter(Boolean);
    card.append(
        element("div", { class: "beside-row" },
            originalPicture(photo),
            largePicture(photo, "result", "As it is in the dataset"),
            usual >= 0 ? largePicture(usual, "original", usualCaption) : null),
        element("div", { class: "usual-lines" }, order.map((name) => factLine(photo, name, name === fact))),
        element("p", {}, otherSuspicions(photo, "photo")));
}

function kindSwitch(shown) {
    return element("div", { class: "review-kinds", role: "group", "aria-label": "Which oddities" },
        Object.entries(ODD_KINDS).map(([kind, { name }]) => element("button", {
            type: "button",
            class: "button",
            "aria-pressed": String(kind === shown),
            on: { click: () => go(routeTo("oddities", { kind })) },
        }, `${name} (${number(suspectsOf(kind).length)})`)));
}

/** The view of outliers and of photos with unusual facts. */
export const odditiesView = {
    id: "oddities",
    title: "Oddities",
    count: () => suspectsOf("outlier").length + suspectsOf("photo").length,
    open: (host, query) => {
        let shown = openOddities(host, query);
        const update = (changed) => {
            if (oddKind(changed) === shown.kind) {
                shown.update(changed);
            } else {
                shown.close();
                shown.element.remove();
                shown = openOddities(host, changed);
            }
        };
        return { close: () => shown.close(), update };
    },
};

function oddKind(query) {
    const asked = query.get("kind");
    if (Object.hasOwn(ODD_KINDS, asked)) {
        return asked;
    }
    return suspectsOf("outlier").length || !suspectsOf("photo").length ? "outlier" : "photo";
}

function openOddities(host, query) {
    const kind = oddKind(query);
    const part = element("div", {}, kindSwitch(kind));
    host.append(part);
    const review = openReview(part, query, {
        view: "oddities",
        query: { kind },
        grid: routeTo("photos", { kind, sort: `rank_${kind}` }),
        items: suspectItems(kind),
        fill: kind === "outlier" ? fillOutlierCard : fillPhotoCard,
        whyWords: WHY_WORDS,
        listLabel: `${ODD_KINDS[kind].name}, the most suspect first`,
        intro: ODD_KINDS[kind].intro,
        empty: ODD_KINDS[kind].empty,
    });
    return { ...review, kind, element: part };
}
