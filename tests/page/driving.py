"""What a person does with the page, for tests: look at tiles, choose filters, mark by keyboard."""

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser import address, find_barriers

PHOTO = re.compile(r"^product (\d+)(?: photo (\d+))?(?=,|$)")

SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

Photo = tuple[int, int]


def read_data(page: Page) -> dict[str, Any]:
    """Return the data of the page."""
    found: dict[str, Any] = json.loads(page.locator("#data").text_content() or "")
    return found


def tiles(page: Page) -> Locator:
    """Return the tiles of the grid."""
    return page.locator(".photo-grid [role=option]")


def shown(page: Page) -> list[Photo]:
    """Return product and position of the photos in the grid, in its order."""
    return [name_photo(label) for label in page.evaluate(LABELS)]


LABELS = "[...document.querySelectorAll('.photo-grid [role=option]')].map((tile) => tile.getAttribute('aria-label'))"


def name_photo(label: str) -> Photo:
    found = PHOTO.match(label)
    assert found, label
    return int(found[1]), int(found[2] or 0)


def wait_for_photos(page: Page, photos: list[Photo]) -> None:
    """Wait until the grid shows exactly these photos, in this order. Playwright says what it shows if it does not."""
    names = [f"product {product}" + (f" photo {position}" if position else "") for product, position in photos]
    starts = "(names) => { const labels = " + LABELS + "; return labels.length === names.length && "
    page.wait_for_function(
        starts + "labels.every((label, at) => label === names[at] || label.startsWith(names[at] + ',')) }", arg=names
    )


def focus_tile(page: Page, product: int, position: int = 0) -> Locator:
    """Focus a photo's tile in the grid, as clicks beside it and arrows would."""
    name = f"product {product}" + (f" photo {position}," if position else ",")
    tile = page.locator(f".photo-grid [role=option][aria-label^='{name}']")
    tile.focus()
    return tile


def views_of(page: Page) -> list[str]:
    """Return the ids of the views, in the order of the tabs."""
    tabs = page.locator("#tabs a")
    expect(tabs.first).to_be_visible()
    return [href.removeprefix("#") for href in tabs.evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")]


def go(page: Page, file: Path, view: str) -> None:
    """Open a view, and wait until it has been drawn."""
    page.goto(address(file, view))
    expect(page.locator("#tabs [aria-current=page]")).to_have_attribute("href", "#" + view.partition("?")[0])
    page.evaluate(SETTLED)


def find_faults(page: Page, width: int) -> list[str]:
    """Return what is wrong with what is shown now: barriers, something wider than the screen, no or wrong headings."""
    faults = find_barriers(page)
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    if wide > width:
        faults.append(f"{wide} pixels wide")
    if page.locator("main h2").count() < 1 or page.locator("h1").count() != 1:
        faults.append("no heading")
    return faults
