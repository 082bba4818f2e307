// The view of all photos: filters, search, order, a grid, marks of many at once.

import { classLabel, page, photoCount } from "./data.js";
import { button, counted, debounce, element, icon, number, uniqueId } from "./dom.js";
import { choosePhotos, classCaption, FILTERS, QUERY_NAMES, sortCaption, SORTS } from "./filters.js";
import { keepTileSide, photoGrid, TILE_SIDES, tileSide } from "./grid.js";
import { chooseClass, chooseReason, clearPhotos, confirmPhotos, pickClass } from "./keys.js";
import { keepTilePicture, lackedPicture, PICTURE_CHOICES, tilePicture } from "./pictures.js";
import { go, replaceRoute, routeTo } from "./router.js";

const CAPTIONS = [
    ["", "nothing"],
    ["class", "class"],
    ["product", "product id"],
    ["sort", "what it is sorted by"],
];
const NO_MASK = "The page has no mask of dimmed photos.";
let captionChoice = "class";
let keptOrder = {}; // "sort" and "order" of the last query: the tab has none

/** The view `photos`. */
export const photosView = { id: "photos", title: "Photos", count: () => photoCount, open: openPhotos };

function openPhotos(host, query) {
    const state = { query: new URLSearchParams(query) };
    const controls = drawControls((...changed) => changeQuery(state.query, ...changed), () => state.query);
    const result = element("p", { class: "result", role: "status" });
    const selectionBar = element("div", { class: "selection-bar", role: "group", "aria-label": "Selected photos" });
    const row = element("div", { class: "result-row" }, result, selectionBar);
    host.append(controls.element, row);
    let grid = null; // the grid tells its selection while it is made
    grid = photoGrid(host, {
        label: "Photos",
        which: tilePicture("photos"),
        onSelect: (selected) => {
            row.classList.toggle("has-selection", selected.length > 0);
            drawSelection(selectionBar, grid, selected, state);
        },
    });
    const empty = element(
        "p",
        { class: "empty", hidden: true },
        "No photo fits. ",
        button("Clear filters", clearFilters),
    );
    host.append(empty);
    const update = (wanted) => {
        state.query = new URLSearchParams(wanted);
        keptOrder = { sort: wanted.get("sort"), order: wanted.get("order") };
        const chosen = choosePhotos(state.query);
        grid.kind = page.kinds.includes(state.query.get("kind")) ? state.query.get("kind") : null;
        grid.caption = captionFor(state.query);
        result.textContent = sayShown(chosen);
        empty.hidden = chosen.length > 0;
        controls.update(state.query);
        grid.show(chosen);
    };
    controls.onLook(() => {
        grid.caption = captionFor(state.query);
        grid.which = tilePicture("photos");
        grid.setSide(tileSide());
        result.textContent = sayShown(grid.indices);
    });
    update(inKeptOrder(query));
    return { close: () => grid.close(), update };
}

function changeQuery(query, name, value, isTyped = false) {
    const wanted = new URLSearchParams(query);
    if (value) {
        wanted.set(name, value);
    } else {
        wanted.delete(name);
    }
    if (name === "kind") {
        sortByRank(wanted, value);
    }
    (isTyped ? replaceRoute : go)(routeTo("photos", wanted));
}

// A person who comes by the tab, without a query, finds the order of before.
function inKeptOrder(query) {
    if ([...query.keys()].length) {
        return query;
    }
    const route = routeTo("photos", keptOrder);
    replaceRoute(route);
    return new URLSearchParams(route.split("?")[1]);
}

// The order is no filter, so it stays.
function clearFilters() {
    go(routeTo("photos", keptOrder));
}

// Of the suspects of a kind, the most suspicious come first.
function sortByRank(query, kind) {
    if (page.kinds.includes(kind)) {
        query.set("sort", `rank_${kind}`);
        query.delete("order");
    } else if (query.get("sort")?.startsWith("rank_")) {
        query.delete("sort");
    }
}

function countShown(chosen) {
    const all = counted(photoCount, "photo");
    return chosen.length === photoCount ? all : `${number(chosen.length)} of ${all}`;
}

function sayShown(chosen) {
    const which = tilePicture("photos");
    const dimmed = { mask: NO_MASK, tinted: NO_MASK, result: "The page does not have dimmed photos as they are in the dataset." }[which];
    const isLacking = chosen.some((index) => lackedPicture(index, which));
    return isLacking ? `${countShown(chosen)}. ${dimmed}` : countShown(chosen);
}

function captionFor(query) {
    if (!captionChoice) {
        return null;
    }
    if (captionChoice === "class") {
        return classCaption(query);
    }
    return sortCaption(captionChoice === "sort" ? (query.get("sort") ?? "product") : captionChoice);
}

function drawControls(change, currentQuery) {
    const updates = [];
    const search = searchField(change, updates);
    const selects = FILTERS.filter(({ id }) => id !== "pair" || page.pairs.photo.length).map((filter) =>
        selectField(
            filter.label,
            [["", "any"], ...filter.options()],
            (value) => change(filter.id, value),
            (query) => query.get(filter.id) ?? "",
            updates,
        ),
    );
    const classes = [
        classField("Class", "class", change, updates),
        classField("Baseline's answer", "answer", change, updates),
    ];
    const clear = button("Clear filters", clearFilters, { quiet: true });
    updates.push((query) => {
        clear.disabled = !QUERY_NAMES.some((name) => query.get(name));
    });
    const sorts = sortFields(change, updates, currentQuery);
    const choice = chosenPhotos(change, updates);
    let tellLook = () => {};
    const look = lookFields(() => tellLook());
    const filters = element(
        "details",
        { class: "filters", open: innerWidth > 700 },
        element("summary", {}, "Filters"),
        element("div", { class: "fields" }, classes[0], selects, classes[1], clear),
    );
    const first = element("div", { class: "fields" }, search, sorts, look);
    return {
        element: element("div", { class: "controls" }, first, filters, choice),
        update: (query) => updates.forEach((each) => each(query)),
        onLook: (listener) => {
            tellLook = listener;
        },
    };
}

// What another view chose, such as a part of the map: the address has the photos themselves.
function chosenPhotos(change, updates) {
    const made = element("p", { class: "chosen-photos" });
    updates.push((query) => {
        const chosen = query.get("photos");
        made.hidden = !chosen;
        if (chosen) {
            const all = button("All photos", () => change("photos", ""), { quiet: true });
            made.replaceChildren(`Only ${counted(chosen.split(",").length, "photo")} that another view chose. `, all);
        }
    });
    return made;
}

function field(label, input, id) {
    return element("div", { class: "field" }, element("label", { for: id }, label), input);
}

function searchField(change, updates) {
    const id = uniqueId("search");
    const input = element("input", {
        id,
        type: "search",
        placeholder: "product id or class name",
        autocomplete: "off",
        spellcheck: "false",
        dir: "auto",
    });
    let typed = "";
    const send = () => {
        if (input.isConnected) {
            typed = input.value.trim();
            change("search", typed, true);
        }
    };
    input.addEventListener("input", debounce(send, 150));
    updates.push((query) => {
        const wanted = query.get("search") ?? "";
        // Meanwhile the person may have typed on: only what comes from elsewhere changes the field.
        if (wanted !== typed) {
            typed = wanted;
            input.value = wanted;
        }
    });
    return field("Search", input, id);
}

function selectField(label, options, onChange, read, updates) {
    const id = uniqueId("filter");
    const select = element(
        "select",
        { id, on: { change: () => onChange(select.value) } },
        options.map(([value, text]) => element("option", { value }, text)),
    );
    updates.push((query) => {
        select.value = read(query);
        select.classList.toggle("active", select.value !== "" && options[0][1] === "any");
    });
    return field(label, select, id);
}

function classField(label, name, change, updates) {
    const id = uniqueId("class");
    const text = element("bdi", {}, "any");
    const choose = async () => {
        const chosen = await pickClass(`${label}: which one?`);
        if (chosen !== undefined) {
            change(name, String(chosen));
        }
    };
    const opener = element(
        "button",
        { id, type: "button", class: "button picker-button", "aria-haspopup": "dialog", on: { click: choose } },
        text,
        icon("down"),
    );
    const clear = button("", () => change(name, ""), {
        iconName: "close",
        quiet: true,
        "aria-label": `${label}: any`,
        title: `${label}: any`,
    });
    updates.push((query) => {
        const value = query.get(name);
        text.textContent = value
            ? value
                  .split(",")
                  .map((each) => classLabel(each === "none" ? -1 : Number(each)))
                  .join(", ")
            : "any";
        opener.setAttribute("aria-label", `${label}: ${text.textContent}`);
        opener.classList.toggle("active", Boolean(value));
        clear.hidden = !value;
    });
    return element(
        "div",
        { class: "field" },
        element("span", { class: "label", "aria-hidden": "true" }, label),
        element("div", { class: "field-row" }, opener, clear),
    );
}

function sortFields(change, updates, currentQuery) {
    const sort = selectField(
        "Sort by",
        SORTS.map(([id, name]) => [id, name]),
        (value) => change("sort", value === "product" ? "" : value),
        (query) => query.get("sort") ?? "product",
        updates,
    );
    const flip = () => change("order", currentQuery().get("order") === "down" ? "" : "down");
    const order = button("", flip, { class: "button order" });
    updates.push((query) => {
        order.textContent = query.get("order") === "down" ? "Descending" : "Ascending";
    });
    return [
        sort,
        element("div", { class: "field" }, element("span", { class: "label", "aria-hidden": "true" }, "Order"), order),
    ];
}

function lookFields(tell) {
    const updates = [];
    const size = selectField(
        "Tiles",
        TILE_SIDES.map((side) => [String(side), `${side} px`]),
        (value) => {
            keepTileSide(Number(value));
            tell();
        },
        () => String(tileSide()),
        updates,
    );
    const pictures = selectField(
        "Pictures",
        PICTURE_CHOICES,
        (value) => {
            keepTilePicture("photos", value);
            tell();
        },
        () => tilePicture("photos"),
        updates,
    );
    const caption = selectField(
        "Under them",
        CAPTIONS,
        (value) => {
            captionChoice = value;
            tell();
        },
        () => captionChoice,
        updates,
    );
    updates.forEach((each) => each());
    return [size, pictures, caption];
}

function drawSelection(bar, grid, selected, state) {
    if (!grid) {
        return;
    }
    const kind = page.kinds.includes(state.query.get("kind")) ? state.query.get("kind") : undefined;
    const options = { kind };
    const all = button("Select all shown", () => grid.selectAll(), {
        quiet: true,
        disabled: grid.indices.length === 0,
    });
    const hadFocus = bar.contains(document.activeElement);
    if (!selected.length) {
        bar.replaceChildren(all);
        if (hadFocus) {
            grid.focusActive();
        }
        return;
    }
    const elsewhere = grid.countElsewhere();
    bar.replaceChildren(
        element("span", { role: "status" }, `${number(selected.length)} selected${elsewhere ? `, ${number(elsewhere)} on other pages` : ""}`),
        button("Exclude…", () => chooseReason(selected, options)),
        button("Relabel…", () => chooseClass(selected, options)),
        button("Right as they are", () => confirmPhotos(selected, options)),
        button("Remove marks", () => clearPhotos(selected), { quiet: true }),
        ...(selected.length < grid.indices.length ? [all] : []),
        button("Clear selection", () => grid.selectNone(), { quiet: true }),
    );
}
