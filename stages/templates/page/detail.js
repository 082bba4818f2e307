// Everything that the page knows of one photo, in a dialog.

import {
    baselineWasRight,
    catalogName,
    changesOf,
    classLabel,
    describePhoto,
    inWords,
    isFoundAs,
    labelRowsOf,
    membersOf,
    page,
    pairsOf,
    photoLabel,
    photos,
    rejectOf,
    suspicionsOf,
    WHY_WORDS,
} from "./data.js";
import { openDialog } from "./dialog.js";
import { button, copyButton, element, number, share } from "./dom.js";
import {
    chooseClass,
    chooseReason,
    clearPhotos,
    confirmPhotos,
    excludePhotos,
    isTyping,
    markKeys,
    relabelPhotos,
    suggestionOf,
    usualReason,
} from "./keys.js";
import { markChange, describeMark, markOf, onMarks, whyNotAnotherClass, whyNotMark } from "./marks.js";
import { nearest } from "./nearest.js";
import { picture, tile } from "./pictures.js";
import { explainReject } from "./reasons.js";

const PICTURE_SIDE = 260; // as on a card, so that a dialog shows no less
const NEIGHBOURS = 8;

/**
 * Open the dialog of a photo. Left and right go through its siblings. Options: kind (of suspect, for marks), onClose
 * (called with the sibling that was shown last, to focus it).
 */
export function openDetail(index, siblings = [index], { kind = null, onClose = null } = {}) {
    new PhotoDialog(siblings, kind, onClose).goTo(index);
}

class PhotoDialog {
    constructor(siblings, kind, onClose) {
        this.siblings = siblings;
        this.kind = kind;
        this.place = 0; // among the siblings
        this.shown = -1; // the sibling of that place, or a photo that was opened from its dialog
        this.opened = openDialog("", { className: "detail" });
        this.opened.heading.tabIndex = -1;
        this.text = element("span", { class: "detail-place" });
        this.back = button("", () => this.step(0), { quiet: true });
        this.previous = button("", () => this.step(-1), {
            iconName: "previous",
            quiet: true,
            "aria-label": "Previous photo",
            title: "Previous photo (Left)",
        });
        this.next = button("", () => this.step(1), {
            iconName: "next",
            quiet: true,
            "aria-label": "Next photo",
            title: "Next photo (Right)",
        });
        this.opened.heading.after(this.back, this.text, this.previous, this.next);
        this.opened.dialog.addEventListener("keydown", (event) => this.onKey(event));
        this.change = element("span", { class: "detail-change", dir: "auto" });
        const stop = onMarks(() => {
            this.change.textContent = markChange(this.shown);
            refreshBar(this.opened, this.shown, kind);
        });
        this.opened.closed.then(() => {
            stop();
            onClose?.(this.siblings[this.place]);
        });
    }

    get isAside() {
        return this.shown !== this.siblings[this.place];
    }

    onKey(event) {
        const by = { ArrowLeft: this.isAside ? 0 : -1, ArrowRight: 1 }[event.key];
        if (by !== undefined && !isTyping(event)) {
            event.preventDefault();
            this.step(by);
        } else {
            markKeys(event, [this.shown], markOptions(this.shown, this.kind));
        }
    }

    step(by) {
        const index = this.siblings[this.place + by];
        if (index !== undefined) {
            this.goTo(index);
        }
    }

    /** Show a sibling. */
    goTo(index) {
        this.place = Math.max(0, this.siblings.indexOf(index));
        this.show(index);
    }

    // Show any photo. The place among the siblings stays, so that one comes back to it.
    show(index) {
        const { heading, body } = this.opened;
        const isFocusLost = this.shown < 0 || body.contains(document.activeElement);
        const total = this.siblings.length;
        this.shown = index;
        heading.replaceChildren(
            "Product ",
            element("bdi", {}, photoLabel(index)),
            copyButton(photos.product_id[index], "Copy the product id"),
            this.change,
        );
        this.change.textContent = markChange(index);
        this.text.textContent = total > 1 ? `${number(this.place + 1)} of ${number(total)}` : "";
        this.back.hidden = !this.isAside;
        this.back.textContent = `Back to ${photoLabel(this.siblings[this.place])}`;
        this.previous.disabled = this.place <= 0;
        this.next.disabled = this.place >= total - 1;
        body.replaceChildren(...detailContent(index, this.kind, (other) => this.show(other)).filter(Boolean));
        body.scrollTop = 0;
        if (isFocusLost || document.activeElement === document.body) {
            heading.focus();
        }
    }
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
    return kind && isFoundAs(index, kind) ? kind : null;
}

// The class that r gives: what the audit suggests, else what the baseline takes the photo for; -1 without one.
function offeredClass(index) {
    const suggestion = suggestionOf(index);
    return suggestion < 0 && baselineWasRight(index) === false ? photos.answer[index] : suggestion;
}

function markOptions(index, kind) {
    return { kind: kindFor(index, kind) ?? undefined, suggestion: offeredClass(index) };
}

function detailContent(index, kind, show) {
    const pictures = ["original", "mask", "result"].map((which) =>
        element("figure", {}, picture(index, which, PICTURE_SIDE), element("figcaption", {}, inWords(which))),
    );
    const left = element("div", { class: "detail-pictures" }, pictures);
    const right = element(
        "div",
        { class: "detail-facts" },
        statusOf(index),
        markBar(index, kind),
        suspicionList(index),
        baselineOf(index),
        labelHistory(index),
    );
    const tables = element("div", { class: "detail-tables" }, factTable(index), maskTable(index), sourceTable(index));
    return [
        element("div", { class: "detail-top" }, left, right),
        relatedTiles(
            "Group",
            groupText(index),
            membersOf(photos.group[index]).filter((member) => member !== index),
            show,
            index,
        ),
        relatedTiles("Looks most like it", "", nearest(index, NEIGHBOURS, { examples: true }), show, index),
        tables,
    ];
}

function statusOf(index) {
    const reject = explainReject(index);
    const classText = element("strong", {}, element("bdi", {}, classLabel(photos.class[index])));
    const subset = photos.subset[index] >= 0 ? page.subsets[photos.subset[index]] : "";
    const decided = ["", "A person gave or confirmed the class.", "A person excluded it.", "A person gave or confirmed the class of the whole product."][photos.decided[index]];
    const lines = [
        element("p", { class: "status" }, classText, subset ? element("span", { class: "badge" }, subset) : null),
    ];
    if (reject) {
        lines.push(
            element(
                "p",
                { class: "reject" },
                "Not in the dataset. Stage ",
                element("code", {}, reject.stage),
                ` left it out: ${reject.text} (`,
                element("code", {}, rejectOf(index).reason),
                ").",
            ),
        );
    }
    return element("div", {}, lines, decided ? element("p", {}, decided) : null);
}

/** The buttons that mark a photo, with the mark that it has. Buttons that cannot be used say why. */
function markBar(index, kind = null) {
    const options = markOptions(index, kind);
    const { suggestion } = options;
    const mark = markOf(index);
    const bar = element("div", { class: "mark-bar", role: "group", "aria-label": "Mark this photo" });
    const add = (action, key, text, onClick, toClass = -1, why = whyNotMark(index, action, toClass)) => {
        const isOn = mark?.action === action && (action !== "relabel" || toClass < 0 || mark.toClass === toClass);
        bar.append(
            button("", onClick, {
                class: `button mark-button ${action}`,
                disabled: Boolean(why),
                title: why || `${text} (${key})`,
                "aria-pressed": String(isOn),
                "aria-keyshortcuts": key,
            }),
        );
        bar.lastChild.append(element("span", { dir: "auto" }, text), element("kbd", { "aria-hidden": "true" }, key));
    };
    const usual = usualReason(options.kind);
    add("exclude", "x", usual ? `Exclude: ${inWords(usual)}` : "Exclude …", () => excludePhotos([index], options));
    if (suggestion >= 0) {
        add("relabel", "r", `Relabel to ${classLabel(suggestion)}`, () => relabelPhotos([index], options), suggestion);
    }
    add(
        "relabel",
        "c",
        "Another class …",
        () => chooseClass([index], options),
        photos.class[index] >= 0 ? photos.class[index] : 0,
        whyNotAnotherClass(index),
    );
    const ofClass = photos.class[index] >= 0 ? `, and the class is ${classLabel(photos.class[index])}` : "";
    add("right", "y", `Right as it is${ofClass}`, () => confirmPhotos([index], options));
    bar.append(...changeButtons(index, mark, options));
    const text = mark ? `Marked: ${describeMark(mark)}` : whyNotAny(index);
    return element(
        "div",
        { class: "mark-bar" },
        bar,
        element("p", { class: `mark-text ${mark?.action ?? ""}`, dir: "auto" }, text),
    );
}

// What can be done to a mark that is there.
function changeButtons(index, mark, options) {
    const change = (text, key, act) => button(text, act, { quiet: true, "aria-keyshortcuts": key });
    return [
        mark?.action === "exclude" && change("Another reason", "Shift+X", () => chooseReason([index], options)),
        mark && change("Remove the mark", "e", () => clearPhotos([index])),
    ].filter(Boolean);
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
    const items = found.map(({ kind, rank, why, score, suggestion }) =>
        element(
            "li",
            {},
            element("span", { class: "badge warn" }, `${kind} ${number(rank)}`),
            ` ${WHY_WORDS[why] ?? inWords(why)} `,
            element("span", { class: "hint" }, `(${inWords(why)}, score ${number(score)})`),
            suggestion >= 0
                ? [" Suggested class: ", element("strong", {}, element("bdi", {}, classLabel(suggestion))), "."]
                : null,
        ),
    );
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
    const rows = labelRowsOf(index);
    const changes = changesOf(index);
    if (!rows.length && !changes.length) {
        return null;
    }
    const items = rows.map(([catalogId, date]) =>
        element(
            "li",
            {},
            element("bdi", {}, catalogName(catalogId)),
            element("span", { class: "hint" }, ` ${date ? date.split("T")[0] : "without a date"}`),
        ),
    );
    const told = ({ told: ids }) => ids.map((id) => catalogName(id)).join(", ");
    const decided = changes.map((change) =>
        element(
            "li",
            {},
            element("span", { class: "badge" }, inWords(change.change)),
            " the labels say ",
            element("bdi", {}, told(change) || "nothing"),
            "; the class is ",
            element("bdi", {}, classLabel(change.class)),
        ),
    );
    return element(
        "section",
        {},
        element("h3", {}, "Labels of the product"),
        element("ul", { class: "plain" }, items, decided),
    );
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
    const made = indices.slice(0, 24).map((other) =>
        element(
            "button",
            {
                type: "button",
                class: "tile-button",
                "aria-label": describePhoto(other),
                title: describePhoto(other),
                on: { click: () => show(other) },
            },
            tile(other, 72),
            element(
                "span",
                {
                    class: photos.class[other] === photos.class[index] ? "tile-caption" : "tile-caption differs",
                    dir: "auto",
                },
                classLabel(photos.class[other]),
            ),
            likeness.has(other)
                ? element("span", { class: "tile-caption" }, `likeness ${number(likeness.get(other))}`)
                : null,
        ),
    );
    return element(
        "section",
        {},
        element("h3", {}, title, hint ? element("span", { class: "hint" }, ` ${hint}`) : null),
        element("div", { class: "tile-row" }, made),
    );
}

function factRows(title, rows) {
    const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
    return known.length
        ? element(
              "table",
              { class: "facts-table" },
              element("caption", {}, title),
              element(
                  "tbody",
                  {},
                  known.map(([name, value]) =>
                      element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)),
                  ),
              ),
          )
        : null;
}

function fixed(value, digits) {
    return value === null || value === undefined ? null : value.toFixed(digits);
}

function withRange(text, range) {
    return text === null ? null : [text, " ", element("span", { class: "hint" }, range)];
}

function factTable(index) {
    const { width, height, format, sharpness, brightness, contrast, aspect_ratio: aspect } = photos;
    return factRows("The photo as it was", [
        ["Size", width[index] === null ? null : `${number(width[index])} × ${number(height[index])} px`],
        ["Format", format[index]],
        ["Aspect ratio", withRange(fixed(aspect[index], 2), "longer side by shorter")],
        ["Sharpness", withRange(fixed(sharpness[index], 2), "of 1; blurred photos have little")],
        ["Brightness", withRange(fixed(brightness[index], 0), "of 255")],
        ["Contrast", withRange(fixed(contrast[index], 0), "of 127")],
    ]);
}

function maskTable(index) {
    const { foreground_share: foreground, border_share: border, pieces, uncertainty } = photos;
    return factRows("Its mask", [
        ["Foreground", foreground[index] === null ? null : `${share(foreground[index])} of the photo`],
        ["On the border", border[index] === null ? null : `${share(border[index])} of the photo's edge`],
        ["Pieces", pieces[index] === null ? null : number(pieces[index])],
        ["Uncertainty", withRange(fixed(uncertainty[index], 3), "of 1; 0 is sure")],
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
