"""The view of photos: filters, search, sort, paging, the dialog of a photo."""

from collections.abc import Iterator

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from imageset.formats import tables
from tests.browser import opened, reload
from tests.page.driving import Photo, focus_tile, read_data, shown, tiles, wait_for_photos
from tests.page.project import NAMES, SAME_NAME, Made


@pytest.fixture
def page(browser: Browser, made: Made) -> Iterator[Page]:
    """The view, which shows all photos."""
    with opened(browser, made.page, "photos") as (page, seen):
        expect(page.get_by_role("heading", name="Photos")).to_be_visible()
        yield page
    seen.assert_quiet(made.page)


def read(made: Made, name: str, table: tables.Table) -> pd.DataFrame:
    return tables.read(made.folder / f"data/{name}.csv", table)


def photos_of(rows: pd.DataFrame) -> list[Photo]:
    return sorted(zip(rows["product_id"].tolist(), rows["position"].tolist(), strict=True))


def all_photos(made: Made) -> list[Photo]:
    return photos_of(read(made, "listings", tables.LISTINGS))


def test_every_photo_of_every_listing_is_there_whether_it_came_or_not(page: Page, made: Made) -> None:
    assert shown(page) == all_photos(made)
    assert (made.rejected["not_found"], 0) in shown(page)


def test_a_kind_of_suspect_is_shown_alone_by_rank(page: Page, made: Made) -> None:
    suspects = read(made, "suspects", tables.SUSPECTS)
    for kind in ("label", "mask", "outlier", "photo"):
        wanted = suspects[suspects["kind"] == kind].sort_values("rank")
        page.get_by_label("Suspect", exact=True).select_option(kind)

        wait_for_photos(page, list(zip(wanted["product_id"].tolist(), wanted["position"].tolist(), strict=True)))


def test_the_photos_that_were_rejected_for_a_reason_are_shown_alone(page: Page, made: Made) -> None:
    for wanted in ("ingest: not found", "ingest: truncated", "catalog: off topic"):
        page.get_by_label("Rejected", exact=True).select_option(label=wanted)

        wait_for_photos(page, [(made.rejected[wanted.split(": ")[1].replace(" ", "_")], 0)])


def test_a_subset_a_group_and_pairs_are_shown_alone(page: Page, made: Made) -> None:
    split = read(made, "split", tables.SPLIT)
    catalog = read(made, "catalog", tables.CATALOG)
    page.get_by_label("Subset").select_option("test")
    wait_for_photos(page, photos_of(split[split["subset"] == "test"]))
    page.get_by_role("button", name="Clear filters").first.click()
    wait_for_photos(page, all_photos(made))
    page.get_by_label("Group").select_option("several")
    wait_for_photos(page, photos_of(catalog[catalog["group"].duplicated(keep=False)]))
    page.get_by_role("button", name="Clear filters").first.click()
    wait_for_photos(page, all_photos(made))
    page.get_by_label("Near-duplicate").select_option(label="yes")

    wait_for_photos(page, [(product, 0) for product in sorted(made.pair)])


def test_a_class_is_chosen_by_a_part_of_its_name(page: Page, made: Made) -> None:
    page.get_by_role("button", name="Class: any", exact=True).first.click()
    page.get_by_role("combobox", name="Class").fill("ワンピ")
    page.keyboard.press("Enter")
    catalog = read(made, "catalog", tables.CATALOG)

    wait_for_photos(page, photos_of(catalog[catalog["catalog_id"] == 1202]))


def test_filters_hold_together_and_the_address_keeps_them(page: Page, made: Made) -> None:
    page.get_by_label("Suspect", exact=True).select_option(label="of any kind")
    page.get_by_label("Subset").select_option("train")
    split, suspects = read(made, "split", tables.SPLIT), read(made, "suspects", tables.SUSPECTS)
    of_train = set(photos_of(split[split["subset"] == "train"]))
    wanted = sorted(of_train & set(photos_of(suspects[suspects["product_id"].notna()])))
    wait_for_photos(page, wanted)
    reload(page)
    wait_for_photos(page, wanted)
    page.go_back()

    expect(page.get_by_label("Subset")).to_have_value("")


def test_search_finds_products_and_names_of_any_script(page: Page) -> None:
    data = read_data(page)
    names = [data["classes"]["name"][label] if label >= 0 else "" for label in data["photos"]["class"]]
    photos = list(zip(data["photos"]["product_id"], data["photos"]["position"], names, strict=True))
    for text in ("3000012", "<script>", "連衣裙", "เสื้อ", "قبعة", "=CMD"):
        found = [photo for photo in photos if photo[0] == text or text.lower() in photo[2]]
        page.get_by_role("searchbox", name="Search").fill(text)

        assert found, text
        wait_for_photos(page, [(int(product), position) for product, position, _ in found])


def test_photos_are_sorted_by_a_fact_and_those_without_it_come_last(page: Page, made: Made) -> None:
    facts = read(made, "photos", tables.PHOTOS)
    facts["sharpness"] = facts["sharpness"].astype(float)
    page.get_by_label("Sort by").select_option("sharpness")
    ordered = facts.sort_values(["sharpness", "product_id", "position"], kind="stable")
    measured = list(zip(ordered["product_id"].tolist(), ordered["position"].tolist(), strict=True))
    without = [photo for photo in all_photos(made) if photo not in measured]
    wait_for_photos(page, measured + without)
    page.get_by_role("button", name="Ascending").click()
    expect(page.get_by_role("button", name="Descending")).to_be_visible()

    assert shown(page)[0] == measured[-1]
    assert shown(page)[-len(without) :] == without


def test_suspects_are_sorted_by_their_rank(page: Page, made: Made) -> None:
    masks = read(made, "suspects", tables.SUSPECTS).query("kind == 'mask'").sort_values("rank")
    page.get_by_label("Suspect", exact=True).select_option("mask")
    page.get_by_label("Sort by").select_option("rank_mask")

    wait_for_photos(page, [(product, 0) for product in masks["product_id"].tolist()])


def test_a_photo_says_all_that_is_known_of_it(page: Page, made: Made) -> None:
    listings = read(made, "listings", tables.LISTINGS).set_index("product_id")
    focus_tile(page, made.flipped[0])
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")

    expect(dialog.get_by_role("heading", name=f"Product {made.flipped[0]}")).to_be_visible()
    expect(dialog).to_contain_text(f"{made.flipped[0]}.jpeg")  # its key
    expect(dialog).to_contain_text(listings.loc[made.flipped[0], "image_url"])
    expect(dialog).to_contain_text(NAMES[1])  # its class
    expect(dialog).to_contain_text("2026-01-03")  # the date of its label row
    expect(dialog).to_contain_text("Suggested class: " + NAMES[0])
    for name in ("Photo", "Mask", "Result"):
        expect(dialog.get_by_role("img", name=f"{name} of product {made.flipped[0]}")).to_be_visible()
    assert dialog.locator("img").evaluate_all("(all) => all.every((each) => each.naturalWidth > 0)")
    section = dialog.locator("section", has=page.get_by_role("heading", name="Looks most like it"))
    assert section.get_by_role("button").count() >= 5


def test_the_dialog_shows_the_group_and_goes_to_its_members_and_to_its_neighbours_in_the_grid(
    page: Page, made: Made
) -> None:
    original, copy = made.pair
    focus_tile(page, original)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    group = dialog.locator("section", has=page.get_by_role("heading", name="Group"))
    group.get_by_role("button", name=f"product {copy},").click()
    expect(dialog.get_by_role("heading", name=f"Product {copy}")).to_be_visible()
    dialog.get_by_role("button", name="Back to").click()
    expect(dialog.get_by_role("heading", name=f"Product {original}")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading", name=f"Product {original + 1}")).to_be_visible()
    page.keyboard.press("Escape")

    expect(dialog).to_have_count(0)
    expect(page.locator(f".photo-grid [aria-label^='product {original + 1},']")).to_be_focused()


def test_a_photo_that_never_came_says_why(page: Page, made: Made) -> None:
    focus_tile(page, made.rejected["not_found"])
    page.keyboard.press("Enter")

    expect(page.get_by_role("dialog")).to_contain_text("Stage ingest left it out: the host does not have it (404)")


def test_names_are_text(page: Page, made: Made) -> None:
    """Of two classes with one name, each says its number."""
    page.get_by_label("Under them").select_option("class")
    captions = set(page.locator(".photo-grid .tile-caption").all_text_contents())

    assert captions >= {*NAMES[:4], f"{SAME_NAME} (1205)", f"{SAME_NAME} (1206)"}
    assert page.locator("main script").count() == 0


def test_the_grid_is_walked_by_keyboard(page: Page, made: Made) -> None:
    order = all_photos(made)

    def focused() -> Photo:
        label = page.evaluate("document.activeElement.getAttribute('aria-label')")
        return next(
            photo
            for photo in order
            if label.startswith(f"product {photo[0]}" + (f" photo {photo[1]}" if photo[1] else ","))
        )

    focus_tile(page, *order[0])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert focused() == order[2]
    page.keyboard.press("ArrowDown")
    assert focused()[0] > order[2][0]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert focused() == order[1]
    page.keyboard.press("End")
    assert focused() == order[-1]
    page.keyboard.press("Home")
    assert focused() == order[0]
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")

    assert tiles(page).locator("xpath=self::*[@aria-selected='true']").count() == 3
