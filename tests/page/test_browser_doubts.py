"""What stage audit doubts in every photo, listed or not, and words that a person needs. On the page of
test_browser_review.py.
"""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import NARROW, opened
from tests.page.driving import shown, tiles
from tests.page.test_browser_review import contents, heading, press, write_page


def captions(page: Page) -> list[str]:
    return page.locator(".tile-caption").all_text_contents()


def test_photos_are_sorted_by_doubt_and_say_it(browser: Browser, tmp_path: Path) -> None:
    """Photo 16 has neither a probability nor a mask, so it is the last one."""
    path = write_page(tmp_path, contents())
    with opened(browser, path, "photos") as (page, seen):
        page.get_by_label("Sort by").select_option(label="doubt about the class")
        page.wait_for_url("**sort=doubt_class")
        assert shown(page) == [(10, 0), (14, 0), (13, 0), (15, 0), (11, 0), (14, 1), (12, 0), (16, 0)]
        assert captions(page)[:2] == ["dress 1.0\u00a0%, or <b>shirt</b>?", "<b>shirt</b> 10.0\u00a0%, or dress?"]
        assert captions(page)[-2:] == ["dress 90.0\u00a0%", "帽子"]
        page.get_by_label("Sort by").select_option(label="doubt about the mask")
        page.wait_for_url("**sort=doubt_mask")
        assert shown(page)[:3] == [(12, 0), (13, 0), (11, 0)]
        assert captions(page)[:2] == ["dress 6.00", "dress 2.50"]
    seen.assert_quiet(path)


@pytest.mark.parametrize(
    ("view", "found"),
    [("labels", [(15, 0), (11, 0), (14, 1), (12, 0), (16, 0)]), ("masks", [(13, 0), (11, 0), (10, 0)])],
)
def test_a_list_goes_on_with_the_photos_that_it_does_not_have(
    view: str, found: list[tuple[int, int]], browser: Browser, tmp_path: Path
) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, view) as (page, seen):
        page.locator(".review-list li").last.get_by_role("link", name="Go on in Photos, most doubtful first").click()
        expect(page.get_by_label("Suspect", exact=True)).to_have_value(f"not_{view.removesuffix('s')}")
        expect(tiles(page).first).to_be_visible()
        assert shown(page)[: len(found)] == found
    seen.assert_quiet(path)


def test_clear_filters_keeps_the_order(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "photos?class=0&sort=brightness&order=down") as (page, seen):
        expect(tiles(page)).to_have_count(4)
        page.get_by_role("button", name="Clear filters").first.click()
        expect(tiles(page)).to_have_count(8)
        expect(page.get_by_label("Sort by")).to_have_value("brightness")
        expect(page.get_by_role("button", name="Descending")).to_be_visible()
        expect(page.get_by_role("button", name="Clear filters").first).to_be_disabled()
    seen.assert_quiet(path)


def test_the_summary_counts_suspects_that_are_marked_and_not_applied(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["verdict"]["lines"] = [
        {"name": "Fit to train on", "text": "Yes: all is well.", "link": ""},
        {"name": "Suspect", "text": "6 photos; people decided on 0.", "link": "photos?kind=any"},
    ]
    path = write_page(tmp_path, data)
    with opened(browser, path, "labels") as (page, seen):
        press(page, "y", "y")
        page.locator("#tabs [data-view=summary]").click()
        line = page.locator(".verdict-line").last
        expect(line).to_contain_text("people decided on 0. Here 2 more are marked, not applied yet. Decide on them in")
        page.keyboard.press("Control+z")
        expect(line).to_contain_text("Here 1 more is marked, not applied yet.")
    seen.assert_quiet(path)


def test_the_summary_names_the_views_that_have_suspects(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["suspects"] = {name: values[:1] for name, values in data["suspects"].items()} | {"kind": [3]}
    data["verdict"]["lines"] = [
        {"name": "Fit to train on", "text": "Yes: all is well.", "link": ""},
        {"name": "Suspect", "text": "1 photo.", "link": "photos?kind=any"},
    ]
    path = write_page(tmp_path, data)
    with opened(browser, path, "summary") as (page, seen):
        line = page.locator(".verdict-line").last
        expect(line).to_contain_text("1 photo. Decide on them in Oddities, or see all suspects.")
    seen.assert_quiet(path)


def test_each_reason_is_explained_where_it_is_chosen(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels") as (page, seen):
        press(page, "x")
        dialog = page.get_by_role("dialog")
        expect(dialog.locator(".reason").first).to_contain_text("off topic")
        expect(dialog.locator(".reason").first).to_contain_text("no photo of the product: a screenshot")
        press(page, "2")
        expect(heading(page)).to_contain_text("2. ")
    seen.assert_quiet(path)


def test_a_pair_says_which_one_to_exclude_and_what_happens_without_a_mark(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["photos"]["width"][7] = 100
    data["pairs"] = {"photo": [6], "other": [7], "likeness": [0.95]}
    path = write_page(tmp_path, data)
    with opened(browser, path, "pairs") as (page, seen):
        words = page.locator(".pair-words")
        expect(words).to_contain_text("Without a mark, both photos stay")
        expect(words).to_contain_text("exclude the one whose class is wrong, else the smaller one, 16.")
    seen.assert_quiet(path)


def test_no_word_of_a_mark_is_broken_on_a_narrow_screen(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels", NARROW) as (page, seen):
        press(page, "x")
        page.get_by_role("dialog").get_by_role("button", name="off topic").click()
        page.locator("#marks-link").click()
        mark = page.locator("table.rows .mark-text bdi")
        expect(mark).to_have_text("exclude, off topic")
        lines = mark.evaluate("(each) => each.getClientRects().length")

        assert lines <= 2
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
    seen.assert_quiet(path)
