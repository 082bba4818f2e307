// Elements of the page. Text of sellers becomes text nodes here, and nothing else: no module writes HTML.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
const NUMBERS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 4 });

// The shapes of the icons, in a square of 16.
const ICONS = {
    exclude: "M4 4l8 8M12 4l-8 8",
    relabel: "M2 8h10M8.5 4.5L12 8l-3.5 3.5",
    right: "M3 8.5l3.5 3.5L13 4.5",
    undo: "M6 3L3 6l3 3M3 6h6a4 4 0 0 1 0 8H6",
    redo: "M10 3l3 3-3 3M13 6H7a4 4 0 0 0 0 8h3",
    copy: "M6 5h7v9H6zM3 11V2h7",
    close: "M4 4l8 8M12 4l-8 8",
    previous: "M10 3L5 8l5 5",
    next: "M6 3l5 5-5 5",
    first: "M12 3L7 8l5 5M4 3v10",
    last: "M4 3l5 5-5 5M12 3v10",
    down: "M4 6l4 4 4-4",
    save: "M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11",
};

/**
 * Make an element. Properties: `class`, `on` (listeners by event), `style` (CSS properties), `dataset`, the live ones
 * (`value`, `checked`, `selected`, `disabled`, `indeterminate`, `hidden`), and attributes. null and false set nothing.
 */
export function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    setProperties(made, properties);
    appendAll(made, children);
    return made;
}

/** Make an SVG element: attributes, `class`, `on` and `style` as of `element`. */
export function svgElement(tag, properties = {}, ...children) {
    const made = document.createElementNS(SVG_NAMESPACE, tag);
    setProperties(made, properties);
    appendAll(made, children);
    return made;
}

const LIVE_PROPERTIES = new Set(["value", "checked", "selected", "disabled", "indeterminate", "hidden"]);

function setProperties(made, properties) {
    for (const [name, value] of Object.entries(properties)) {
        if (value === null || value === undefined || value === false) {
            continue;
        }
        if (name === "on") {
            Object.entries(value).forEach(([event, listener]) => made.addEventListener(event, listener));
        } else if (name === "style") {
            Object.entries(value).forEach(([property, text]) => made.style.setProperty(property, text));
        } else if (name === "dataset") {
            Object.assign(made.dataset, value);
        } else if (LIVE_PROPERTIES.has(name) && name in made) {
            made[name] = value;
        } else {
            made.setAttribute(name, value === true ? "" : String(value));
        }
    }
}

function appendAll(made, children) {
    for (const child of children.flat(Infinity)) {
        if (child !== null && child !== undefined && child !== false) {
            made.append(child instanceof Node ? child : String(child));
        }
    }
}

/** Write a number with thousands separators: 1,234. */
export function number(value) {
    return value === null || value === undefined ? "unknown" : NUMBERS.format(value);
}

/** Write a share as a percentage: 0.034 is "3.4 %", which no line end divides. */
export function share(value) {
    return value === null || value === undefined ? "unknown" : `${(100 * value).toFixed(1)}\u00a0%`;
}

/** Write a number and its noun: "1 photo", "1,234 photos". */
export function counted(value, noun, plural = `${noun}s`) {
    return `${number(value)} ${value === 1 ? noun : plural}`;
}

/** Make an icon of ICONS. It is decoration: the button around it has a name of its own. */
export function icon(name) {
    return svgElement(
        "svg",
        { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
        svgElement("path", { d: ICONS[name] }),
    );
}

/** Make a button: text, or an icon with a name for screen readers. */
export function button(text, onClick, { iconName = null, quiet = false, ...properties } = {}) {
    const kind = quiet ? "button quiet" : "button";
    const shown = iconName ? [icon(iconName), text ? element("span", {}, text) : null] : [text];
    return element("button", { type: "button", class: kind, on: { click: onClick }, ...properties }, shown);
}

/** Make a button that copies a text, and says so. */
export function copyButton(text, name) {
    const copy = async () => {
        const done = await copyText(text);
        announce(done ? `Copied: ${text}` : "The browser did not allow copying. Select the text and copy it.");
    };
    return button("", copy, { iconName: "copy", quiet: true, "aria-label": name, title: name });
}

// Pages from the disk are no secure context in every browser, so the clipboard's API may be missing.
async function copyText(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        const field = element("textarea", { class: "off-screen", "aria-hidden": "true" });
        field.value = text;
        const focused = document.activeElement;
        (focused?.closest("dialog") ?? document.body).append(field);
        field.select();
        const done = document.execCommand("copy");
        field.remove();
        focused?.focus();
        return done;
    }
}

let uniqueIds = 0;

/** Return an id that no other element has, to tie labels to fields. */
export function uniqueId(prefix) {
    uniqueIds += 1;
    return `${prefix}-${uniqueIds}`;
}

let toastTimer = 0;

/** Hide the line that tells what happened: another view has nothing to do with it. */
export function hideAnnouncement() {
    document.getElementById("announcement").classList.remove("shown");
}

/** Tell everybody what just happened: in a line on the screen, which screen readers read out. */
export function announce(text, { isSeen = true } = {}) {
    const place = document.getElementById("announcement");
    place.textContent = "";
    // What is behind a dialog is neither seen nor read out.
    ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(place);
    // A screen reader reads a changed text only: the same text twice needs a moment between.
    setTimeout(() => {
        place.textContent = text;
        place.classList.toggle("shown", isSeen);
    }, 30);
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => place.classList.remove("shown"), 5000);
}

/** Call a function once the calls of it have paused for some milliseconds. */
export function debounce(call, milliseconds) {
    let timer = 0;
    return (...values) => {
        clearTimeout(timer);
        timer = setTimeout(() => call(...values), milliseconds);
    };
}
