"""What the page keeps in the browser: asked for after the first frame, and not needed."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import opened, reload
from tests.page.driving import focus_tile
from tests.page.project import Made

NOTES_USES = """
    window.uses = [];
    requestAnimationFrame(() => { window.hasDrawn = true; });
    for (const name of ["getItem", "setItem", "removeItem"]) {
        const original = Storage.prototype[name];
        Storage.prototype[name] = function (...values) {
            window.uses.push([name, values[0], window.hasDrawn === true]);
            return original.apply(this, values);
        };
    }
"""
ALLOWS_NONE = """
    Object.defineProperty(window, "localStorage", {get() { throw new DOMException("no", "SecurityError"); }});
"""
IS_FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"


@pytest.fixture
def page(browser: Browser, made: Made) -> Iterator[Page]:
    with opened(browser, made.page, "photos") as (page, seen):
        yield page
    seen.assert_quiet(made.page)


def test_nothing_is_asked_of_storage_before_the_first_frame(page: Page) -> None:
    page.add_init_script(NOTES_USES)
    reload(page)
    uses = page.evaluate("window.uses")

    assert {name for name, *_ in uses} == {"getItem", "setItem"}
    assert [use for use in uses if not use[2]] == []


def test_a_page_that_draws_no_frame_starts_all_the_same(page: Page) -> None:
    page.add_init_script("window.requestAnimationFrame = () => 0;")
    page.reload()

    expect(page.get_by_role("listbox", name="Photos")).to_be_visible()


@pytest.mark.parametrize("script", [ALLOWS_NONE, IS_FULL], ids=["none", "full"])
def test_without_storage_the_page_says_so_and_marks_last_until_it_is_closed(page: Page, script: str) -> None:
    page.add_init_script(script)
    reload(page)
    expect(page.get_by_text("This browser does not keep marks for this page.")).to_be_visible()
    focus_tile(page, 3_000_002)
    page.keyboard.press("y")

    expect(page.locator("#marks-link")).to_have_text("1 mark")
