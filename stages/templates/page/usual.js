// What is usual in a class: medians and spreads of facts, and lines that set a photo beside them.

import { classLabel, photoCount, photos } from "./data.js";
import { counted, element, number, share } from "./dom.js";
import { exampleClass } from "./examples.js";

const membersOfClass = new Map();
const usualOfClass = new Map();

/** How each fact is named and written; `more` and `less` say what a higher or lower value means. */
const FACTS = {
    brightness: { name: "Brightness", more: "brighter", less: "darker", write: (value) => value.toFixed(0), unit: "of 255" },
    contrast: { name: "Contrast", more: "richer in contrast", less: "flatter", write: (value) => value.toFixed(0), unit: "of 127" },
    sharpness: { name: "Sharpness", more: "sharper", less: "more blurred", write: (value) => value.toFixed(2), unit: "of 1" },
    side: { name: "Shorter side", more: "larger", less: "smaller", write: (value) => number(value), unit: "pixels" },
    aspect_ratio: { name: "Longer side by shorter", more: "longer", less: "squarer", write: (value) => value.toFixed(2), unit: "" },
    foreground_share: { name: "Mask covers", more: "larger", less: "smaller", write: share, unit: "of the photo" },
    border_share: { name: "Garment along the photo's edge", more: "higher", less: "lower", write: share, unit: "" },
    pieces: { name: "Pieces", more: "in more pieces", less: "in fewer pieces", write: (value) => number(value), unit: "" },
    uncertainty: { name: "Doubt of the network", more: "less sure", less: "surer", write: (value) => value.toFixed(3), unit: "of 1" },
};

/** Return a fact of a photo as a number, or null where nothing is known. */
function factOf(index, fact) {
    if (fact === "side") {
        const { width, height } = photos;
        return width[index] === null ? null : Math.min(width[index], height[index]);
    }
    return photos[fact][index];
}

/** Return the photos of a class that are in the dataset. */
function photosOfClass(classIndex) {
    if (!membersOfClass.size) {
        for (let index = 0; index < photoCount; index += 1) {
            if (photos.subset[index] < 0) {
                continue;
            }
            const members = membersOfClass.get(photos.class[index]) ?? [];
            members.push(index);
            membersOfClass.set(photos.class[index], members);
        }
    }
    return membersOfClass.get(classIndex) ?? [];
}

/** Return {values, median, low, high} of a fact in a class, or null without values. Low and high hold nine tenths. */
function usualIn(classIndex, fact) {
    const key = `${classIndex} ${fact}`;
    if (!usualOfClass.has(key)) {
        const values = photosOfClass(classIndex).map((index) => factOf(index, fact)).filter((value) => value !== null);
        usualOfClass.set(key, values.length ? describeValues(values) : null);
    }
    return usualOfClass.get(key);
}

/** Return {values (sorted), median, low, high}. Low and high hold nine tenths. */
function describeValues(unsorted) {
    const values = [...unsorted].sort((first, second) => first - second);
    const at = (part) => values[Math.round(part * (values.length - 1))];
    return { values, median: medianOf(values), low: at(0.05), high: at(0.95) };
}

/** Return the median of sorted numbers: of an even number of them the mean of both in the middle, as the audit has it. */
export function medianOf(sorted) {
    const middle = sorted.length / 2;
    return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}

/** Return the example of a class with the fact nearest to the median, other than the given photo; -1 without one. */
export function usualPhoto(index, fact) {
    const usual = usualIn(photos.class[index], fact);
    let best = -1;
    let least = Infinity;
    for (const other of usual ? photosOfClass(photos.class[index]) : []) {
        const value = factOf(other, fact);
        const distance = value === null ? Infinity : Math.abs(value - usual.median);
        if (other !== index && photos.tile[other] >= 0 && distance < least && exampleClass(other) === photos.class[index]) {
            [best, least] = [other, distance];
        }
    }
    return best;
}

/** Return a fact in words: "Brightness 31 of 255; the median of pants is 128. Darker than 99 % of them." */
function factInWords(index, fact) {
    const { name, more, less, write, unit } = FACTS[fact];
    const value = factOf(index, fact);
    const usual = usualIn(photos.class[index], fact);
    if (value === null) {
        return `${name}: not known.`;
    }
    const amount = [name, write(value), unit].filter(Boolean).join(" ");
    if (!usual || usual.values.length < 2) {
        return `${amount}. No other photo of its class to compare with.`;
    }
    const comparison = `${amount}; the median of ${classLabel(photos.class[index])} is ${write(usual.median)}.`;
    const isMore = value > usual.median;
    const beyond = usual.values.filter((other) => (isMore ? other < value : other > value)).length;
    const others = usual.values.length - 1;
    const part = beyond >= others ? "all" : `${Math.floor((100 * beyond) / others)} % of them`;
    const word = isMore ? more : less;
    return value === usual.median ? comparison : `${comparison} ${word[0].toUpperCase()}${word.slice(1)} than ${part}.`;
}

/** Return a line with a fact in words, and a strip that shows where it is in its class. */
export function factLine(index, fact, isUnusual = false) {
    return lineOf(factInWords(index, fact), factOf(index, fact), usualIn(photos.class[index], fact), isUnusual);
}

/**
 * Return a line with a score by which the audit ranks, in words, and a strip with the scores of all of its kind.
 *
 * listed: the suspects of the kind; least: the score from which the audit lists one.
 */
export function scoreLine(name, score, listed, least, isUnusual) {
    const scores = describeValues(listed.map((other) => other.score));
    const beyond = scores.values.filter((other) => other < score).length;
    const part = beyond && listed.length > 1 ? `, more than ${beyond} of the ${counted(listed.length - 1, "other")}` : "";
    const words = `${name}: score ${score.toFixed(2)}${part}. Masks are listed from ${least} on.`;
    return lineOf(words, score, scores, isUnusual);
}

function lineOf(words, value, usual, isUnusual) {
    const line = element("div", { class: isUnusual ? "usual-line usual-unusual" : "usual-line" },
        element("p", { dir: "auto" }, words));
    if (value !== null && usual && usual.values.length > 1) {
        line.append(usualStrip(value, usual));
    }
    return line;
}

/** Return the strip: a bar over nine tenths of the class, a line at its median, a dot at the photo. */
function usualStrip(value, usual) {
    const least = Math.min(value, usual.values[0]);
    const most = Math.max(value, usual.values[usual.values.length - 1]);
    const place = (amount) => `${most > least ? (100 * (amount - least)) / (most - least) : 50}%`;
    const bar = element("span", { class: "usual-bar" });
    bar.style.left = place(usual.low);
    bar.style.right = `calc(100% - ${place(usual.high)})`;
    const median = element("span", { class: "usual-median" });
    median.style.left = place(usual.median);
    const dot = element("span", { class: "usual-dot" });
    dot.style.left = place(value);
    return element("span", { class: "usual-strip", "aria-hidden": "true" }, bar, median, dot);
}
