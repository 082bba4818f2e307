// The view of all marks: look at them again, change them, save them as a file for tools.suspects --apply.

import { classLabel, page, photoLabel, photos } from "./data.js";
import { openDetail } from "./detail.js";
import { announce, button, copyButton, counted, debounce, element, icon, number, uniqueId } from "./dom.js";
import {
    allMarks,
    clearMarkKeys,
    correctionsCsv,
    describeMark,
    isSaved,
    loadCorrections,
    markCount,
    noteSaved,
    onMarks,
    remarks,
    setNote,
    setRemarks,
} from "./marks.js";
import { tile } from "./pictures.js";
import { go } from "./router.js";

const ROWS_A_PAGE = 100;

/** The view `marks`. */
export const markedView = { id: "marks", title: "Marks", count: markCount, open: openMarked };

function openMarked(host) {
    const saving = element("div", { class: "saving" });
    const table = element("div", { class: "marks-table" });
    const state = { first: 0, drawn: "" };
    host.append(saving, table);
    drawSaving(saving);
    drawMarks(table, state);
    const stop = onMarks((changed) => {
        updateSaving(saving);
        if (changed === null || changed.size) {
            updateMarks(table, state);
        }
    });
    return stop;
}

/** The name of the file with the corrections. */
function correctionsName() {
    return `corrections-${page.digest.slice(0, 8)}.csv`;
}

function drawSaving(place) {
    const save = button("Save corrections", saveCorrections, { iconName: "save", class: "button primary", id: "save" });
    const loader = element("input", {
        type: "file",
        accept: ".csv,text/csv",
        class: "off-screen",
        id: uniqueId("load"),
        on: { change: () => loadFile(loader) },
    });
    const load = element("label", { class: "button quiet", for: loader.id }, "Load a saved file");
    const commands = [
        `python -m tools.suspects --apply ~/Downloads/${correctionsName()}`,
        "dvc repro",
        "python -m tools.compare HEAD",
    ].join("\n");
    place.replaceChildren(
        element(
            "div",
            { class: "fields" },
            remarkField("by", "By (optional)", "A handle. Git keeps it for good, in every clone."),
            remarkField("note", "Note (optional)", "It goes to every mark without a note of its own."),
        ),
        element(
            "div",
            { class: "field-row" },
            save,
            loader,
            load,
            element("span", { class: "saved-state", role: "status" }),
        ),
        element(
            "details",
            { class: "commands", open: true },
            element("summary", {}, "Then run, in the folder of the project"),
            element(
                "div",
                { class: "command" },
                element("pre", { tabindex: 0 }, element("code", {}, commands)),
                copyButton(commands, "Copy the commands"),
            ),
            element(
                "p",
                { class: "hint" },
                "The first command checks all rows and adds them to corrections/. The browser may have saved the file elsewhere, or with another number in its name.",
            ),
        ),
    );
    updateSaving(place);
}

function updateSaving(place) {
    const count = markCount();
    place.querySelector("#save").disabled = count === 0;
    place.querySelector(".saved-state").textContent =
        count === 0
            ? "There is nothing to save."
            : isSaved()
              ? `Saved: ${counted(count, "mark")}.`
              : `${counted(count, "mark")}, not saved yet.`;
}

function remarkField(name, label, hint) {
    const id = uniqueId("remark");
    const input = element("input", {
        id,
        type: "text",
        autocomplete: "off",
        maxlength: name === "by" ? 60 : 300,
        value: remarks()[name],
        "aria-describedby": `${id}-hint`,
    });
    input.addEventListener(
        "input",
        debounce(() => setRemarks({ [name]: input.value.trim() }), 250),
    );
    return element(
        "div",
        { class: "field" },
        element("label", { for: id }, label),
        input,
        element("span", { class: "hint", id: `${id}-hint` }, hint),
    );
}

function saveCorrections() {
    const url = URL.createObjectURL(new Blob([correctionsCsv()], { type: "text/csv" }));
    const link = element("a", { href: url, download: correctionsName() });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    noteSaved();
    announce(`${correctionsName()} is saved: ${counted(markCount(), "row")}.`);
}

async function loadFile(loader) {
    const [file] = loader.files;
    if (file) {
        const { set, refused } = loadCorrections(await file.text());
        const first = refused[0];
        const problem = first
            ? ` ${number(refused.length)} not: ${first.line ? `line ${first.line}` : photoLabel(first.photo)}: ${first.why}.`
            : "";
        announce(`${counted(set, "photo")} marked from ${file.name}.${problem}`);
        loader.value = "";
    }
}

// Who writes a note may be about to click or to press Tab. So a note alone draws nothing anew.
function updateMarks(place, state) {
    const marks = allMarks();
    if (withoutNotes(marks) !== state.drawn) {
        drawMarks(place, state);
        return;
    }
    const notes = new Map(marks.map(({ key, note }) => [key, note ?? ""]));
    for (const field of place.querySelectorAll("[data-control=note]")) {
        if (field !== document.activeElement) {
            field.value = notes.get(field.closest("tr").dataset.key);
        }
    }
}

function withoutNotes(marks) {
    return JSON.stringify(marks.map((mark) => ({ ...mark, note: undefined })));
}

function drawMarks(place, state) {
    const focused = focusedIn(place);
    fillMarks(place, state);
    if (focused) {
        focusAgain(place, focused);
    }
}

// What has the focus in the table: the name of the control, and the key and the number of its row.
function focusedIn(place) {
    const control = document.activeElement;
    if (!place.contains(control)) {
        return null;
    }
    const row = control.closest("tr");
    return { name: control.dataset.control, key: row?.dataset.key, at: row?.sectionRowIndex ?? 0 };
}

// Focus the same control; that of the next row where the row is gone, and what says that there is no row where all are.
function focusAgain(place, { name, key, at }) {
    const rows = [...place.querySelectorAll("tbody tr")];
    const row = rows.find((one) => one.dataset.key === key) ?? rows[Math.min(at, rows.length - 1)];
    const isWanted = `[data-control="${name}"]:enabled`;
    const found = row?.querySelector(isWanted) ?? place.querySelector(isWanted);
    (found ?? place.querySelector(".pager button:enabled, .empty"))?.focus();
}

function fillMarks(place, state) {
    const marks = allMarks();
    state.drawn = withoutNotes(marks);
    state.first = Math.max(0, Math.min(state.first, Math.floor((marks.length - 1) / ROWS_A_PAGE) * ROWS_A_PAGE));
    if (!marks.length) {
        place.replaceChildren(
            element(
                "p",
                { class: "empty", tabindex: -1 },
                "No photo is marked. Open a photo, or press x, r or y on it. The key ? lists all keys.",
            ),
        );
        return;
    }
    const shown = marks.slice(state.first, state.first + ROWS_A_PAGE);
    const siblings = marks.map(({ photo }) => photo).filter((photo) => photo >= 0);
    const head = ["Photo", "Product", "Class", "Mark", "Found as", "Note", ""].map((name) =>
        element("th", { scope: "col" }, name),
    );
    const rows = shown.map((mark) => markRow(mark, siblings));
    const table = element(
        "table",
        { class: "rows" },
        element("thead", {}, element("tr", {}, head)),
        element("tbody", {}, rows),
    );
    const removeAll = () => {
        const count = clearMarkKeys(marks.map(({ key }) => key));
        announce(`${counted(count, "mark")} removed. Undo brings them back.`);
    };
    const buttons = [
        button("Show them as photos", () => go("photos?mark=any"), { quiet: true }),
        button("Remove all marks", removeAll, { quiet: true, "data-control": "remove-all" }),
    ];
    place.replaceChildren(
        element("div", { class: "wide" }, table),
        ...(marks.length > ROWS_A_PAGE ? [rowPager(place, state, shown.length, marks.length)] : []),
        element("p", {}, buttons),
    );
}

function rowPager(place, state, shown, total) {
    const turn = (by) => {
        state.first += by;
        drawMarks(place, state);
    };
    const turner = (name, iconName, by, disabled) =>
        button("", () => turn(by), { iconName, quiet: true, "aria-label": name, disabled, "data-control": iconName });
    const last = state.first + shown;
    return element(
        "div",
        { class: "pager" },
        turner("Previous page", "previous", -ROWS_A_PAGE, state.first === 0),
        `${number(state.first + 1)} to ${number(last)} of ${number(total)}`,
        turner("Next page", "next", ROWS_A_PAGE, last >= total),
    );
}

// A mark that changed in the dialog drew the table anew, so the button that opened it is gone.
function focusRow(photo) {
    document.querySelector(`.marks-table [data-photo="${photo}"]`)?.focus();
}

// The mark in words, and who decided, where a loaded file says so.
function markText(mark) {
    return element(
        "span",
        { class: `mark-text ${mark.action}` },
        icon(mark.action),
        element("bdi", {}, describeMark(mark)),
        mark.by ? element("span", { class: "hint" }, " by ", element("bdi", {}, mark.by)) : null,
    );
}

function markRow(mark, siblings) {
    const { key, photo } = mark;
    const name = photo >= 0 ? photoLabel(photo) : key;
    const open =
        photo >= 0
            ? element(
                  "button",
                  {
                      type: "button",
                      class: "tile-button",
                      "aria-label": `Open product ${name}`,
                      dataset: { photo, control: "open" },
                      on: { click: () => openDetail(photo, siblings, { kind: mark.kind ?? null, onClose: focusRow }) },
                  },
                  tile(photo, 48),
              )
            : "not in this page";
    const note = element("input", {
        type: "text",
        value: mark.note ?? "",
        maxlength: 300,
        "aria-label": `Note to product ${name}`,
        dataset: { control: "note" },
        on: { change: () => setNote(key, note.value.trim()) },
    });
    const remove = button(
        "Remove",
        () => {
            clearMarkKeys([key]);
            announce(`The mark of ${name} is removed.`);
        },
        { quiet: true, "aria-label": `Remove the mark of product ${name}`, "data-control": "remove" },
    );
    return element(
        "tr",
        { dataset: { key } },
        element("td", {}, open),
        element("th", { scope: "row" }, element("bdi", {}, name)),
        element("td", {}, element("bdi", {}, photo >= 0 ? classLabel(photos.class[photo]) : "")),
        element("td", {}, markText(mark)),
        element("td", {}, mark.kind ? `${mark.kind}${mark.rank ? ` ${number(mark.rank)}` : ""}` : ""),
        element("td", {}, note),
        element("td", {}, remove),
    );
}
