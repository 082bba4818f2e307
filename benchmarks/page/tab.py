"""Open a page in a browser, and measure how long it takes and how much memory."""

from pathlib import Path
from typing import NamedTuple

import psutil
from playwright.sync_api import Browser

from tests.browser import opened

TIMES = """() => ({
    paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    ready: performance.getEntriesByType("navigation")[0].loadEventEnd,
})"""


class Opened(NamedTuple):
    """A page in a browser: milliseconds to its first paint and until it is ready, memory of its process in bytes."""

    paint: float
    ready: float
    memory: int


def open_page(browser: Browser, page_html: Path) -> Opened:
    """Open a page in a new tab, and measure."""
    with opened(browser, page_html) as (page, _):
        page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
        page.wait_for_timeout(1000)
        times: dict[str, float] = page.evaluate(TIMES)
        return Opened(times["paint"], times["ready"], largest_renderer())


def largest_renderer() -> int:
    """Return the resident memory of the largest renderer process of this process's browsers."""
    sizes = [0]
    for process in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                sizes.append(process.memory_info().rss)
        except psutil.Error:  # it ended meanwhile
            continue
    return max(sizes)
