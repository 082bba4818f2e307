"""A headless browser for tests of the page: Chromium or Chrome of the machine, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

BROWSERS = (
    "chromium-headless-shell",  # opens a tab in a third of the processor time of the others
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
NONE_FOUND = "no chromium-headless-shell, chromium, chromium-browser or google-chrome on PATH"
PATIENCE = 60_000  # milliseconds: other tests share the cores
WIDE, NARROW = 1280, 420
WORST = ("serious", "critical")  # of what axe finds

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
def launched() -> Iterator[Browser]:
    """Start the machine's browser."""
    path = require_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, timeout=2 * PATIENCE)
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
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce", accept_downloads=True
    )
    context.set_default_timeout(PATIENCE)
    seen = watch(context)
    page = context.new_page()
    page.goto(address(file, view))
    yield page, seen
    context.close()


def watch(context: BrowserContext) -> Seen:
    """Note what the tabs of a context do. A violation of the content security policy is an error on the console."""
    seen = Seen([], [])
    context.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: seen.errors.append(str(error.error)))
    context.on("request", lambda request: seen.requests.append(request.url.partition("#")[0]))
    return seen


def address(file: Path, view: str = "") -> str:
    return file.as_uri() + (f"#{view}" if view else "")


def find_barriers(page: Page) -> list[str]:
    """Return what axe finds in a tab that is serious or critical: rule, impact and the first elements."""
    page.evaluate(AXE_SCRIPT)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']} ({rule['impact']}): {[node['html'][:200] for node in rule['nodes'][:3]]}"
        for rule in found["violations"]
        if rule["impact"] in WORST
    ]
