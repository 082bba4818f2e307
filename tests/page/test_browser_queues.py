"""What somebody who works through the queues of the page has to be told. On the page of test_browser_review.py."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from imageset.audit.suspects import LISTED
from tests.browser import opened, reload
from tests.page.drawn_contents import draw_contents, write_contents
from tests.page.test_browser_review import contents, heading, marks, press, write_page


def test_what_the_baseline_takes_for_another_class_can_be_looked_at_and_relabeled(
    browser: Browser, tmp_path: Path
) -> None:
    data = contents()
    data["photos"]["answer"] = [1, 0, 1, -1, -1, -1, -1, -1]
    data["photos"]["probability"] = [0.6, 0.9, 0.9, None, None, None, None, None]
    path = write_page(tmp_path, data)
    with opened(browser, path, "labels") as (page, seen):
        line = page.locator(".review-above")
        expect(line).to_contain_text(
            "takes 2 test photos for another class, 1 of them not listed here: look at it in Photos."
        )
        line.get_by_role("link").click()
        tiles = page.get_by_role("listbox", name="Photos").get_by_role("option")
        expect(tiles.locator(".tile-caption")).to_have_text(["dress; baseline: <b>shirt</b>"])
        tiles.first.click()
        expect(page.get_by_role("dialog").get_by_role("button", name="Relabel to <b>shirt</b>")).to_be_enabled()
        press(page, "r")

        assert marks(page) == {"12/0": ("relabel", "2")}
    seen.assert_quiet(path)


def test_the_list_has_the_mark_instead_of_the_suggestion(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels") as (page, seen):
        captions = page.locator(".review-caption")
        expect(captions.first).to_have_text("dress → <b>shirt</b>")
        press(page, "y", "r")
        expect(captions).to_have_text(["right", "→ dress", "dress → 帽子"])
        press(page, "u")
        expect(captions).to_have_text(["right", "<b>shirt</b> → dress", "dress → 帽子"])
    seen.assert_quiet(path)


@pytest.mark.parametrize("hides", [False, True])
def test_the_end_of_a_queue_says_how_many_are_left_and_leads_to_them(
    hides: bool, browser: Browser, tmp_path: Path
) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels") as (page, seen):
        page.get_by_label("Hide decided").set_checked(hides)
        page.locator(".review-card").focus()
        press(page, "End", "y")
        finish = page.locator(".review-finish")
        expect(finish).to_contain_text("The end: 2 left undecided.")
        expect(heading(page)).to_contain_text("The end" if hides else "3. 13")
        finish.get_by_role("button", name="Go to the first of them").click()
        expect(heading(page)).to_contain_text("1. 10")
        expect(finish).to_be_empty()
        press(page, "y", "y")
        expect(finish).to_contain_text("All 3 are decided.")
    seen.assert_quiet(path)


def test_classes_without_photos_are_the_last_to_choose(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["classes"]["photos"] = {"train": [0, 3, 1], "test": [0, 0, 0]}
    data["suspects"] = {name: [] for name in data["suspects"]}
    data["components"]["photos"] = []
    data["photos"]["own_probability"] = [None] * 8
    path = write_page(tmp_path, data)
    with opened(browser, path, "pairs") as (page, seen):
        press(page, "c")
        options = page.get_by_role("dialog").get_by_role("option")
        expect(options.last).to_contain_text("dress")
        expect(options.last).to_contain_text("no photos")
    seen.assert_quiet(path)


def test_what_a_mark_did_is_said_until_the_view_changes_and_a_turned_page_is_not(
    browser: Browser, tmp_path: Path
) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "labels") as (page, seen):
        press(page, "y")
        said = page.locator("#announcement")
        expect(said).to_have_class("shown")
        at_top = said.evaluate("(each) => each.getBoundingClientRect().top")
        page.locator("#tabs [data-view=photos]").click()
        expect(said).not_to_have_class("shown")
        page.get_by_role("listbox", name="Photos").get_by_role("option").first.focus()
        press(page, "y")
        expect(said).to_have_class("shown")

        assert said.evaluate("(each) => each.getBoundingClientRect().top") == at_top
    seen.assert_quiet(path)


def test_a_photos_dialog_shows_pictures_as_large_as_a_card(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "masks") as (page, seen):
        press(page, "Enter")
        pictures = page.get_by_role("dialog").locator(".detail-pictures .picture")
        expect(pictures).to_have_count(3)

        assert all(picture.evaluate("(each) => each.offsetWidth >= 256") for picture in pictures.all())
    seen.assert_quiet(path)


def test_that_the_class_is_right_leaves_the_question_of_the_mask_open(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    for name, value in zip(data["suspects"], (0, 2, 4, 0.7, "another_class", 1), strict=True):
        data["suspects"][name].append(value)
    path = write_page(tmp_path, data)
    with opened(browser, path, "labels?rank=4") as (page, seen):
        expect(page.locator(".review-content")).to_contain_text("Also listed in Masks: the mask is much smaller")
        press(page, "y")
        page.locator("#tabs [data-view=masks]").click()
        expect(page.locator(".review-progress")).to_contain_text("0 of 1 decided")
        expect(page.locator(".review-caption")).to_have_text("marked in Labels: right")
        expect(page.locator(".review-note")).to_contain_text(
            "Marked in Labels: right as it is. That is about its class, so this card is still open"
        )
        press(page, "y")
        expect(page.locator(".review-finish")).to_contain_text("All 1 are decided.")
        page.locator("#tabs [data-view=labels]").click()
        expect(page.locator(".review-progress")).to_contain_text("1 of 4 decided")
        expect(page.locator(".review-caption").last).to_have_text("marked in Masks: right")
    seen.assert_quiet(path)


def test_a_pair_says_whose_row_is_older_and_its_marks_say_that_it_was_one(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["label_rows"] |= {"16": [[3, "2025-12-31"], [None, "2026-01-03"]], "10": [[1, "9"]], "11": [[1, "10"]]}
    path = write_page(tmp_path, data)
    with opened(browser, path, "pairs") as (page, seen):
        expect(page.locator(".pair-words")).to_contain_text("The label row of 16 is older.")
        press(page, "End")
        expect(page.locator(".pair-words")).to_contain_text("The label row of 10 is older.")
        press(page, "Home")
        press(page, "x")
        page.locator("#marks-link").click()
        expect(page.locator("table.rows tbody td", has_text="pair")).to_have_text("pair")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save corrections").click()
        reload(page)
        expect(page.locator("table.rows tbody td", has_text="pair")).to_have_text("pair")

        row = Path(download.value.path()).read_text(encoding="utf-8").splitlines()[1]
        assert ",exclude,,copy," in row
        assert row.endswith(",pair,")
    seen.assert_quiet(path)


COLOURS_ON_THE_MAP = """([wanted, unwanted]) => {
    const canvas = document.querySelector(".map-canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let place = 0; place < data.length; place += 4) {
        seen.add(data.slice(place, place + 3).join());
    }
    return seen.has(wanted) && !seen.has(unwanted);
}"""
FIRST, SECOND = "31,119,180", "196,86,10"  # --map-0 and --map-1


def test_no_photo_hides_one_of_another_class_in_their_middle_on_the_map(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["photos"]["x"] = data["photos"]["y"] = [0, None, None, None, 0, 0, 0, 1]
    path = write_page(tmp_path, data)
    with opened(browser, path, "map", 1280, "light") as (page, seen):
        page.get_by_label("Pictures when zoomed in").uncheck()
        page.wait_for_function(COLOURS_ON_THE_MAP, arg=[FIRST, SECOND])  # a dress among three shirts
        page.locator(".map-controls select").last.select_option(label="<b>shirt</b>")
        page.wait_for_function(COLOURS_ON_THE_MAP, arg=[SECOND, FIRST])  # now the second colour is that of dresses
    seen.assert_quiet(path)


def test_the_tip_of_a_point_follows_the_pointer_and_is_filled_once(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["photos"]["x"] = data["photos"]["y"] = [0.5, None, None, None, None, None, 0, 1]
    path = write_page(tmp_path, data)
    with opened(browser, path, "map", 1280, "light") as (page, seen):
        canvas, tip = page.locator(".map-canvas"), page.locator(".map-tip")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box
        x, y = box["x"] + box["width"] // 2, box["y"] + box["height"] // 2  # of photo 0
        page.mouse.move(x, y)
        expect(tip).to_contain_text("dress10")
        filled = tip.locator("div").first.element_handle()
        left = tip.evaluate("(tip) => tip.offsetLeft")
        page.mouse.move(x + 2, y)

        assert tip.evaluate("(tip) => tip.offsetLeft") == left + 2
        assert filled.evaluate("(part) => part.isConnected")
    seen.assert_quiet(path)


def test_points_of_the_chosen_class_are_above_those_of_its_neighbours(browser: Browser, tmp_path: Path) -> None:
    """Photos of two classes are in the same pixels, a line of one behind that of the other."""
    data = draw_contents(classes=3, photos=90)
    starts = {0: 0, 1: 30, 2: 1e8}
    places = [(starts[own] + index // 3) * 1e-6 for index, own in enumerate(data["photos"]["class"])]
    data["photos"]["x"] = data["photos"]["y"] = places
    path = write_contents(tmp_path, data)
    with opened(browser, path, "map", 1280, "light") as (page, seen):
        page.get_by_label("Pictures when zoomed in").uncheck()
        for chosen in (0, 1):
            page.locator(".map-controls select").last.select_option(str(chosen))
            page.wait_for_function(COLOURS_ON_THE_MAP, arg=[FIRST, SECOND])
    seen.assert_quiet(path)


def test_photos_keep_their_order_when_one_comes_back_by_the_tab(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, contents())
    with opened(browser, path, "photos?sort=brightness&order=down") as (page, seen):
        first = page.get_by_role("listbox", name="Photos").get_by_role("option").first
        expect(first).to_have_attribute("aria-label", re.compile("product 13"))
        page.locator("#tabs [data-view=labels]").click()
        expect(heading(page)).to_be_visible()
        page.locator("#tabs [data-view=photos]").click()
        expect(page.get_by_label("Sort by")).to_have_value("brightness")
        expect(first).to_have_attribute("aria-label", re.compile("product 13"))
        page.wait_for_url("**#photos?sort=brightness&order=down")
    seen.assert_quiet(path)


def test_a_mask_unlike_those_of_its_class_says_its_score(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["suspects"]["why"][3] = "unlike_class"
    for name, value in zip(data["suspects"], (1, 3, 2, 3.5, "unsure", -1), strict=True):
        data["suspects"][name].append(value)
    path = write_page(tmp_path, data)
    with opened(browser, path, "masks") as (page, seen):
        expect(page.locator(".usual-unusual p")).to_have_text(
            "Unlike the masks of its class: score 6.00, more than 1 of the 1 other. "
            f"Masks are listed from {LISTED:.0f} on."
        )
        expect(page.locator(".usual-unusual .usual-dot")).to_have_attribute("style", "left: 100%;")
        press(page, "j")
        expect(page.locator(".usual-unusual")).to_contain_text("Doubt of the network")
        expect(page.locator(".usual-line").last).to_contain_text("All in all: score 3.50. Masks are listed")
    seen.assert_quiet(path)


def test_what_is_usual_is_shown_by_no_photo_with_a_doubtful_label(browser: Browser, tmp_path: Path) -> None:
    """Photos 0, 2 and 3 of the dresses are label suspects. A person decides on 3."""
    data = contents()
    data["suspects"]["kind"][3] = 0  # photo 2 is a suspect of kind label
    data["photos"]["tile"] = list(range(8))
    path = write_page(tmp_path, data)
    with opened(browser, path, "oddities?kind=photo") as (page, seen):
        expect(page.locator(".review-content")).to_contain_text("Brightness 10")
        expect(page.locator(".review-content")).not_to_contain_text("Usual in")
    data["photos"]["decided"][3] = 1
    path = write_page(tmp_path, data)
    with opened(browser, path, "oddities?kind=photo") as (page, seen):
        usual = page.locator("figure", has_text="Usual in dress. Its own label may be wrong, too.")
        expect(usual.get_by_role("img")).to_have_attribute("aria-label", "Photo of product 13")
    seen.assert_quiet(path)


LOADED = """product_id,position,action,catalog_id,note,by

12,0,right,,,mm
;;
13,0,relabel,2,"a note
of two lines",@jd
99,0,right,,,mm
14,0,burn,,,mm
"""


def test_a_loaded_file_keeps_who_decided_and_names_the_lines_that_it_refuses(browser: Browser, tmp_path: Path) -> None:
    path, saved = write_page(tmp_path, contents()), tmp_path / "saved.csv"
    saved.write_text(LOADED.replace(";;", ",,,,,"), encoding="utf-8")
    with opened(browser, path, "marks") as (page, seen):
        page.get_by_label("By (optional)").fill("zz9")
        page.wait_for_function("() => JSON.stringify(localStorage).includes('zz9')")
        page.get_by_label("Load a saved file").set_input_files(saved)
        said = "2 photos marked from saved.csv. 2 not: line 7: the page does not have this photo."
        expect(page.locator("#announcement")).to_have_text(said)
        expect(page.locator("table.rows tbody .mark-text").first).to_have_text("right as it is by mm")
        page.locator("#tabs [data-view=labels]").click()
        expect(heading(page)).to_be_visible()
        press(page, "Home", "y")
        page.locator("#marks-link").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Save corrections").click()
        rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))

        assert [(row["product_id"], row["note"], row["by"]) for row in rows] == [
            ("10", "", "zz9"),
            ("12", "", "mm"),
            ("13", "a note of two lines", "'@jd"),
        ]
    seen.assert_quiet(path)


def test_where_a_person_decided_on_the_class_no_other_one_can_be_chosen(browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["photos"]["decided"][2] = 1
    why = "a person gave it its class already"
    path = write_page(tmp_path, data)
    with opened(browser, path, "masks") as (page, seen):
        choose = page.get_by_role("button", name="Choose a class …")
        expect(choose).to_have_attribute("aria-disabled", "true")
        expect(choose).to_have_attribute("title", re.compile(why))
        press(page, "c")
        expect(page.locator("#announcement")).to_contain_text(f"12 is not marked: {why}")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_role("button", name="Right as it is")).to_have_attribute("aria-disabled", "false")
        press(page, "Enter")
        another = page.get_by_role("dialog").get_by_role("button", name="Another class …")
        expect(another).to_be_disabled()
        expect(another).to_have_attribute("title", re.compile(why))
    seen.assert_quiet(path)
