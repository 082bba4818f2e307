"""Pages of what nobody should write: markup in every text, huge numbers, no photos, edited storage, odd files."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import WIDE, opened, reload
from tests.page import drawn_contents
from tests.page.driving import SETTLED, find_faults, focus_tile, go, read_data, views_of

MARKUP = "</script><img src=x onerror=alert(1)><b>\u202e'\"&"
CLASSES, PHOTOS = 6, 40
HUGE_ID, HUGE_CLASS = "9223372036854775807", "9007199254740993"
STORAGE = "imageset-marks-0123456789ab" + "c" * 52


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on which nothing is hostile."""
    return drawn_contents.write_page(tmp_path_factory.mktemp("plain"), CLASSES, PHOTOS)[0]


@contextmanager
def opened_quietly(browser: Browser, path: Path, view: str = "") -> Iterator[Page]:
    """Open a page. Neither an error, nor a request, nor a box that a script opens may come of it."""
    boxes: list[str] = []
    with opened(browser, path, view) as (page, seen):
        page.on("dialog", lambda box: boxes.append(box.message))
        yield page

        assert boxes == []
        seen.assert_quiet(path)


def with_markup(value: Any, kept: frozenset[str]) -> Any:
    """Return data with markup after each text, but for the values of some names."""
    if isinstance(value, dict):
        return {name: each if name in kept else with_markup(each, kept) for name, each in value.items()}
    if isinstance(value, list):
        return [with_markup(each, kept) for each in value]
    return value + MARKUP if isinstance(value, str) else value


# These come from closed lists of the code, or are numbers that Python has checked.
CLOSED = frozenset(
    {"digest", "fit", "product_id", "subsets", "kinds", "default_reasons", "recommended_reasons", "told"}
)


def write_hostile(folder: Path) -> Path:
    contents = drawn_contents.draw_contents(CLASSES, PHOTOS)
    contents["photos"] |= {"url": ["javascript:alert(1)//"] * PHOTOS, "key": ["photos/1/0"] * PHOTOS}
    contents["suspects"] = {
        "kind": [0, 1, 2, 3],
        "photo": [0] * 4,
        "rank": [1] * 4,
        "score": [0.9] * 4,
        "why": ["another_class", "unsure", "uniform", "dark"],
        "suggestion": [1, -1, -1, -1],
    }
    contents["label_rows"] = {"3000000": [[1201, "2026-01-01"], [77, "2026-01-02"]]}
    contents["pairs"] = {"photo": [0], "other": [1], "likeness": [0.9]}
    contents["changes"] = {"photo": [0], "change": ["several_labels"], "told": [["1201", "77"]], "class": [0]}
    return drawn_contents.write_contents(folder, with_markup(contents, CLOSED))


def test_no_text_becomes_markup_a_script_or_a_link(browser: Browser, tmp_path: Path) -> None:
    path = write_hostile(tmp_path)
    with opened_quietly(browser, path) as page:
        assert MARKUP in read_data(page)["photos"]["url"][0]
        for view in views_of(page):
            go(page, path, view)

            assert page.locator("main img[src=x], main b, main a[href^='javascript']").count() == 0, view
        go(page, path, "photos?photos=0")
        focus_tile(page, 3_000_000)
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("javascript:alert(1)//" + MARKUP)
        expect(dialog.locator(".badge.warn")).to_have_count(4)

        assert dialog.locator("img[src=x], b, a").count() == 0


@pytest.mark.parametrize(
    ("stored", "left"),
    [
        ("null", 0),
        ("[1, 2]", 0),
        ("{", 0),
        ('"text"', 0),
        ('{"marks": null, "by": 5, "note": {}}', 0),
        (
            '{"marks": {"3000005/0": null, "3000006/0": "x", "a\\n/0": {"action": "right"}, "3": {"action": "right"}}}',
            0,
        ),
        ('{"marks": {"3000005/0": {"action": "explode"}, "3000006/0": {"action": "exclude"}}}', 0),
        ('{"marks": {"3000005/0": {"action": "relabel", "catalog_id": "a\\tb"}}}', 0),
        ('{"marks": {"=1+1/0": {"action": "relabel", "catalog_id": "=1+1"}}}', 1),
        ('{"marks": {"3000005/0": {"action": "exclude", "reason": "=cmd"}, "3000007/0": {"action": "right"}}}', 1),
        ('{"marks": {"3000005/0": {"action": "right", "date": "=1+1", "class": "=2", "more": "=3"}}}', 1),
        ('{"marks": {"99/0": {"action": "relabel", "catalog_id": 4711}}}', 1),
    ],
)
def test_storage_that_somebody_edited_costs_no_more_than_the_marks_that_are_none(
    stored: str, left: int, browser: Browser, plain: Path
) -> None:
    with opened_quietly(browser, plain) as page:
        page.evaluate("([key, text]) => localStorage.setItem(key, text)", [STORAGE, stored])
        reload(page)
        expect(page.locator("#marks-link")).to_have_text({0: "No marks", 1: "1 mark"}[left])
        go(page, plain, "marks")
        expect(page.locator(".marks-table tbody tr")).to_have_count(left)
        if left:
            (row,) = saved_rows(page)

            assert [cell for cell in row.values() if cell.startswith("=")] == []
            assert set(row) == set(ROW)


ROW = ("product_id", "position", "action", "catalog_id", "reason", "note", "by", "date", "class", "kind", "rank")


def saved_rows(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save corrections").click()
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))


def test_huge_ids_reach_the_file_as_they_are(browser: Browser, tmp_path: Path) -> None:
    contents = drawn_contents.draw_contents(CLASSES, PHOTOS)
    contents["photos"]["product_id"][:2] = [HUGE_ID, "-5"]
    contents["photos"]["position"] = [32767, *[0] * (PHOTOS - 1)]
    contents["classes"]["catalog_id"][1] = HUGE_CLASS
    contents["changes"] = {"photo": [0], "change": ["several_labels"], "told": [["1200", HUGE_CLASS]], "class": [0]}
    path = drawn_contents.write_contents(tmp_path, contents)
    with opened_quietly(browser, path, "changes") as page:
        expect(page.locator(".review-card")).to_contain_text(f"{drawn_contents.NAMES[0]} and ワンピース")
        page.keyboard.press("c")
        page.get_by_role("combobox", name="Class").fill("ワンピース")
        page.keyboard.press("Enter")
        go(page, path, "photos?photos=1")
        page.locator(".photo-grid [role=option]").focus()
        page.keyboard.press("y")
        go(page, path, "marks")
        rows = saved_rows(page)

    assert [(row["product_id"], row["position"], row["catalog_id"], row["class"]) for row in rows] == [
        (HUGE_ID, "32767", HUGE_CLASS, "1200"),
        ("'-5", "0", "", HUGE_CLASS),
    ]


def test_a_page_without_photos_opens_every_view(browser: Browser, tmp_path: Path) -> None:
    contents = drawn_contents.draw_contents(CLASSES, PHOTOS)
    contents["photos"] = {name: [] for name in contents["photos"]}
    contents["classes"]["photos"] = {subset: [0] * CLASSES for subset in drawn_contents.SUBSETS}
    contents["suspects"] = {name: [] for name in contents["suspects"]}
    contents |= {"flow": [], "checks": [], "class_suspects": [], "params": [], "baseline": {"accuracy": None}}
    path = drawn_contents.write_contents(tmp_path, contents)
    with opened_quietly(browser, path) as page:
        for view in views_of(page):
            go(page, path, view)

            assert find_faults(page, WIDE) == [], view


def test_a_label_suspect_without_a_class_is_in_no_row_of_the_classes(browser: Browser, tmp_path: Path) -> None:
    contents = drawn_contents.draw_contents(CLASSES, PHOTOS)
    contents["photos"]["class"][0] = -1
    path = drawn_contents.write_contents(tmp_path, contents)
    with opened_quietly(browser, path, "classes") as page:
        expect(page.get_by_role("link", name="label suspects of")).to_have_count(1)
        go(page, path, "labels")
        expect(page.locator("#review-heading")).to_contain_text("3000000: no class, or")


LOADED = [
    ("\x89PNG\r\n\x1a\n" + "\0" * 50, "0 photos marked", ""),
    ("", "0 photos marked", ""),
    ("product_id,position,action\r3000001,0,right\r3000002,0,right\r", "2 photos marked", "right right"),
    ('product_id;position;action;reason\n3000001;0;exclude;"bad ""one"\n3000002;0;right;', "1 photo marked", "right"),
    ('product_id,position,action\n3000001,0,"right\n3000002,0,right\n', "1 photo marked", "right"),
    ("product_id,position,action,catalog_id\n3000001,0,relabel,4711\n", "line 2: the page does not have", ""),
    ("product_id,position,action\n3000001,0,exclude\n", "1 not: line 2: Write one word", ""),
    (
        "product_id,position,action,class\n3000001,0,right,1200\n3000002,0,right,1202.0\n3000003,0,right,\n",
        "2 photos marked from loaded.csv. 1 not: line 2: the photo has class 1201 by now, not 1200: look at it again.",
        "right right",
    ),
    ("product_id,position,action\n3000001,,right\n", "line 2: action right needs the position of one photo", ""),
    (
        "product_id,position,action,catalog_id,reason\n3000001,0,exclude,,bad_photo\n3000001,,relabel,1205,\n",
        "1 photo marked",
        "exclude",
    ),
    (
        "product_id,position,action,catalog_id,reason\n3000001,0,right\n3000001,0.0,exclude,,bad_photo\n"
        "3000001,0,relabel,1201,\n3000002,,relabel,1203,\n3000002,,relabel,1204,\n",
        "2 photos marked from loaded.csv. 2 not: line 3: it contradicts line 2.",
        "right relabel",
    ),
]


def test_a_file_that_is_loaded_marks_what_it_can_and_says_what_not(
    browser: Browser, plain: Path, tmp_path: Path
) -> None:
    """As tools.suspects --apply takes its rows: a row of a photo wins over one of its product."""
    file = tmp_path / "loaded.csv"
    with opened_quietly(browser, plain, "marks") as page:
        for text, said, actions in LOADED:
            file.write_text(text, encoding="utf-8", newline="")
            page.get_by_label("Load a saved file").set_input_files(file)
            expect(page.locator("#announcement")).to_contain_text(said)
            expect(page.locator("#tabs [href='#marks'] .count")).to_have_text(str(len(actions.split())))
            if actions:
                assert " ".join(row["action"] for row in saved_rows(page)) == actions, text
                page.get_by_role("button", name="Remove all marks").click()
            page.evaluate("document.getElementById('announcement').textContent = ''")


def test_only_a_row_of_the_photo_itself_refuses_another_class(browser: Browser, tmp_path: Path) -> None:
    """A row for the whole product can be joined by one for a photo, as tools.suspects --apply has it."""
    contents = drawn_contents.draw_contents(CLASSES, PHOTOS)
    contents["photos"]["decided"] = [3, 1, *[0] * (PHOTOS - 2)]
    path = drawn_contents.write_contents(tmp_path, contents)
    with opened_quietly(browser, path, "photos?decided=1") as page:
        for product, said in ((3_000_001, "a person gave it its class already"), (3_000_000, "relabel to")):
            focus_tile(page, product)
            page.keyboard.press("r")
            expect(page.locator("#announcement")).to_contain_text(said)
        expect(page.locator("#marks-link")).to_have_text("1 mark")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("confirmed the class of the whole product")


def test_high_contrast_shows_what_is_chosen(browser: Browser, tmp_path: Path) -> None:
    path, _ = drawn_contents.write_page(tmp_path, CLASSES, PHOTOS)
    with opened_quietly(browser, path, "photos") as page:
        page.emulate_media(forced_colors="active")
        focus_tile(page, 3_000_001)
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
        page.evaluate(SETTLED)
        outlines = page.locator(".photo-grid [role=option]").evaluate_all(
            "(all) => all.slice(1, 4).map((one) => getComputedStyle(one).outlineStyle)"
        )
        go(page, path, "summary")
        bar = page.locator(".segment").first.evaluate("(one) => getComputedStyle(one).backgroundColor")
        ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")

    assert outlines[0] == "solid"
    assert outlines[2] == "none"
    assert bar not in (ground, "rgba(0, 0, 0, 0)")
