"""What tiles show: the photo, its mask, or the picture in the dataset. On the page of test_browser_review.py."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser import find_barriers, opened
from tests.page.test_browser_review import contents, heading, write_page


def write_tiles_page(folder: Path) -> Path:
    """Write a page where photo 2 has a mask, photo 7 has no picture, and the others have small pictures alone."""
    data = contents()
    data["photos"]["tile"] = [0, 1, 2, 3, 4, 5, 6, -1]
    return write_page(folder, data)


def test_tiles_show_masks_and_say_where_there_is_none(browser: Browser, tmp_path: Path) -> None:
    path = write_tiles_page(tmp_path)
    with opened(browser, path, "photos") as (page, seen):
        tiles = page.get_by_role("listbox", name="Photos").get_by_role("option")
        expect(tiles.nth(2)).to_have_attribute("aria-label", "product 12, dress, train, suspect mask 1, dress")
        page.get_by_label("Pictures").select_option(label="mask")
        names = tiles.evaluate_all("(all) => all.map((each) => each.getAttribute('aria-label'))")

        assert names[2] == "product 12, dress, train, suspect mask 1, dress"
        assert names[0].endswith(", mask not in this page")
        assert names[7].endswith(", no mask")
        assert "data:image/webp" in tiles.nth(2).locator(".tile").evaluate("(each) => each.style.backgroundImage")
        expect(tiles.locator(".tile-lacking")).to_have_count(7)
        expect(page.locator(".result")).to_have_text("8 photos. The page has no mask of dimmed photos.")
        assert find_barriers(page) == []
        page.get_by_label("Pictures").select_option(label="in the dataset")
        expect(tiles.first).to_have_attribute("aria-label", "product 10, dress, train, suspect label 1, dress, "
                                              "picture in the dataset not in this page")  # fmt: skip
        page.get_by_label("Pictures").select_option(label="photo")
        expect(tiles.locator(".tile-lacking")).to_have_count(0)
        expect(page.locator(".result")).to_have_text("8 photos")
    seen.assert_quiet(path)


def test_the_list_of_masks_shows_results_and_has_a_choice_of_its_own(browser: Browser, tmp_path: Path) -> None:
    path = write_tiles_page(tmp_path)
    with opened(browser, path, "masks") as (page, seen):
        expect(heading(page)).to_be_visible()
        expect(page.get_by_label("Pictures")).to_have_value("result")
        expect(page.locator(".review-entry .tile-whole.result")).to_have_count(1)
        page.get_by_label("Pictures").select_option(label="mask")
        expect(page.locator(".review-entry .tile-whole.mask")).to_have_count(1)
        expect(page.locator(".review-entry[aria-current=true]")).to_have_count(1)
        page.get_by_role("link", name="All in a grid").click()
        expect(page.get_by_label("Pictures")).to_have_value("original")
        page.get_by_label("Pictures").select_option(label="what the mask leaves out")
        expect(page.locator(".tile-option .tile-whole.tinted")).to_have_count(1)
        page.locator("#tabs [data-view=masks]").click()
        expect(page.get_by_label("Pictures")).to_have_value("mask")
    seen.assert_quiet(path)


def test_a_tinted_tile_is_the_photo_in_the_mask_and_pink_outside(browser: Browser, tmp_path: Path) -> None:
    """The photo is gray, 120 of 255. The mask keeps its left half."""
    path = write_tiles_page(tmp_path)
    with opened(browser, path, "photos") as (page, seen):
        page.get_by_label("Pictures").select_option(label="what the mask leaves out")
        tile = page.locator(".tile-whole.tinted")
        expect(tile).to_be_visible()
        with Image.open(io.BytesIO(tile.screenshot())) as shot:
            colours = np.asarray(shot.convert("RGB"), np.int64)
        height, width, _ = colours.shape
        kept, left_out = (colours[height // 2, width * part // 4] for part in (1, 3))

        assert np.abs(kept - 120).max() <= 3
        assert left_out[0] - left_out[1] > 40
    seen.assert_quiet(path)
