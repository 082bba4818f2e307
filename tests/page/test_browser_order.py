"""What a mark is for, and which card comes next. On the page of test_browser_review.py, and one of drawn photos."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import opened
from tests.page.drawn_contents import write_page as write_drawn
from tests.page.driving import tiles
from tests.page.test_browser_review import contents, heading, marks, press, write_page

EDGES = """() => [
    document.querySelector("#review-heading").getBoundingClientRect().top,
    document.querySelector("#tabs").getBoundingClientRect().bottom,
]"""


KEEP_TIMERS = "() => { window.timers = []; window.setTimeout = (call) => window.timers.push(call); }"
LEAVE = "() => { location.hash = '#masks'; window.timers.forEach((call) => call()); }"


def selected(page: Page) -> list[str | None]:
    """Return the names of the tiles that are selected on this page of the grid."""
    return [
        tile.get_attribute("aria-label") for tile in tiles(page).all() if tile.get_attribute("aria-selected") == "true"
    ]


@pytest.mark.parametrize("by", ["key", "button"])
def test_a_mark_of_a_selection_ends_it(by: str, browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "photos") as (page, seen):
        tiles(page).first.focus()
        press(page, " ", "ArrowRight", " ", "ArrowRight", " ")
        expect(page.locator(".selection-bar")).to_contain_text("3 selected")
        if by == "key":
            press(page, "y")
        else:
            page.get_by_role("button", name="Right as they are").click()
        expect(page.locator(".selection-bar")).not_to_contain_text("selected")
        assert selected(page) == []
        press(page, "ArrowRight", "y")

        assert list(marks(page)) == ["10/0", "11/0", "12/0", "13/0"]
    seen.assert_quiet(path)


def test_a_selection_is_in_sight_and_says_how_many_are_on_other_pages(browser: Browser, tmp_path: Path) -> None:
    path, _ = write_drawn(tmp_path, 4, 400)
    with opened(browser, path, "photos") as (page, seen):
        page.get_by_label("Tiles").select_option("144")
        tiles(page).nth(1).focus()
        press(page, " ", "PageDown")
        bar = page.locator(".selection-bar")
        expect(bar).to_contain_text("1 selected, 1 on other pages")
        page.mouse.wheel(0, 600)
        page.wait_for_function("() => scrollY > 300")
        expect(bar).to_be_in_viewport()
        bar.get_by_role("button", name="Clear selection").click()
        expect(bar).not_to_contain_text("selected")
    seen.assert_quiet(path)


def with_masks(*listed: int) -> dict[str, object]:
    """Return the data of a page whose mask suspects are photo 2 and these."""
    data = contents()
    for rank, photo in enumerate(listed, 2):
        for name, value in zip(data["suspects"], (1, photo, rank, 5 - rank, "unlike_class", -1), strict=True):
            data["suspects"][name].append(value)
    return data


def test_a_mark_about_the_class_leaves_the_mask_open_in_the_lists_order(browser: Browser, tmp_path: Path) -> None:
    """Of the masks of 12, 10 (relabelled in Labels), 14 (excluded there) and 13 (right there), 14 alone is decided."""
    path = write_page(tmp_path, with_masks(0, 4, 3))
    with opened(browser, path, "labels") as (page, seen):
        press(page, "r", "x")
        page.get_by_role("dialog").get_by_role("button", name="bad photo").click()
        press(page, "y")
        page.locator("#tabs [data-view=masks]").click()
        expect(page.locator(".review-progress")).to_contain_text("1 of 4 decided")
        expect(page.locator(".review-badge")).to_have_text(["open", "open", "✕", "open"])
        expect(page.locator(".review-caption").nth(1)).to_have_text("marked in Labels: → <b>shirt</b>")
        for title in ("1. 12", "2. 10", "4. 13"):
            expect(heading(page)).to_contain_text(title)
            press(page, "y")
        expect(page.locator(".review-finish")).to_contain_text("All 4 are decided.")
    seen.assert_quiet(path)


def test_a_class_that_was_chosen_in_photos_leaves_the_mask_open(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "photos?search=12") as (page, seen):
        tiles(page).first.focus()
        press(page, "y")
        page.locator("#tabs [data-view=masks]").click()
        expect(page.locator(".review-caption")).to_have_text("marked in Photos: right")
        expect(page.locator(".review-progress")).to_contain_text("0 of 1 decided")
        press(page, "c")
        page.get_by_role("combobox", name="Class").fill("帽")
        page.keyboard.press("Enter")
        expect(page.locator(".review-finish")).to_contain_text("All 1 are decided.")
    seen.assert_quiet(path)


def test_without_going_on_hidden_ones_lead_on_and_never_back(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels?hide=1") as (page, seen):
        page.get_by_label("Go on after a mark").uncheck()
        page.locator(".review-card").focus()
        press(page, "j", "y")
        expect(heading(page)).to_contain_text("3. 13")
        press(page, "y")
        expect(heading(page)).to_contain_text("The end")
    seen.assert_quiet(path)


def test_the_next_card_begins_at_its_title_wherever_one_has_scrolled(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels") as (page, seen):
        page.set_viewport_size({"width": 900, "height": 600})
        page.mouse.move(600, 300)
        page.mouse.wheel(0, 5000)
        page.wait_for_function("() => document.querySelector('#review-heading').getBoundingClientRect().bottom < 40")
        press(page, "j")
        expect(heading(page)).to_contain_text("2. 14")
        top, bar = page.evaluate(EDGES)

        assert 0 <= top - bar < 60
    seen.assert_quiet(path)


def test_a_queue_writes_no_address_over_that_of_the_view_that_is_opened_meanwhile(
    browser: Browser, tmp_path: Path
) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels") as (page, seen):
        page.evaluate(KEEP_TIMERS)
        press(page, "j")
        expect(heading(page)).to_contain_text("2. 14")
        page.evaluate(LEAVE)
        expect(page.locator("#tabs [aria-current=page]")).to_have_attribute("href", "#masks")
        assert page.url.partition("#")[2].startswith("masks")
    seen.assert_quiet(path)


def beside(page: Page, title: str) -> list[str | None]:
    """Return the titles of the examples under a heading of the card."""
    section = page.locator(".review-content section", has=page.get_by_role("heading", name=title))
    return [tile.get_attribute("title") for tile in section.get_by_role("button").all()]


def test_examples_are_in_no_doubt_and_follow_the_marks(browser: Browser, tmp_path: Path) -> None:
    """Of the dresses 10 to 13 and the shirts 14, 14 photo 1 and 15: 10, 13 and 14 are label suspects."""
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels") as (page, seen):
        assert beside(page, "It is dress") == ["11, dress", "12, dress"]
        assert beside(page, "Perhaps <b>shirt</b>") == ["14 photo 1, <b>shirt</b>", "15, <b>shirt</b>"]
        press(page, "r", "k")
        page.locator(".beside-tile[title^='12,']").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Exclude …").click()
        page.get_by_role("dialog").last.get_by_role("button", name="off topic").click()
        press(page, "Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator(".review-card")).to_be_focused()
        assert beside(page, "It is dress") == ["11, dress"]
        press(page, "j")
        assert beside(page, "It is <b>shirt</b>") == ["15, <b>shirt</b>", "10, dress"]
    seen.assert_quiet(path)


def test_a_tile_and_a_dialog_say_what_a_mark_makes_of_the_photo(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "photos") as (page, seen):
        tiles(page).first.focus()
        press(page, "r")
        caption = page.locator(".tile-caption").first
        expect(caption).to_have_text("dress → <b>shirt</b>")
        press(page, "Enter")
        expect(page.get_by_role("dialog").get_by_role("heading").first).to_contain_text("dress → <b>shirt</b>")
        press(page, "x")
        page.get_by_role("dialog").last.get_by_role("button", name="off topic").click()
        expect(page.get_by_role("dialog").get_by_role("heading").first).to_contain_text("excluded: off topic")
        press(page, "Escape")
        expect(caption).to_have_text("excluded: off topic")
        page.get_by_label("Under them").select_option("product")
        expect(caption).to_have_text("10 · excluded: off topic")
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        expect(caption).to_have_text("10")
    seen.assert_quiet(path)


def test_without_a_suggestion_r_asks_for_a_class_as_c_does(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "photos?search=12") as (page, seen):
        tiles(page).first.focus()
        press(page, "r")
        expect(page.get_by_role("dialog").get_by_role("combobox", name="Class")).to_be_focused()
    seen.assert_quiet(path)
