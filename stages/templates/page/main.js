// The page starts here: its views, the tabs, the address, the theme, the marks in the header.

import { changesView } from "./changes.js";
import { classesView } from "./classes.js";
import { confusionView } from "./confusion.js";
import { page } from "./data.js";
import { counted, element, hideAnnouncement, number } from "./dom.js";
import { isTyping, openHelp, redoMark, undoMark } from "./keys.js";
import { labelsView } from "./labels.js";
import { mapView } from "./map.js";
import { markedView } from "./marked.js";
import { isSaved, markCount, marksAreKept, onMarks, stepCounts } from "./marks.js";
import { masksView } from "./masks.js";
import { odditiesView } from "./oddities.js";
import { pairsView } from "./pairs.js";
import { photosView } from "./photos.js";
import { currentRoute, go, onRoute } from "./router.js";
import { readStorage, writeStorage } from "./storage.js";
import { summaryView } from "./summary.js";

/**
 * The views, in the order of the tabs: {id, title, count?: () => number, open(host, query) -> close()}. A view may have
 * update(query) in what open returns: {close, update}; then another query does not draw the view anew.
 */
const views = [
    summaryView,
    photosView,
    labelsView,
    masksView,
    odditiesView,
    pairsView,
    classesView,
    confusionView,
    mapView,
    changesView,
    markedView,
];

const THEMES = ["auto", "light", "dark"];
const SHADE = 20; // pixels at an end of the tabs, where a shade says that there are more
const THEME_STORAGE = "imageset-theme";
let opened = { view: null, close: null, update: null };

function openRoute({ view: id, query }) {
    const view = views.find((each) => each.id === id) ?? views[0];
    if (opened.view === view && opened.update) {
        opened.update(query);
        return;
    }
    opened.close?.();
    hideAnnouncement();
    const host = document.getElementById("view");
    host.replaceChildren();
    document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
    const heading = element("h2", { class: "view-title", tabindex: -1 }, view.title);
    host.append(heading);
    const result = view.open(host, query);
    const { close, update } = typeof result === "function" ? { close: result } : (result ?? {});
    const isFirst = opened.view === null;
    opened = { view, close, update };
    drawTabs();
    document.title = `${view.title} · imageset ${page.digest.slice(0, 8)}`;
    if (!isFirst) {
        scrollTo(0, 0);
    }
    // A view of cards takes the focus itself, so that its keys act at once.
    if (!isFirst && !host.contains(document.activeElement)) {
        heading.focus({ preventScroll: true });
    }
}

function drawTabs() {
    const nav = document.getElementById("tabs");
    const focused = nav.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    nav.replaceChildren(...views.map((view) => {
        const count = view.count?.();
        return element("a", { href: `#${view.id}`, dataset: { view: view.id }, "aria-current": opened.view === view ? "page" : null },
            view.title, count === undefined ? null : element("span", { class: "count" }, number(count)));
    }));
    if (focused) {
        nav.querySelector(`[href="${focused}"]`)?.focus();
    }
    scrollTabs(nav);
}

// Show the current tab. scrollIntoView would also move the place from which Tab goes on: past the link to the content.
function scrollTabs(nav) {
    const tab = nav.querySelector("[aria-current]")?.getBoundingClientRect();
    const { left, right } = nav.getBoundingClientRect();
    nav.scrollLeft += tab ? Math.min(0, tab.left - left - SHADE) + Math.max(0, tab.right - right + SHADE) : 0;
}

function drawMarkBar() {
    const count = markCount();
    const link = document.getElementById("marks-link");
    link.textContent = count ? `${counted(count, "mark")}${isSaved() ? ", saved" : ""}` : "No marks";
    link.dataset.unsaved = String(count > 0 && !isSaved());
    document.getElementById("undo").disabled = stepCounts().undo === 0;
    document.getElementById("redo").disabled = stepCounts().redo === 0;
    const warning = document.getElementById("storage-warning");
    warning.hidden = marksAreKept();
    document.querySelector(`#tabs [data-view="${markedView.id}"] .count`).textContent = number(count);
}

function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    document.getElementById("theme").value = theme;
    writeStorage(THEME_STORAGE, theme); // without storage it holds until the page is closed
}

function storedTheme() {
    const theme = readStorage(THEME_STORAGE);
    return THEMES.includes(theme) ? theme : "auto";
}

function fillHeader() {
    document.getElementById("digest").textContent = page.digest.slice(0, 8);
    document.getElementById("digest").title = `Content digest ${page.digest}, imageset ${page.version}`;
    if (page.sampled) {
        const banner = document.getElementById("sampled");
        banner.textContent = `This page shows ${number(page.sampled.shown)} of ${number(page.sampled.of)} photos: ${page.sampled.how}`;
        banner.hidden = false;
    }
}

function listen() {
    document.getElementById("theme").addEventListener("change", (event) => setTheme(event.target.value));
    document.getElementById("undo").addEventListener("click", undoMark);
    document.getElementById("redo").addEventListener("click", redoMark);
    document.getElementById("help").addEventListener("click", openHelp);
    document.querySelector(".skip").addEventListener("click", (event) => {
        event.preventDefault(); // the address after # is a view's
        document.getElementById("view").focus();
    });
    document.getElementById("marks-link").addEventListener("click", () => go("marks"));
    document.addEventListener("keydown", (event) => {
        const isUndo = event.key.toLowerCase() === "z" && !event.shiftKey;
        const isRedo = event.key.toLowerCase() === "y" || (event.key.toLowerCase() === "z" && event.shiftKey);
        if ((event.ctrlKey || event.metaKey) && !event.altKey && !isTyping(event) && (isUndo || isRedo)) {
            event.preventDefault();
            (isUndo ? undoMark : redoMark)();
        }
    });
}

setTheme(storedTheme());
fillHeader();
listen();
onRoute(openRoute);
openRoute(currentRoute());
onMarks(drawMarkBar);
drawMarkBar();
