// Which points of the map are near each other, and which photos are among photos of other classes.
import { photos } from "./data.js";

const PER_CELL = 4;
const NEAR_ON_MAP = 10;

/** Points in a grid of cells, so that the nearest ones are found without a look at all. */
export class PlaceIndex {
    constructor(indices, x, y) {
        Object.assign(this, { x, y, cells: new Map(), known: new Map() });
        const spread = (values) => indices.reduce(([low, high], index) => [Math.min(low, values[index]), Math.max(high, values[index])], [Infinity, -Infinity]);
        const [[left, right], [low, high]] = [spread(x), spread(y)];
        this.side = Math.sqrt((Math.max(right - left, 1e-9) * Math.max(high - low, 1e-9) * PER_CELL) / Math.max(indices.length, 1));
        this.reach = Math.ceil(Math.max(right - left, high - low) / this.side) + 1;
        for (const index of indices) {
            const key = this.keyOf(...this.cellOf(index));
            if (!this.cells.has(key)) {
                this.cells.set(key, []);
            }
            this.cells.get(key).push(index);
        }
    }

    cellOf(index) {
        return [Math.floor(this.x[index] / this.side), Math.floor(this.y[index] / this.side)];
    }

    keyOf(column, row) {
        return `${column} ${row}`;
    }

    /** Return the NEAR_ON_MAP nearest other points, the nearest first. Asked again, it remembers. */
    nearestTo(index) {
        if (!this.known.has(index)) {
            this.known.set(index, this.lookFor(index));
        }
        return this.known.get(index);
    }

    lookFor(index) {
        const [column, row] = this.cellOf(index);
        const found = [];
        for (let ring = 0; ring <= this.reach; ring += 1) {
            for (const [right, down] of ringOf(ring)) {
                for (const other of this.cells.get(this.keyOf(column + right, row + down)) ?? []) {
                    const distance = (this.x[other] - this.x[index]) ** 2 + (this.y[other] - this.y[index]) ** 2;
                    if (other !== index && (found.length < NEAR_ON_MAP || distance < found.at(-1).distance)) {
                        insertNear(found, { other, distance });
                    }
                }
            }
            // A point of the next ring is at least `ring` cells away.
            if (found.length === NEAR_ON_MAP && found.at(-1).distance <= (ring * this.side) ** 2) {
                break;
            }
        }
        return found.map(({ other }) => other);
    }
}

// The list is short and stays sorted: cheaper than to sort all candidates.
function insertNear(found, candidate) {
    let place = found.length;
    while (place > 0 && found[place - 1].distance > candidate.distance) {
        place -= 1;
    }
    found.splice(place, 0, candidate);
    found.length = Math.min(found.length, NEAR_ON_MAP);
}

function ringOf(ring) {
    const cells = [];
    for (let right = -ring; right <= ring; right += 1) {
        for (let down = -ring; down <= ring; down += 1) {
            if (Math.max(Math.abs(right), Math.abs(down)) === ring) {
                cells.push([right, down]);
            }
        }
    }
    return cells;
}

/**
 * Return the photos that are mostly among photos of other classes, those with the most strangers first.
 *
 * Each with index, strangers (how many of its neighbours have another class), of, and likeliest, the commonest class.
 */
export function findStrangers(places, indices) {
    return indices
        .map((index) => {
            const classes = places.nearestTo(index).map((other) => photos.class[other]);
            const strangers = classes.filter((place) => place !== photos.class[index]);
            return { index, strangers: strangers.length, of: classes.length, likeliest: commonest(strangers) };
        })
        .filter((found) => found.strangers * 2 > found.of)
        .sort((one, other) => other.strangers - one.strangers || one.index - other.index);
}

function commonest(values) {
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) ?? 0) + 1));
    return [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0])[0]?.[0] ?? -1;
}

/** Return the classes whose photos are most often near photos of a class, the commonest first. */
export function neighbourClasses(places, members, count) {
    const counts = new Map();
    for (const index of members) {
        for (const other of places.nearestTo(index)) {
            const place = photos.class[other];
            counts.set(place, (counts.get(place) ?? 0) + 1);
        }
    }
    counts.delete(photos.class[members[0]]);
    return [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0]).slice(0, count).map(([place]) => place);
}
