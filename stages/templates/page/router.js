// The address after # says which view is open and what it shows: "photos?class=3". So back, bookmarks and links work.

const routeListeners = new Set();

/** The view and the query of the address. */
export function currentRoute() {
    const [view, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
    return { view, query: new URLSearchParams(query) };
}

/** Write a route: routeTo("photos", {class: 3}) is "photos?class=3". Empty values are left out. */
export function routeTo(view, query = {}) {
    const entries = query instanceof URLSearchParams ? [...query] : Object.entries(query);
    const kept = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined);
    const text = new URLSearchParams(kept).toString();
    return text ? `${view}?${text}` : view;
}

/** Open a route: "photos?class=3". */
export function go(route) {
    location.hash = `#${route}`;
}

/** Change the address without a new step in the history, such as while somebody types. */
export function replaceRoute(route) {
    if (location.hash !== `#${route}`) {
        location.replace(`#${route}`);
    }
}

/** Call a listener with {view, query} whenever the address changes. Returns a function that stops it. */
export function onRoute(listener) {
    if (routeListeners.size === 0) {
        addEventListener("hashchange", () => {
            const route = currentRoute();
            routeListeners.forEach((each) => each(route));
        });
    }
    routeListeners.add(listener);
    return () => routeListeners.delete(listener);
}
