"""Ids of the source that are texts: they are shown as text, found by a part, and come back from the saved file."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from imageset.curation import corrections
from imageset.formats import source_ids, tables
from tests.browser import NARROW, WIDE, opened, reload
from tests.page import drawn_contents
from tests.page.driving import SETTLED, find_faults, go, tiles, views_of
from tools.suspects import apply
from tools.suspects.files import Corrections

UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
LONG = "/".join(["SKU-" + "x" * 59] * 4)[:255]
IDS = [
    "9",
    "10",
    UUID,
    "=1+1",
    "'=1+1",
    "+SUM(A1)",
    "-5",
    "@x",
    'a "b", c; d',
    "</script><b>1",
    "__proto__",
    "constructor",
    "007",
    "1.0",
    "קוד א",
    LONG,
]
CLASS_IDS = ["dresses", "Kleider / Röcke", "=1+1", "<b>", "constructor", "1200"]
PHOTOS = 40


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of photos whose first products have these ids, and of classes that the source calls by texts."""
    contents = drawn_contents.draw_contents(len(CLASS_IDS), PHOTOS)
    contents["photos"]["product_id"][: len(IDS)] = IDS
    contents["classes"] |= {"catalog_id": CLASS_IDS, "name": [*CLASS_IDS[:3], "markup", "made", "hats"]}
    contents["label_rows"] = {"__proto__": [["constructor", "2026-01-01"], ["toString", "2026-01-02"]]}
    contents["changes"] = {
        "photo": [0],
        "change": ["several_labels"],
        "told": [["Kleider / Röcke", "no such class"]],
        "class": [0],
    }
    return drawn_contents.write_contents(tmp_path_factory.mktemp("ids"), contents)


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Page]:
    with opened(browser, path, "photos") as (page, seen):
        expect(tiles(page)).to_have_count(PHOTOS)
        yield page
    seen.assert_quiet(path)


def focus(page: Page, index: int) -> None:
    """Focus a photo's tile, by its place: all photos are shown, in the page's order."""
    tiles(page).nth(index).focus()


def relabel(page: Page, index: int, name: str) -> None:
    focus(page, index)
    page.keyboard.press("c")
    page.get_by_role("combobox", name="Class").fill(name)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)


def save(page: Page, folder: Path) -> Path:
    page.get_by_role("link", name="Marks").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save corrections").click()
    download.value.save_as(folder / "saved.csv")
    return folder / "saved.csv"


def added_by(saved: Path) -> list[tuple[str, str]]:
    """Return what tools.suspects --apply makes of a file: the source's ids of product and class of each row."""
    for known in (*IDS, *CLASS_IDS):  # as the tables of data/ name them
        source_ids.number(known)
    classes = tables.frame(tables.CLASSES, [(its_id, "", None) for its_id in CLASS_IDS])
    products = set(map(source_ids.number, IDS))
    nobody = Corrections([], [], [], [], {})
    added = apply.plan(apply.read_edited(saved), nobody, classes, products, lambda row: 0, "2026-11-28")
    decided = corrections.check_labels(added.labels, classes)
    return [(source_ids.text(row.product_id), row.value_text) for row in decided]


def test_marks_go_out_and_come_back_under_the_ids_of_the_source(page: Page, tmp_path: Path) -> None:
    wanted = [(its_id, CLASS_IDS[(place + 1) % 3]) for place, its_id in enumerate(IDS)]
    for place, (_, to_class) in enumerate(wanted):
        relabel(page, place, to_class)
    expect(page.locator("#marks-link")).to_have_text(f"{len(IDS)} marks")
    saved = save(page, tmp_path)
    cells = [cell for row in csv.reader(io.StringIO(saved.read_text(encoding="utf-8"))) for cell in row]

    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")] == []
    assert added_by(saved) == wanted

    page.get_by_role("button", name="Remove all marks").click()
    expect(page.locator("#marks-link")).to_have_text("No marks")
    page.get_by_label("Load a saved file").set_input_files(saved)
    expect(page.locator("#marks-link")).to_contain_text(f"{len(IDS)} marks")
    reload(page)
    expect(page.locator("#marks-link")).to_contain_text(f"{len(IDS)} marks")

    assert added_by(save(page, tmp_path)) == wanted


def test_products_are_found_by_a_part_of_their_ids_in_capitals_or_not(page: Page) -> None:
    field = page.get_by_role("searchbox", name="Search")
    for text, found in (
        ("4f89-41d3", [UUID]),
        ("sku-xxx", [LONG]),
        (UUID.upper(), [UUID]),
        ("=1+1", ["=1+1", "'=1+1"]),
        ("קוד", ["קוד א"]),
        ("__proto", ["__proto__"]),
        ('"b", c;', ['a "b", c; d']),
    ):
        field.fill(text)
        of_class = [IDS[place] for place in range(2, len(IDS), len(CLASS_IDS))] if text == "=1+1" else []
        shown = sorted({*found, *of_class}, key=IDS.index)
        page.wait_for_function(
            "(ids) => { const all = [...document.querySelectorAll('.photo-grid [role=option]')]"
            ".map((one) => one.getAttribute('aria-label')); return ids.every((id) => "
            "all.some((label) => label.startsWith(`product ${id},`))) && all.length >= ids.length && all.length < 20 }",
            arg=shown,
        )


def test_every_view_shows_them_as_text_and_within_the_screen(browser: Browser, path: Path) -> None:
    for width in (WIDE, NARROW):
        with opened(browser, path, "photos", width=width) as (page, seen):
            relabel(page, IDS.index(LONG), "Kleider")
            relabel(page, IDS.index("</script><b>1"), "=1+1")
            for view in views_of(page):
                go(page, path, view)

                assert find_faults(page, width) == [], (width, view)
                assert page.locator("main b, main script").count() == 0, view
            for its_id in (LONG, "__proto__", "constructor"):
                go(page, path, f"photos?photos={IDS.index(its_id)}")
                focus(page, 0)
                page.keyboard.press("Enter")
                dialog = page.get_by_role("dialog")
                expect(dialog).to_contain_text(its_id)
                page.evaluate(SETTLED)

                assert find_faults(page, width) == [], (width, its_id)
                page.keyboard.press("Escape")
        seen.assert_quiet(path)


def test_a_photo_of_a_product_that_looks_like_a_property_has_its_own_rows_of_labels(page: Page, path: Path) -> None:
    go(page, path, f"photos?photos={IDS.index('__proto__')}")
    focus(page, 0)
    page.keyboard.press("Enter")
    dialog: Any = page.get_by_role("dialog")

    expect(dialog).to_contain_text("made 2026-01-01")
    expect(dialog).to_contain_text("class toString 2026-01-02")
