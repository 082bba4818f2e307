// Which photos look alike: distances between embeddings, of which the page has the first principal components.

import { page, photos } from "./data.js";
import { exampleClass } from "./examples.js";
import { bytesOf } from "./pictures.js";

let componentRows = null;
let rowOfPhoto = null;

// Whole numbers from -128 to 127; all have the same scale, so an order of distances does not need it.
function readComponents() {
    if (componentRows === null) {
        const base64 = document.getElementById("components")?.textContent.trim() ?? "";
        componentRows = new Int8Array(bytesOf(base64).buffer);
        rowOfPhoto = new Map((page.components?.photos ?? []).map((photo, row) => [photo, row]));
    }
}

/**
 * The photos that look most like one, the nearest first; [] if the page knows no embedding of it.
 * Options: ofClass (an index: only examples of that class), examples (true: only examples of any class), exceptGroup
 * (true: none of the photo's own group).
 */
export function nearest(index, count, { ofClass = null, examples = false, exceptGroup = false } = {}) {
    readComponents();
    const row = rowOfPhoto.get(index);
    if (row === undefined || componentRows.length === 0) {
        return [];
    }
    const found = [];
    for (const [photo, other] of rowOfPhoto) {
        const isWanted = ofClass === null ? !examples || exampleClass(photo) >= 0 : exampleClass(photo) === ofClass;
        const isOwnGroup = exceptGroup && photos.group[index] >= 0 && photos.group[photo] === photos.group[index];
        if (photo !== index && isWanted && !isOwnGroup) {
            keepNearest(found, count, { photo, distance: squaredDistance(row, other) });
        }
    }
    return found.map(({ photo }) => photo);
}

function squaredDistance(row, other) {
    const dimensions = page.components.dimensions;
    let sum = 0;
    for (let place = 0; place < dimensions; place += 1) {
        const difference = componentRows[row * dimensions + place] - componentRows[other * dimensions + place];
        sum += difference * difference;
    }
    return sum;
}

// The list has few entries and stays sorted, so nothing sorts ten thousand distances.
function keepNearest(found, count, candidate) {
    if (found.length >= count && found[found.length - 1].distance <= candidate.distance) {
        return;
    }
    let place = found.length;
    while (place > 0 && found[place - 1].distance > candidate.distance) {
        place -= 1;
    }
    found.splice(place, 0, candidate);
    if (found.length > count) {
        found.pop();
    }
}
