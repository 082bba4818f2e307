// The buttons below the card of a queue. Each does what its key does, and says what that is.

import { classLabel, inWords, photos } from "./data.js";
import { button, element, number } from "./dom.js";
import { chooseClass, clearPhotos, confirmPhotos, excludePhotos, relabelPhotos, undoMark, usualReason } from "./keys.js";
import { describeMark, markOf, stepCounts, whyNotAnotherClass, whyNotMark } from "./marks.js";
import { goOnLink, isDecided, markedWhere, OF_CLASSES } from "./review_list.js";
import { go } from "./router.js";

/** What `right` decides, where a photo is not listed for its class. */
export const WHAT_RIGHT_DOES =
    "Right as it is also confirms the photo's class. It is then decided, whatever else it is listed for.";

const SIDES = ["left", "right"];

/** The buttons of a queue. */
export class ReviewActions {
    constructor(queue) {
        const act = (action) => () => action(queue.marked(), queue.options());
        this.queue = queue;
        this.exclude = this.makeButton("x", act(excludePhotos));
        this.relabel = this.makeButton("r", act(relabelPhotos));
        this.choose = this.makeButton("c", act(chooseClass));
        this.right = this.makeButton("y", act(confirmPhotos));
        this.clear = this.makeButton("e", act(clearPhotos), "Clear the mark");
        this.undo = this.makeButton("u", undoMark, "Undo");
        const move = [
            this.makeButton("k", () => queue.move("k"), "Back"),
            this.makeButton("j", () => queue.move("j"), "Next"),
            this.makeButton("Enter", () => queue.openDetail(), "All about it"),
        ];
        this.note = element("p", { class: "review-note" });
        this.finish = element("p", { class: "review-finish", role: "status" });
        this.groups = [
            this.makeGroup("Decide", [this.exclude, this.relabel, this.choose, this.right]),
            this.makeGroup("Go on", [this.clear, this.undo, ...move]),
        ];
        this.element = element("div", { class: "review-foot" }, this.finish, this.note, this.groups);
    }

    makeGroup(name, buttons) {
        const shown = buttons.map(({ made }) => made);
        return element("div", { class: "review-actions", role: "group", "aria-label": name }, shown);
    }

    // After a click with a pointer the keys belong to the card again, not to this button.
    makeButton(key, act, text = "") {
        const words = element("span", {}, text);
        const onClick = (event) => {
            if (event.detail > 0) {
                this.queue.focusCard();
            }
            act();
        };
        const keyShown = element("kbd", { "aria-hidden": "true" }, key);
        return { made: button([words, keyShown], onClick, { "aria-keyshortcuts": key }), words };
    }

    /** Say in the buttons what they do to this card. */
    describe() {
        const photo = this.queue.target();
        this.showFinish();
        this.groups.forEach((group) => group.toggleAttribute("hidden", photo === undefined));
        if (photo === undefined) {
            this.note.textContent = "";
            return;
        }
        const { suggestion, kind, reason } = this.queue.options();
        const which = this.which(photo);
        const isOfClass = !kind || OF_CLASSES.includes(kind); // what it is listed for
        const usual = reason ?? usualReason(kind);
        this.write(this.exclude, "exclude", photo, `Exclude${which}${usual ? `: ${inWords(usual)}` : " …"}`);
        this.write(this.relabel, "relabel", photo, `Relabel${which} to ${classLabel(suggestion)}`, suggestion);
        this.write(this.right, "right", photo, `Right${which}${isOfClass ? ":" : " as it is, and"} the class is ${classLabel(photos.class[photo])}`);
        this.relabel.made.hidden = suggestion < 0;
        this.choose.words.textContent = suggestion >= 0 ? "Another class …" : "Choose a class …";
        this.choose.made.title = whyNotAnotherClass(photo);
        this.choose.made.setAttribute("aria-disabled", String(this.choose.made.title !== ""));
        this.clear.made.setAttribute("aria-disabled", String(!markOf(photo)));
        this.undo.made.setAttribute("aria-disabled", String(stepCounts().undo === 0));
        this.note.textContent = this.stateInWords(photo);
    }

    // Which photos a key marks, where that is not plain.
    which(photo) {
        const count = this.queue.marked().length;
        if (count > 1) {
            return ` ${number(count)} photos`;
        }
        const targets = this.queue.targets();
        return targets.length > 1 ? ` the ${SIDES[targets.indexOf(photo)]} one` : ""; // an id may have 36 letters
    }

    stateInWords(photo) {
        const mark = markOf(photo);
        const before = photos.decided[photo] > 0 ? "A person decided on it before." : "";
        if (!mark) {
            return before;
        }
        const more = isDecided(this.queue.current) ? "" : " That is about its class, so this card is still open: say whether the rest is right, too.";
        return `Marked${markedWhere(mark, this.queue.current)}: ${describeMark(mark)}.${more}`;
    }

    write({ made, words }, action, photo, text, toClass) {
        const problem = action === "relabel" && toClass < 0 ? "" : whyNotMark(photo, action, toClass);
        words.textContent = text;
        made.setAttribute("aria-pressed", String(markOf(photo)?.action === action));
        made.setAttribute("aria-disabled", String(problem !== ""));
        made.title = problem;
    }

    showFinish() {
        const { passing } = this.queue;
        const left = this.queue.leftAtEnd();
        const isDone = passing.length > 0 && passing.every(isDecided);
        const text = isDone ? `All ${number(passing.length)} are decided. ` : left ? `The end: ${number(left)} left undecided. ` : "";
        if (this.finish.firstChild?.textContent !== (text || undefined)) {
            const act = isDone
                ? button("See and save the marks", () => go("marks"))
                : button("Go to the first of them", () => this.queue.goToFirstOpen());
            this.finish.replaceChildren(...(text ? [text, act, " ", goOnLink(this.queue.spec)] : []));
        }
    }
}
