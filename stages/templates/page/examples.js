// Which photos may show what a class looks like: none in doubt, none that a mark takes away.

import { photos, suspicionOf } from "./data.js";
import { markOf } from "./marks.js";

/** The class that a photo may be an example of, -1 for none: that of its mark, else its own if that is in no doubt. */
export function exampleClass(index) {
    const mark = markOf(index);
    if (mark) {
        return { exclude: -1, relabel: mark.toClass }[mark.action] ?? photos.class[index];
    }
    return suspicionOf(index, "label") !== null && photos.decided[index] === 0 ? -1 : photos.class[index];
}
