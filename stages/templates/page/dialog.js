// Dialogs: the browser's own <dialog>, which keeps the focus inside, closes by Escape and hides what is behind it.

import { button, element, uniqueId } from "./dom.js";

/**
 * Open a dialog. It closes by Escape, by its button, or by a click beside it; the focus goes back to where it was.
 * Returns {dialog, body, heading, close(value), closed: a promise of that value, undefined if nothing was chosen}.
 */
export function openDialog(title, { className = "", content = [], returnFocus = null } = {}) {
    const focused = document.activeElement;
    const headingId = uniqueId("dialog");
    const heading = element("h2", { id: headingId, dir: "auto" }, title);
    const body = element("div", { class: "dialog-body" }, content);
    let resolveClosed;
    const closed = new Promise((resolve) => {
        resolveClosed = resolve;
    });
    const finish = (value) => {
        if (dialog.isConnected) {
            document.body.append(document.getElementById("announcement")); // announce() may have put it into the dialog
            dialog.remove();
            restoreFocus(returnFocus?.() ?? focused);
            resolveClosed(value);
        }
    };
    // The event "close" comes later: by then a person may have gone on to another photo, and the focus would be taken back.
    const close = (value) => {
        dialog.close();
        finish(value);
    };
    const closer = button("", () => close(), {
        iconName: "close",
        quiet: true,
        "aria-label": "Close",
        title: "Close (Escape)",
    });
    const head = element("div", { class: "dialog-head" }, heading, closer);
    const dialog = element("dialog", { class: `dialog ${className}`, "aria-labelledby": headingId }, head, body);
    dialog.addEventListener("close", () => finish()); // Escape
    dialog.addEventListener("mousedown", (event) => {
        if (event.target === dialog && isBeside(dialog, event)) {
            close();
        }
    });
    document.body.append(dialog);
    dialog.showModal();
    return { dialog, body, head, heading, close, closed };
}

function restoreFocus(place) {
    if (place?.isConnected) {
        place.focus({ preventScroll: true });
    }
}

function isBeside(dialog, { clientX, clientY }) {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    return clientX < left || clientX > right || clientY < top || clientY > bottom;
}
