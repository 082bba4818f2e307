"""The page of a dataset of one class, without masks, embeddings and rejects."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser import WIDE, opened
from tests.page.driving import find_faults, go, views_of


def test_a_page_of_one_class_works(browser: Browser, plain_page: Path) -> None:
    with opened(browser, plain_page) as (page, seen):
        for view in views_of(page):
            go(page, plain_page, view)

            assert find_faults(page, WIDE) == [], view
        go(page, plain_page, "photos")
        expect(page.locator(".photo-grid [role=option]")).to_have_count(8)
        page.locator(".photo-grid [role=option]").first.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_role("img", name="Photo of")).to_be_visible()
        page.keyboard.press("y")
        expect(page.locator("#marks-link")).to_have_text("1 mark")
    seen.assert_quiet(plain_page)
