// Everything that the page knows of one photo, in a dialog.

import { baselineWasRight, catalogName, changesOf, classLabel, describePhoto, inWords, membersOf, page, pairsOf, photoLabel, photos, rejectOf, suspicionsOf, WHY_WORDS } from "./data.js";
import { openDialog } from "./dialog.js";
import { button, copyButton, element, number, share } from "./dom.js";
import { chooseClass, chooseReason, clearPhotos, confirmPhotos, excludePhotos, isTyping, markKeys, relabelPhotos, suggestionOf } from "./keys.js";
import { describeMark, markOf, onMarks, whyNotMark } from "./marks.js";
import { nearest } from "./nearest.js";
import { picture, tile } from "./pictures.js";

const NEIGHBOURS = 8;

/**
 * Open the dialog of a photo. Left and right go through its siblings. Options: kind (of suspect, for marks), onClose
 * (called with the photo that was shown last, to focus it).
 */
export function openDetail(index, siblings = [index], { kind = null, onClose = null } = {}) {
    let shown = index;
    const opened = openDialog("", { className: "detail", returnFocus: () => null });
    const place = element("span", { class: "detail-place" });
    const step = (by) => {
        const at = siblings.indexOf(shown);
        const next = siblings[(at < 0 ? 0 : at) + by];
        if (next !== undefined) {
            show(next);
        }
    };
    const previous = button("", () => step(-1), { iconName: "previous", quiet: true, "aria-label": "Previous photo", title: "Previous photo (Left)" });
    const next = button("", () => step(1), { iconName: "next", quiet: true, "aria-label": "Next photo", title: "Next photo (Right)" });
    opened.heading.after(place, previous, next);
    opened.heading.tabIndex = -1;
    const show = (wanted) => {
        const isFocusLost = opened.body.contains(document.activeElement);
        shown = wanted;
        const at = siblings.indexOf(shown);
        opened.heading.replaceChildren("Product ", element("bdi", {}, photoLabel(shown)), copyButton(photos.product_id[shown], "Copy the product id"));
        place.textContent = at >= 0 && siblings.length > 1 ? `${number(at + 1)} of ${number(siblings.length)}` : "";
        previous.disabled = at <= 0;
        next.disabled = at < 0 || at >= siblings.length - 1;
        opened.body.replaceChildren(...detailContent(shown, kind, show).filter(Boolean));
        opened.body.scrollTop = 0;
        if (isFocusLost) {
            opened.heading.focus();
        }
    };
    const stop = onMarks(() => refreshBar(opened, shown, kind));
    opened.dialog.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (by && !isTyping(event) ) {
            event.preventDefault();
            step(by);
        } else {
            markKeys(event, [shown], { kind: kindFor(shown, kind) });
        }
    });
    opened.closed.then(() => {
        stop();
        onClose?.(shown);
    });
    show(index);
    opened.heading.focus();
}

// The new bar has new buttons: the focus goes to the one that replaces the old, or to the heading.
function refreshBar({ body, heading }, index, kind) {
    const bar = body.querySelector(".mark-bar");
    const key = bar.contains(document.activeElement) ? document.activeElement.getAttribute("aria-keyshortcuts") : null;
    const made = markBar(index, kind);
    bar.replaceWith(made);
    if (key !== null) {
        (made.querySelector(`[aria-keyshortcuts="${key}"]:not(:disabled)`) ?? heading).focus();
    }
}

// Marks take the reason and the rank of the kind of suspect that the person works on, if the photo is one.
function kindFor(index, kind) {
    return kind && suspicionsOf(index).some((suspicion) => suspicion.kind === kind) ? kind : null;
}

function detailContent(index, kind, show) {
    const pictures = ["original", "mask", "result"].map((which) =>
        element("figure", {}, picture(index, which), element("figcaption", {}, inWords(which))),
    );
    const left = element("div", { class: "detail-pictures" }, pictures);
    const right = element("div", { class: "detail-facts" },
        statusOf(index), markBar(index, kind), suspicionList(index), baselineOf(index), labelHistory(index),
    );
    const tables = element("div", { class: "detail-tables" }, factTable(index), maskTable(index), sourceTable(index));
    return [
        element("div", { class: "detail-top" }, left, right),
        relatedTiles("Group", groupText(index), membersOf(photos.group[index]).filter((member) => member !== index), show, index),
        relatedTiles("Looks most like it", "", nearest(index, NEIGHBOURS), show, index),
        tables,
    ];
}

function statusOf(index) {
    const reject = rejectOf(index);
    const classText = element("strong", {}, element("bdi", {}, classLabel(photos.class[index])));
    const subset = photos.subset[index] >= 0 ? page.subsets[photos.subset[index]] : "";
    const decided = ["", "A person gave or confirmed the class.", "A person excluded it."][photos.decided[index]];
    const lines = [element("p", { class: "status" }, classText, subset ? element("span", { class: "badge" }, subset) : null)];
    if (reject) {
        lines.push(element("p", { class: "reject" }, "Not in the dataset: stage ", element("code", {}, reject.stage), ` rejected it, ${inWords(reject.reason)}.`));
    }
    return element("div", {}, lines, decided ? element("p", {}, decided) : null);
}

/** The buttons that mark a photo, with the mark that it has. Buttons that cannot be used say why. */
export function markBar(index, kind = null) {
    const options = { kind: kindFor(index, kind) };
    const mark = markOf(index);
    const suggestion = suggestionOf(index);
    const bar = element("div", { class: "mark-bar", role: "group", "aria-label": "Mark this photo" });
    const add = (action, key, text, onClick, toClass = -1) => {
        const why = whyNotMark(index, action, toClass);
        const isOn = mark?.action === action && (action !== "relabel" || toClass < 0 || mark.toClass === toClass);
        bar.append(button("", onClick, {
            class: `button mark-button ${action}`, disabled: Boolean(why), title: why || `${text} (${key})`, "aria-pressed": String(isOn), "aria-keyshortcuts": key,
        }));
        bar.lastChild.append(element("span", { dir: "auto" }, text), element("kbd", { "aria-hidden": "true" }, key));
    };
    add("exclude", "x", "Exclude", () => excludePhotos([index], options));
    if (suggestion >= 0) {
        add("relabel", "r", `Relabel to ${classLabel(suggestion)}`, () => relabelPhotos([index], options), suggestion);
    }
    add("relabel", "c", "Another class", () => chooseClass([index], options), photos.class[index] >= 0 ? photos.class[index] : 0);
    add("right", "y", "Right as it is", () => confirmPhotos([index], options));
    if (mark?.action === "exclude") {
        bar.append(button("Another reason", () => chooseReason([index], options), { quiet: true, "aria-keyshortcuts": "Shift+X" }));
    }
    if (mark) {
        bar.append(button("Remove the mark", () => clearPhotos([index]), { quiet: true, "aria-keyshortcuts": "e" }));
    }
    const text = mark ? `Marked: ${describeMark(mark)}` : whyNotAny(index);
    return element("div", { class: "mark-bar" }, bar, element("p", { class: `mark-text ${mark?.action ?? ""}`, dir: "auto" }, text));
}

function whyNotAny(index) {
    const why = whyNotMark(index, "exclude");
    return why ? `It cannot be marked: ${why}.` : "Not marked.";
}

function suspicionList(index) {
    const found = suspicionsOf(index);
    if (!found.length) {
        return null;
    }
    const items = found.map(({ kind, rank, why, score, suggestion }) => element("li", {},
        element("span", { class: "badge warn" }, `${kind} ${number(rank)}`), ` ${WHY_WORDS[why] ?? inWords(why)} `,
        element("span", { class: "hint" }, `(${inWords(why)}, score ${number(score)})`),
        suggestion >= 0 ? [" Suggested class: ", element("strong", {}, element("bdi", {}, classLabel(suggestion))), "."] : null,
    ));
    return element("section", {}, element("h3", {}, "Suspect"), element("ul", { class: "plain" }, items));
}

function baselineOf(index) {
    const wasRight = baselineWasRight(index);
    if (wasRight === null) {
        return null;
    }
    const answer = element("bdi", {}, classLabel(photos.answer[index]));
    const text = wasRight ? "The baseline names it rightly: " : "The baseline takes it for: ";
    return element("p", {}, text, element("strong", {}, answer), `, probability ${share(photos.probability[index])}.`);
}

function labelHistory(index) {
    const rows = page.label_rows[photos.product_id[index]] ?? [];
    const changes = changesOf(index);
    if (!rows.length && !changes.length) {
        return null;
    }
    const items = rows.map(([catalogId, date]) => element("li", {}, element("bdi", {}, catalogName(catalogId)), element("span", { class: "hint" }, ` ${date ? date.slice(0, 10) : "without a date"}`)));
    const told = ({ told: text }) => text.split(" ").filter(Boolean).map((id) => catalogName(id)).join(", ");
    const decided = changes.map((change) => element("li", {}, element("span", { class: "badge" }, inWords(change.change)), " the labels say ", element("bdi", {}, told(change) || "nothing"), "; the class is ", element("bdi", {}, classLabel(change.class))));
    return element("section", {}, element("h3", {}, "Labels of the product"), element("ul", { class: "plain" }, items, decided));
}

function groupText(index) {
    const others = photos.group_size[index] - 1;
    return others > 0 ? `${number(others)} other${others === 1 ? "" : "s"}, always in the same subset` : "";
}

// Tiles in one row: a click, or Enter, goes to that photo.
function relatedTiles(title, hint, indices, show, index) {
    if (!indices.length) {
        return null;
    }
    const likeness = new Map(pairsOf(index).map((pair) => [pair.photo, pair.likeness]));
    const made = indices.slice(0, 24).map((other) => element("button", {
        type: "button", class: "tile-button", "aria-label": describePhoto(other), title: describePhoto(other), on: { click: () => show(other) },
    }, tile(other, 72), element("span", { class: photos.class[other] === photos.class[index] ? "tile-caption" : "tile-caption differs", dir: "auto" }, classLabel(photos.class[other])),
        likeness.has(other) ? element("span", { class: "tile-caption" }, `likeness ${number(likeness.get(other))}`) : null));
    return element("section", {}, element("h3", {}, title, hint ? element("span", { class: "hint" }, ` ${hint}`) : null), element("div", { class: "tile-row" }, made));
}

function factRows(title, rows) {
    const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
    return known.length ? element("table", { class: "facts-table" }, element("caption", {}, title), element("tbody", {},
        known.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value))),
    )) : null;
}

function fixed(value, digits) {
    return value === null || value === undefined ? null : value.toFixed(digits);
}

function factTable(index) {
    const { width, height, format, sharpness, brightness, contrast, aspect_ratio: aspect } = photos;
    return factRows("The photo as it was", [
        ["Size", width[index] === null ? null : `${number(width[index])} × ${number(height[index])} px`],
        ["Format", format[index]],
        ["Aspect ratio", fixed(aspect[index], 2)],
        ["Sharpness", fixed(sharpness[index], 3)],
        ["Brightness", brightness[index] === null ? null : `${fixed(brightness[index], 0)} of 255`],
        ["Contrast", fixed(contrast[index], 1)],
    ]);
}

function maskTable(index) {
    const { foreground_share: foreground, border_share: border, pieces, uncertainty } = photos;
    return factRows("Its mask", [
        ["Foreground", foreground[index] === null ? null : `${share(foreground[index])} of the photo`],
        ["On the border", border[index] === null ? null : `${share(border[index])} of the border`],
        ["Pieces", pieces[index] === null ? null : number(pieces[index])],
        ["Uncertainty", fixed(uncertainty[index], 3)],
    ]);
}

function sourceTable(index) {
    const url = photos.url[index];
    const isWeb = /^https?:\/\//i.test(url);
    const link = isWeb ? element("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, url) : url;
    return factRows("Where it comes from", [
        ["Product", element("bdi", {}, photos.product_id[index])],
        ["Position", number(photos.position[index])],
        ["URL", url ? link : null],
        ["Key in the bucket", photos.key[index] ? element("code", {}, photos.key[index]) : null],
    ]);
}
