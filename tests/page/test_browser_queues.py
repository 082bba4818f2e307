"""What somebody who works through the queues of the page has to be told. On the page of test_browser_review.py."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser import opened
from tests.page.test_browser_review import contents, marks, press, write_page


def test_what_the_baseline_takes_for_another_class_can_be_looked_at_and_relabeled(
    browser: Browser, tmp_path: Path
) -> None:
    data = contents()
    data["photos"]["answer"] = [1, 0, 1, -1, -1, -1, -1, -1]
    data["photos"]["probability"] = [0.6, 0.9, 0.9, None, None, None, None, None]
    path = write_page(tmp_path, data)
    with opened(browser, path, "labels") as (page, seen):
        line = page.locator(".review-below")
        expect(line).to_contain_text("takes 2 test photos for another class, 1 of them not listed here")
        line.get_by_role("link").click()
        tiles = page.get_by_role("listbox", name="Photos").get_by_role("option")
        expect(tiles).to_have_count(2)
        tiles.first.click()
        expect(page.get_by_role("dialog").get_by_role("button", name="Relabel to <b>shirt</b>")).to_be_enabled()
        press(page, "r")

        assert marks(page) == {"12/0": ("relabel", "2")}
    seen.assert_quiet(path)
