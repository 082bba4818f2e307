"""Marks: by keyboard, with undo; they survive a reload; the file that they become is applied to the project."""

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import NARROW, opened, reload
from tests.forked import run_python
from tests.page.drawn_contents import write_page
from tests.page.driving import focus_tile
from tests.page.project import NAMES, Made

WIDER_THAN_SCREEN = """[...document.querySelectorAll("#view *")]
    .map((one) => [one.tagName, one.getBoundingClientRect()])
    .filter(([, box]) => box.right > innerWidth).map(([name, box]) => [name, box.right])"""
GOOD = 3_000_002  # a photo with nothing unusual


@pytest.fixture
def page(browser: Browser, made: Made) -> Iterator[Page]:
    with opened(browser, made.page, "photos") as (page, seen):
        expect(page.get_by_role("listbox", name="Photos")).to_be_visible()
        yield page
    seen.assert_quiet(made.page)


def mark_of(page: Page, product: int) -> str:
    """Return what the photo's tile says of its mark."""
    label = page.locator(f".photo-grid [aria-label^='product {product},']").get_attribute("aria-label") or ""
    return label.partition(", marked: ")[2]


def press(page: Page, product: int, *keys: str) -> None:
    expect(focus_tile(page, product)).to_be_focused()
    for key in keys:
        page.keyboard.press(key)


def save(page: Page, folder: Path) -> Path:
    """Save the corrections as a person does, and return the file."""
    page.get_by_role("link", name="Marks").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save corrections").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_each_key_marks_the_photo_that_has_the_focus(page: Page, made: Made) -> None:
    press(page, made.flipped[0], "r")
    assert mark_of(page, made.flipped[0]) == f"relabel to {NAMES[0]}"
    press(page, GOOD, "y")
    assert mark_of(page, GOOD) == "right as it is"
    press(page, made.off_topic, "x")
    page.get_by_role("dialog").get_by_role("button", name="off topic").click()
    expect(page.locator("#marks-link")).to_have_text("3 marks")  # waits until the dialog has closed
    assert mark_of(page, made.off_topic) == "exclude, off topic"
    press(page, made.blurred, "c")
    page.get_by_role("combobox", name="Class").fill("เสื้อ")
    page.keyboard.press("Enter")
    expect(page.locator("#marks-link")).to_have_text("4 marks")
    assert mark_of(page, made.blurred) == f"relabel to {NAMES[2]}"
    press(page, GOOD, "e")

    assert mark_of(page, GOOD) == ""
    expect(page.locator("#marks-link")).to_have_text("3 marks")


def test_undo_and_redo_take_whole_steps(page: Page, made: Made) -> None:
    press(page, GOOD, "Space", "Shift+ArrowRight", "Shift+ArrowRight", "y")
    expect(page.locator("#marks-link")).to_have_text("3 marks")
    press(page, made.flipped[0], "Escape", "r")
    expect(page.locator("#marks-link")).to_have_text("4 marks")
    press(page, GOOD, "u")
    assert mark_of(page, made.flipped[0]) == ""
    page.keyboard.press("Control+z")
    expect(page.locator("#marks-link")).to_have_text("No marks")
    page.keyboard.press("Shift+U")
    expect(page.locator("#marks-link")).to_have_text("3 marks")
    page.keyboard.press("Control+y")

    assert mark_of(page, made.flipped[0]) == f"relabel to {NAMES[0]}"


def test_keys_do_nothing_while_somebody_types(page: Page) -> None:
    page.get_by_role("searchbox", name="Search").press_sequentially("xyrce")

    expect(page.locator("#marks-link")).to_have_text("No marks")
    expect(page.get_by_text("No photo fits.")).to_be_visible()


def test_marks_survive_a_reload_and_undo_does_not_reach_behind_it(page: Page, made: Made) -> None:
    press(page, GOOD, "y")
    press(page, made.flipped[0], "r")
    expect(page.locator("#marks-link")).to_have_text("2 marks")
    reload(page)
    expect(page.locator("#marks-link")).to_have_text("2 marks")
    assert mark_of(page, made.flipped[0]) == f"relabel to {NAMES[0]}"
    page.get_by_label("Marked", exact=True).select_option(label="right as it is")

    expect(page.locator(".photo-grid [role=option]")).to_have_count(1)
    expect(page.locator("#undo")).to_be_disabled()


def test_a_photo_that_a_person_excluded_cannot_be_marked_again(page: Page, made: Made) -> None:
    press(page, made.rejected["off_topic"], "y")

    expect(page.get_by_text("a person excluded it already")).to_be_visible()
    expect(page.locator("#marks-link")).to_have_text("No marks")


def test_on_a_phone_no_mark_is_wider_than_the_screen(page: Page, made: Made) -> None:
    press(page, GOOD, "y")
    press(page, made.flipped[0], "r")
    page.set_viewport_size({"width": NARROW, "height": 900})
    page.get_by_role("link", name="Marks").click()
    expect(page.locator(".marks-table tbody tr")).to_have_count(2)

    assert page.evaluate(WIDER_THAN_SCREEN) == []


def test_marks_are_listed_and_removed_and_carry_notes(page: Page, made: Made, tmp_path: Path) -> None:
    press(page, GOOD, "y")
    press(page, made.flipped[0], "r")
    page.get_by_role("link", name="Marks").click()
    page.get_by_role("button", name=f"Remove the mark of product {GOOD}").click()
    note = page.get_by_role("textbox", name=f"Note to product {made.flipped[0]}")
    note.fill('=HYPERLINK("http://x")')
    note.blur()
    page.get_by_label("By (optional)").fill("\uff20mm")
    page.get_by_label("By (optional)").blur()
    page.wait_for_function("() => JSON.stringify(localStorage).includes('\uff20mm')")
    (row,) = read_rows(save(page, tmp_path))

    assert (row["product_id"], row["note"], row["by"]) == (
        str(made.flipped[0]),
        '\'=HYPERLINK("http://x")',
        "'\uff20mm",
    )


def test_a_note_swallows_no_click_and_what_has_the_focus_keeps_it(browser: Browser, tmp_path: Path) -> None:
    path, _ = write_page(tmp_path, classes=6, photos=120)
    with opened(browser, path, "photos") as (page, seen):
        press(page, 3_000_000, "Control+a", "y")
        page.get_by_role("link", name="Marks").click()
        rows = page.locator(".marks-table tbody tr")
        expect(rows).to_have_count(100)
        note = rows.nth(2).get_by_role("textbox")
        note.fill("seen")
        rows.nth(0).get_by_role("button", name="Remove").click()
        expect(page.locator("#marks-link")).to_have_text("115 marks")
        expect(rows.nth(1).get_by_role("textbox")).to_have_value("seen")
        note.fill("seen twice")
        page.keyboard.press("Tab")
        expect(rows.nth(2).get_by_role("button", name="Remove")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#marks-link")).to_have_text("114 marks")
        expect(rows.nth(2).get_by_role("button", name="Remove")).to_be_focused()
        page.locator("#undo").click()
        page.locator("#undo").click()
        expect(note).to_have_value("")
        page.get_by_role("button", name="Next page").focus()
        page.keyboard.press("Enter")
        expect(rows).to_have_count(15)
        expect(page.get_by_role("button", name="Previous page")).to_be_focused()
        page.get_by_role("button", name="Remove all marks").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("No photo is marked.")).to_be_focused()
    seen.assert_quiet(path)


def test_no_cell_of_the_file_is_a_formula_and_no_name_of_a_seller_is_in_it(
    page: Page, made: Made, tmp_path: Path
) -> None:
    press(page, GOOD, "Control+a", "y")
    text = save(page, tmp_path).read_text(encoding="utf-8")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]

    assert len(cells) > 500
    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")] == []
    assert not any(name in text for name in NAMES)


def test_the_saved_file_adds_exactly_the_rows_of_the_marks(page: Page, made: Made, tmp_path: Path) -> None:
    press(page, made.flipped[0], "r")
    press(page, GOOD, "y")
    press(page, made.off_topic, "x")
    page.get_by_role("dialog").get_by_role("button", name="off topic").click()
    press(page, made.damaged[0], "x")
    page.get_by_role("dialog").get_by_role("button", name="bad mask").click()
    saved = save(page, tmp_path)
    project = tmp_path / "project"
    shutil.copytree(made.folder, project)
    before = read_corrections(project)

    assert apply(saved, project) == (
        "suspects: added 2 rows to corrections/labels.csv and 2 to corrections/exclusions.csv; "
        "0 rows have no action, 0 were there already"
    )
    labels, exclusions = read_corrections(project)
    assert sorted(set(labels) - set(before[0])) == [(str(GOOD), "0", "1201"), (str(made.flipped[0]), "0", "1201")]
    assert sorted(set(exclusions) - set(before[1])) == sorted(
        [(str(made.damaged[0]), "0", "bad_mask"), (str(made.off_topic), "0", "off_topic")]
    )
    assert apply(saved, project).endswith("0 rows have no action, 4 were there already")


def read_corrections(project: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return photo and decision of each row of both files."""
    labels, exclusions = (read_rows(project / f"corrections/{name}.csv") for name in ("labels", "exclusions"))
    return (
        [(row["product_id"], row["position"], row["catalog_id"]) for row in labels],
        [(row["product_id"], row["position"], row["reason"]) for row in exclusions],
    )


def apply(saved: Path, project: Path) -> str:
    """Run the command that the page shows, and return its first line."""
    done = run_python("tools.suspects", "--apply", saved, cwd=project)

    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


def test_a_saved_file_is_loaded_again(page: Page, made: Made, tmp_path: Path) -> None:
    press(page, made.flipped[0], "r")
    press(page, GOOD, "y")
    saved = save(page, tmp_path)
    page.get_by_role("button", name="Remove all marks").click()
    expect(page.locator("#marks-link")).to_have_text("No marks")
    page.get_by_label("Load a saved file").set_input_files(saved)

    expect(page.locator("#marks-link")).to_contain_text("2 marks")
    assert [row["action"] for row in read_rows(save(page, tmp_path))] == ["right", "relabel"]


def test_the_page_shows_the_command_that_applies_the_file(page: Page) -> None:
    page.get_by_role("link", name="Marks").click()
    command = page.locator(".command code").text_content() or ""

    assert command.startswith("python -m tools.suspects --apply ~/Downloads/corrections-")
