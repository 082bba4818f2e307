"""A headless browser for tests of the page: Chromium or Chrome of the machine, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebError, sync_playwright

BROWSERS = (
    "chromium-headless-shell",  # opens a tab in a third of the processor time of the others
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
NONE_FOUND = "no chromium-headless-shell, chromium, chromium-browser or google-chrome on PATH"
PATIENCE = 60_000  # milliseconds: other tests share the cores
WIDE, NARROW, HEIGHT = 1280, 420, 900
ONE_RENDERER = "--renderer-process-limit=1"
ANY_FILE = Path(__file__).parents[1] / "requirements.txt"
WORST = ("serious", "critical")  # of what axe finds
VIOLATIONS = "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations)"
# After what the page itself waits for, in storage.js.
STARTED = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"

Theme = Literal["light", "dark"]


class Seen(NamedTuple):
    """What a page did: errors on its console, exceptions, and the URLs that it asked for."""

    errors: list[str]
    requests: list[str]

    def assert_quiet(self, file: Path) -> None:
        """Raise AssertionError where the page logged an error or asked for anything but itself."""
        assert self.errors == []
        asked = {url for url in self.requests if not url.startswith(("data:", "blob:"))}
        assert asked <= {file.as_uri()}


def require_browser() -> str:
    """Return the path of the machine's browser. Skip the test, with the reason, where it has none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(NONE_FOUND)
    return path


@contextmanager
def launched(*options: str) -> Iterator[Browser]:
    """Start the machine's browser, with options of its command line."""
    path = require_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options, timeout=2 * PATIENCE)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, file: Path, view: str = "", width: int = WIDE, theme: Theme = "light"
) -> Iterator[tuple[Page, Seen]]:
    """Open a file as a person does, with storage of its own.

    Args:
        file: the page.
        view: what comes after `#` in its address.
        width: of the window, in pixels.
        theme: what the system prefers.

    Yields:
        The tab, and what it did so far.
    """
    context = idle_context(browser)
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.emulate_media(color_scheme=theme)
    with watched(context) as seen:
        page.goto(address(file, view))
        page.evaluate(STARTED)
        yield page, seen
        page.close()
    context.pages[0].evaluate("localStorage.clear()")


def reload(page: Page) -> None:
    """Load what a tab shows anew, and wait until its scripts have started."""
    page.reload()
    page.evaluate(STARTED)


def idle_context(browser: Browser) -> BrowserContext:
    """Return a context in which one tab alone is open, and nothing is stored.

    This tab keeps the process alive that renders files: to start one for each test takes a third of the time of a test.
    """
    for context in browser.contexts:
        if len(context.pages) == 1:
            return context
    context = browser.new_context(
        viewport={"width": WIDE, "height": HEIGHT}, reduced_motion="reduce", accept_downloads=True
    )
    context.set_default_timeout(PATIENCE)
    context.new_page().goto(ANY_FILE.as_uri())
    return context


@contextmanager
def watched(context: BrowserContext) -> Iterator[Seen]:
    """Note what the tabs of a context do. A violation of the content security policy is an error on the console."""
    seen = Seen([], [])

    def hear_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.errors.append(message.text)

    def hear_error(error: WebError) -> None:
        seen.errors.append(str(error.error))

    def hear_request(request: Request) -> None:
        seen.requests.append(request.url.partition("#")[0])

    context.on("console", hear_console)
    context.on("weberror", hear_error)
    context.on("request", hear_request)
    yield seen
    context.remove_listener("console", hear_console)
    context.remove_listener("weberror", hear_error)
    context.remove_listener("request", hear_request)


def address(file: Path, view: str = "") -> str:
    return file.as_uri() + (f"#{view}" if view else "")


def find_barriers(page: Page) -> list[str]:
    """Return what axe finds in a tab that is serious or critical: rule, impact and the first elements."""
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(AXE_SCRIPT)
    found: list[dict[str, Any]] = page.evaluate(VIOLATIONS)
    return [
        f"{rule['id']} ({rule['impact']}): {[node['html'][:200] for node in rule['nodes'][:3]]}"
        for rule in found
        if rule["impact"] in WORST
    ]
