// Points on a canvas: zoom, pan, hover, lasso. It knows places and styles of points, and nothing of what they mean.
import { tile } from "./pictures.js";
import { element } from "./dom.js";

const MOST_ZOOM = 200;
const REACH = 14; // pixels around a point that belong to it
const MOST_TILES = 400;
const MOST_STAMPS = 3000; // points with shapes
const PICTURE_SIDES = [26, 64]; // pictures are drawn where they have at least this room, and never larger than that
const SHAPES = 4;
const FADED = 0.25; // what is not chosen, while something is
const CLICK = 5; // pixels that a hand may slip while it clicks

/** Draw a mark of one shape (0 to 3: circle, square, triangle, diamond) and colour, to stamp on a canvas. */
function makeStamp(color, shape, radius, ratio) {
    const side = Math.ceil((radius * 2 + 2) * ratio);
    const stamp = element("canvas", { width: side, height: side });
    const pen = stamp.getContext("2d");
    pen.scale(ratio, ratio);
    pen.translate(side / ratio / 2, side / ratio / 2);
    pen.fillStyle = color;
    pen.beginPath();
    if (shape === 0) {
        pen.arc(0, 0, radius, 0, 2 * Math.PI);
    } else if (shape === 1) {
        pen.rect(-radius * 0.9, -radius * 0.9, radius * 1.8, radius * 1.8);
    } else {
        const corners = shape === 2 ? [[0, -1.1], [1.1, 0.9], [-1.1, 0.9]] : [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]];
        corners.forEach(([x, y]) => pen.lineTo(x * radius, y * radius));
    }
    pen.fill();
    return stamp;
}

/** Whether a point is within a polygon, by the even-odd rule. */
function isWithin(x, y, polygon) {
    let within = false;
    for (let place = 0, before = polygon.length - 1; place < polygon.length; before = place, place += 1) {
        const [[ax, ay], [bx, by]] = [polygon[place], polygon[before]];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) {
            within = !within;
        }
    }
    return within;
}

/**
 * A map of points.
 *
 * options: indices (the points), x and y (arrays by index), label, hover(index or -1, left, top), open(index),
 * select(indices). `paint(styleOf, styles)` says how they look.
 */
export class Scatter {
    constructor({ indices, x, y, label, hover, open, select }) {
        Object.assign(this, { indices, x, y, hover, open, select });
        this.canvas = element("canvas", { class: "map-canvas", tabindex: "0", role: "application", "aria-roledescription": "map", "aria-label": label });
        this.tiles = element("div", { class: "map-tiles", "aria-hidden": "true" });
        this.element = element("div", { class: "map-frame" }, this.canvas, this.tiles);
        this.pen = this.canvas.getContext("2d");
        this.looks = new Int16Array(x.length);
        this.styles = [];
        this.selected = new Set();
        this.above = []; // sets of photos that are drawn last, one set after another, so that no other hides them
        this.shownTiles = new Map();
        this.withTiles = true;
        this.lassoing = false;
        this.polygon = null;
        this.pointers = new Map();
        this.frame = 0;
        this.watcher = new ResizeObserver(() => this.resize());
        this.watcher.observe(this.element);
        this.findBounds();
        this.listen();
    }

    close() {
        this.watcher.disconnect();
        cancelAnimationFrame(this.frame);
    }

    findBounds() {
        const bounds = [Infinity, -Infinity, Infinity, -Infinity];
        for (const index of this.indices) {
            bounds[0] = Math.min(bounds[0], this.x[index]);
            bounds[1] = Math.max(bounds[1], this.x[index]);
            bounds[2] = Math.min(bounds[2], this.y[index]);
            bounds[3] = Math.max(bounds[3], this.y[index]);
        }
        this.bounds = bounds;
    }

    resize() {
        const { clientWidth: width, clientHeight: height } = this.element;
        if (!width || (this.width === width && this.height === height)) {
            return;
        }
        const fitted = this.scale === undefined || this.scale === this.fitScale;
        Object.assign(this, { width, height, ratio: window.devicePixelRatio || 1 });
        this.canvas.width = Math.round(width * this.ratio);
        this.canvas.height = Math.round(height * this.ratio);
        const [left, right, low, high] = this.bounds;
        this.fitScale = 0.92 * Math.min(width / Math.max(right - left, 1e-9), height / Math.max(high - low, 1e-9));
        if (fitted) {
            this.fit();
        }
        this.makeStamps();
        this.request();
    }

    fit() {
        const [left, right, low, high] = this.bounds;
        Object.assign(this, { scale: this.fitScale, centerX: (left + right) / 2, centerY: (low + high) / 2 });
        this.request();
    }

    /** Say how points look: styleOf(index) is a place in styles, -1 for hidden; a style has color, shape, and back. */
    paint(styleOf, styles) {
        this.looks = Int16Array.from(this.x, (_, index) => styleOf(index));
        this.styles = styles;
        this.ink = getComputedStyle(this.canvas).color;
        this.makeStamps();
        this.request();
    }

    makeStamps() {
        const radius = this.radius();
        this.stamps = this.styles.map((style) => makeStamp(style.color, style.shape % SHAPES, radius, this.ratio ?? 1));
        // Styles in the background are drawn first, so that no gray point hides a coloured one.
        this.order = this.styles.map((_, place) => place).sort((one, other) => Number(this.styles[other].back ?? 0) - Number(this.styles[one].back ?? 0));
    }

    radius() {
        return this.indices.length > 4000 ? 3 : 4;
    }

    request() {
        this.frame ||= requestAnimationFrame(() => {
            this.frame = 0;
            this.draw();
        });
    }

    toScreen(index) {
        return [(this.x[index] - this.centerX) * this.scale + this.width / 2, (this.centerY - this.y[index]) * this.scale + this.height / 2];
    }

    /** Draw all points; where there is room, pictures in place of points. */
    draw() {
        if (!this.width) {
            return;
        }
        const buckets = this.styles.map(() => []);
        const { x, y, looks, scale, centerX, centerY, width, height } = this;
        let visible = 0;
        for (const index of this.indices) {
            const left = (x[index] - centerX) * scale + width / 2;
            const top = (centerY - y[index]) * scale + height / 2;
            if (looks[index] >= 0 && left > -40 && top > -40 && left < width + 40 && top < height + 40) {
                buckets[looks[index]].push(index, left, top);
                visible += 1;
            }
        }
        const room = Math.sqrt((width * height) / Math.max(visible, 1)) * 0.8;
        const side = this.withTiles && visible <= MOST_TILES && room >= PICTURE_SIDES[0] ? Math.min(room, PICTURE_SIDES[1]) : 0;
        this.drawPoints(buckets, side, visible > MOST_STAMPS);
        this.drawTiles(side ? buckets : [], side);
    }

    keepOf(bucket, photos) {
        const kept = [];
        for (let place = 0; place < bucket.length; place += 3) {
            if (photos.has(bucket[place])) {
                kept.push(bucket[place], bucket[place + 1], bucket[place + 2]);
            }
        }
        return kept;
    }

    drawPoints(buckets, side, plain) {
        const { pen, ratio } = this;
        pen.setTransform(1, 0, 0, 1, 0, 0);
        pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
        for (const style of side ? [] : this.order) {
            this.drawBucket(buckets[style], style, plain || this.styles[style].back);
        }
        for (const photos of side ? [] : this.above.filter(({ size }) => size)) {
            this.order.forEach((style) => this.drawBucket(this.keepOf(buckets[style], photos), style, plain));
        }
        pen.globalAlpha = 1;
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.strokeStyle = this.ink;
        pen.lineWidth = 1.5;
        if (this.polygon) {
            pen.setLineDash([5, 4]);
            pen.beginPath();
            this.polygon.forEach(([left, top]) => pen.lineTo(left, top));
            pen.closePath();
            pen.stroke();
            pen.setLineDash([]);
        }
    }

    // Many points and those in the background are plain squares: a browser draws them ten times as fast as stamps.
    drawBucket(bucket, style, plain) {
        const { pen, ratio, selected: chosen } = this;
        const stamp = this.stamps[style];
        const wide = plain ? Math.round(this.radius() * 1.4 * ratio) : stamp.width;
        pen.fillStyle = this.styles[style].color;
        for (let place = 0; place < bucket.length; place += 3) {
            const [left, top] = [Math.round(bucket[place + 1] * ratio - wide / 2), Math.round(bucket[place + 2] * ratio - wide / 2)];
            pen.globalAlpha = chosen.size && !chosen.has(bucket[place]) ? FADED : 1;
            if (plain) {
                pen.fillRect(left, top, wide, wide);
            } else {
                pen.drawImage(stamp, left, top);
            }
        }
    }

    drawTiles(buckets, side) {
        const wanted = new Set();
        buckets.forEach((bucket, style) => {
            for (let place = 0; place < bucket.length; place += 3) {
                const index = bucket[place];
                wanted.add(index);
                let shown = this.shownTiles.get(index);
                if (!shown) {
                    shown = element("span", { class: "map-tile" }, tile(index, PICTURE_SIDES[1]));
                    this.shownTiles.set(index, shown);
                    this.tiles.append(shown);
                }
                shown.style.borderColor = this.styles[style].color;
                shown.classList.toggle("map-tile-faded", this.selected.size > 0 && !this.selected.has(index));
                const shift = PICTURE_SIDES[1] / 2 + 3;
                shown.style.transform = `translate(${bucket[place + 1] - shift}px, ${bucket[place + 2] - shift}px) scale(${side / PICTURE_SIDES[1]})`;
            }
        });
        for (const [index, shown] of this.shownTiles) {
            if (!wanted.has(index)) {
                shown.remove();
                this.shownTiles.delete(index);
            }
        }
    }

    /** Zoom by a factor about a point of the screen. */
    zoom(factor, left = this.width / 2, top = this.height / 2) {
        const scale = Math.min(Math.max(this.scale * factor, this.fitScale * 0.5), this.fitScale * MOST_ZOOM);
        const keep = 1 / this.scale - 1 / scale;
        this.centerX += (left - this.width / 2) * keep;
        this.centerY -= (top - this.height / 2) * keep;
        this.scale = scale;
        this.request();
    }

    /** Move what is seen by some pixels. */
    pan(right, down) {
        this.centerX += right / this.scale;
        this.centerY -= down / this.scale;
        this.request();
    }

    nearestTo(left, top) {
        let [found, best] = [-1, REACH ** 2];
        for (const index of this.indices) {
            const [x, y] = this.toScreen(index);
            const distance = (x - left) ** 2 + (y - top) ** 2;
            if (distance < best && this.looks[index] >= 0) {
                [found, best] = [index, distance];
            }
        }
        return found;
    }

    choose(indices) {
        this.selected = new Set(indices);
        this.request();
    }

    finishLasso() {
        const { polygon } = this;
        this.polygon = null;
        const found = this.indices.filter((index) => this.looks[index] >= 0 && isWithin(...this.toScreen(index), polygon));
        this.choose(found);
        this.select(found);
    }

    listen() {
        const { canvas } = this;
        const at = (event) => {
            const box = canvas.getBoundingClientRect();
            return [event.clientX - box.left, event.clientY - box.top];
        };
        canvas.addEventListener("wheel", (event) => {
            event.preventDefault();
            this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...at(event));
        }, { passive: false });
        canvas.addEventListener("pointerdown", (event) => this.onDown(event, at(event)));
        canvas.addEventListener("pointermove", (event) => this.onMove(event, at(event)));
        canvas.addEventListener("pointerup", (event) => this.onUp(event, at(event)));
        canvas.addEventListener("pointercancel", (event) => this.onUp(event, null));
        canvas.addEventListener("pointerleave", () => this.hover(-1, 0, 0));
        canvas.addEventListener("keydown", (event) => this.onKey(event));
    }

    onDown(event, place) {
        if (event.button !== 0) {
            return;
        }
        this.canvas.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, place);
        this.moved = 0;
        const [left, top] = place;
        this.polygon = this.pointers.size === 1 && (this.lassoing || event.shiftKey) ? [[left, top]] : null;
    }

    onMove(event, [left, top]) {
        const before = this.pointers.get(event.pointerId);
        if (!before) {
            const index = this.nearestTo(left, top);
            this.canvas.classList.toggle("map-over", index >= 0);
            this.hover(index, left, top);
            return;
        }
        this.hover(-1, 0, 0);
        this.moved += Math.hypot(left - before[0], top - before[1]);
        if (this.polygon) {
            this.polygon.push([left, top]);
            this.request();
        } else if (this.pointers.size === 2) {
            const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
            const spread = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
            this.zoom(spread([left, top]) / Math.max(spread(before), 1), (left + other[0]) / 2, (top + other[1]) / 2);
        } else {
            this.pan(before[0] - left, before[1] - top);
        }
        this.pointers.set(event.pointerId, [left, top]);
    }

    onUp(event, place) {
        if (!this.pointers.delete(event.pointerId)) {
            return;
        }
        const clicked = this.moved < CLICK && this.pointers.size === 0 && place;
        if (clicked) {
            this.polygon = null;
            const index = this.nearestTo(...place);
            if (index >= 0) {
                this.open(index);
            }
        } else if (this.polygon) {
            this.finishLasso();
        }
        this.request();
    }

    onKey(event) {
        const step = 60;
        const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
        if (event.ctrlKey || event.metaKey || event.altKey) {
            return;
        }
        if (moves[event.key]) {
            this.pan(...moves[event.key]);
        } else if (event.key === "+" || event.key === "=") {
            this.zoom(1.4);
        } else if (event.key === "-") {
            this.zoom(1 / 1.4);
        } else if (event.key === "0") {
            this.fit();
        } else {
            return;
        }
        event.preventDefault();
    }
}
