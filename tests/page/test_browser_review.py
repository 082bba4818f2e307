"""The queues of the page: what is first, what a key does, where it leads. On a page of eight photos, made by hand."""

import base64
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from imageset.page import assemble
from tests.browser import find_barriers, opened, reload
from tests.page.driving import go
from tests.samples import sample

TEMPLATES = Path(__file__).parents[2] / "stages/templates/page"
CLASSES = ("dress", "<b>shirt</b>", "帽子")
# Photos 0 to 3 are dresses, 4 to 6 shirts, 7 is a hat. 6 and 7 are a pair, and 4 and 5 are of one product.
PRODUCTS = ("10", "11", "12", "13", "14", "14", "15", "16")
CLASS_OF = (0, 0, 0, 0, 1, 1, 1, 2)
SHARES = (0.4, 0.5, 0.05, 0.6, 0.4, 0.4, 0.4, 0.4)
SUSPECTS = (  # kind, photo, rank, score, why, suggestion
    (0, 0, 1, 0.99, "another_class", 1),
    (0, 4, 2, 0.9, "another_class", 0),
    (0, 3, 3, 0.8, "another_class", 2),
    (1, 2, 1, 6.0, "small_foreground", -1),
    (2, 7, 1, 0.4, "far_from_all", -1),
    (3, 1, 1, 3.5, "dark", -1),
)


def contents() -> dict[str, Any]:
    """Return the data of a page of eight photos."""
    count = len(PRODUCTS)
    photos = {
        "product_id": list(PRODUCTS),
        "position": [int(place > 0 and PRODUCTS[place - 1] == PRODUCTS[place]) for place in range(count)],
        "class": list(CLASS_OF),
        "group": [10, 11, 12, 13, 14, 14, 15, 15],
        "group_size": [1, 1, 1, 1, 2, 2, 2, 2],
        "url": [f"https://photos.example/{number}" for number in range(count)],
        "brightness": [120, 10, 130, 140, 120, 120, 120, 120],
        "foreground_share": list(SHARES),
        "detail": [-1, -1, 0, -1, -1, -1, -1, -1],
        "own_probability": [0.01, 0.4, 0.9, 0.2, 0.1, 0.8, 0.3, None],
        "other_class": [1, 1, 1, 2, 0, 0, 0, -1],
        "mask_score": [0.5, 1.5, 6.0, 2.5, 0.1, 0.2, 0.3, None],
    }
    photos |= {name: [0] * count for name in ("subset", "decided")}
    photos |= {name: [-1] * count for name in ("reject", "answer", "tile")}
    photos |= {name: [200] * count for name in ("width", "height")}
    photos |= {name: [0.5] * count for name in ("sharpness", "contrast", "aspect_ratio", "border_share", "uncertainty")}
    photos |= {name: [1] * count for name in ("pieces",)} | {name: [""] * count for name in ("key", "format")}
    photos |= {name: [None] * count for name in ("x", "y", "probability")}
    names = ("kind", "photo", "rank", "score", "why", "suggestion")
    sheet = {"side": 64, "columns": 20, "rows": 20, "count": 0}
    return {
        "digest": "0123456789abcdef", "version": "1", "sampled": None, "source": {"as_of": None, "newest_row": None},
        "params": [], "verdict": {"fit": "yes", "lines": []}, "subsets": ["train", "test"],
        "classes": {"catalog_id": [1, 2, 3], "label": [0, 1, 2], "name": list(CLASSES), "mean": [-1] * 3,
                    "photos": {"train": [4, 3, 1], "test": [0, 0, 0]}, "asked": [0] * 3, "right": [0] * 3},
        "kinds": ["label", "mask", "outlier", "photo"], "recommended_reasons": ["off_topic", "bad_mask", "bad_photo"],
        "default_reasons": {"label": "", "mask": "bad_mask", "outlier": "off_topic", "photo": "bad_photo"},
        "rejects": [], "photos": photos,
        "label_rows": {product: [] for product in PRODUCTS} | {"15": [[3, "2026-01-01"], [2, "2026-01-02"]]},
        "suspects": dict(zip(names, map(list, zip(*SUSPECTS, strict=True)), strict=True)),
        "class_suspects": [], "pairs": {"photo": [0, 6], "other": [1, 7], "likeness": [0.82, 0.95]},
        "changes": {"photo": [6], "change": ["several_labels"], "told": [["2", "3"]], "class": [1]},
        "flow": [], "checks": [], "baseline": {}, "augment": {"copies": 1}, "augmented": [],
        "leakage": {"photos": 0, "joined_to_others": 0, "recall": {}, "kinds": []},
        "sheets": dict.fromkeys(("tiles", "means", "augmented"), sheet),
        "components": {"dimensions": 2, "scale": 1, "photos": list(range(count))},
    }  # fmt: skip


def write_page(folder: Path, data: dict[str, Any]) -> Path:
    """Write the page. Photo 2 has large pictures; its mask keeps the left half."""
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :4] = 255
    grey = Image.new("RGB", (8, 8), (120, 120, 120))
    detail = [encode(grey), encode(Image.fromarray(mask)), encode(grey)]
    points = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [0, 9], [0, 9], [1, 9], [50, 50]], np.int8)
    scripts = {
        "components": ("text/plain", base64.b64encode(points.tobytes()).decode()),
        "details-0": ("application/json", json.dumps([detail])),
    }
    path = folder / "page.html"
    path.write_text(assemble.assemble(TEMPLATES, data, scripts), encoding="utf-8")
    return path


def encode(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "WEBP", lossless=True)
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_page(tmp_path, contents())


@pytest.fixture
def labels(browser: Browser, path: Path) -> Iterator[Page]:
    """The view of label suspects, as it is first opened."""
    with opened(browser, path, "labels") as (page, seen):
        expect(heading(page)).to_contain_text("1. 10: dress, or <b>shirt</b>?")
        yield page
    seen.assert_quiet(path)


def heading(page: Page) -> Any:
    return page.locator("#review-heading")


def marks(page: Page) -> dict[str, tuple[str, str]]:
    """Return action, and class or reason, by product and position, as the page would save them."""
    stored = page.evaluate(
        "JSON.parse(localStorage.getItem('imageset-marks-0123456789abcdef') ?? '{\"marks\": {}}').marks"
    )
    return {
        key: (mark["action"], str(mark.get("catalog_id") or mark.get("reason") or "")) for key, mark in stored.items()
    }


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_the_reason_that_was_chosen_last_is_the_next_ones_too(labels: Page) -> None:
    press(labels, "x")
    labels.get_by_role("dialog").get_by_role("button", name="bad photo").click()
    expect(heading(labels)).to_contain_text("2. ")
    expect(labels.get_by_role("button", name="Exclude: bad photo")).to_be_visible()
    press(labels, "x")
    expect(heading(labels)).to_contain_text("3. ")
    press(labels, "Shift+X")
    labels.get_by_role("dialog").get_by_role("button", name="off topic").click()
    expect(labels.locator(".review-finish")).to_contain_text("All 3 are decided.")

    assert marks(labels) == {
        "10/0": ("exclude", "bad_photo"),
        "14/0": ("exclude", "bad_photo"),
        "13/0": ("exclude", "off_topic"),
    }


def test_right_says_that_it_confirms_the_class_of_what_is_not_listed_for_it(browser: Browser, path: Path) -> None:
    with opened(browser, path, "masks") as (page, _):
        expect(page.locator(".review-intro")).to_contain_text("Right as it is also confirms the photo's class.")
        page.get_by_role("button", name="Right as it is, and the class is dress").click()

        assert marks(page) == {"12/0": ("right", "")}


def test_each_key_marks_and_goes_on(labels: Page) -> None:
    """At the end the page says that all are decided, and leads to the marks."""
    press(labels, "y")
    expect(heading(labels)).to_contain_text("2. 14: <b>shirt</b>, or dress?")
    press(labels, "r")
    expect(heading(labels)).to_contain_text("3. 13")
    expect(labels.locator(".review-progress")).to_contain_text("2 of 3 decided")
    press(labels, "x")
    labels.get_by_role("dialog").get_by_role("button", name="off topic").click()
    expect(labels.locator(".review-finish")).to_contain_text("All 3 are decided.")

    assert marks(labels) == {"10/0": ("right", ""), "14/0": ("relabel", "1"), "13/0": ("exclude", "off_topic")}
    labels.get_by_role("button", name="See and save the marks").click()
    expect(labels.get_by_role("button", name="Save corrections")).to_be_enabled()


def test_undo_leads_back_to_what_it_changed(labels: Page) -> None:
    press(labels, "y", "r", "u")
    expect(heading(labels)).to_contain_text("2. 14")
    press(labels, "u")
    expect(heading(labels)).to_contain_text("1. 10")

    assert marks(labels) == {}
    press(labels, "Shift+U")
    expect(labels.locator(".review-progress")).to_contain_text("1 of 3 decided")


def test_a_key_acts_on_the_card_alone(labels: Page) -> None:
    """Keys of a field, or of the tabs, mark nothing; after a click on a button the keys are the card's again."""
    labels.locator(".review-bar select").focus()
    press(labels, "x")
    labels.locator("#tabs a").first.focus()
    press(labels, "y")

    assert marks(labels) == {}
    labels.get_by_role("button", name="Right: the class is dress").click()
    expect(heading(labels)).to_contain_text("2. 14")
    press(labels, "Enter")
    expect(labels.get_by_role("dialog")).to_be_visible()
    press(labels, "Escape")
    expect(labels.locator(".review-card")).to_be_focused()
    assert marks(labels) == {"10/0": ("right", "")}


def test_arrows_go_through_the_list_and_a_class_is_chosen_by_its_name(labels: Page) -> None:
    press(labels, "End")
    expect(heading(labels)).to_contain_text("3. 13")
    press(labels, "k", "ArrowLeft", "ArrowDown")
    expect(heading(labels)).to_contain_text("2. 14")
    press(labels, "c")
    labels.get_by_role("dialog").get_by_role("combobox").fill("帽")
    press(labels, "Enter")
    expect(heading(labels)).to_contain_text("3. 13")

    assert marks(labels) == {"14/0": ("relabel", "3")}


def test_without_going_on_the_card_stays_and_says_its_mark(labels: Page) -> None:
    labels.get_by_label("Go on after a mark").uncheck()
    labels.locator(".review-card").focus()
    press(labels, "y")
    expect(labels.locator(".review-note")).to_have_text("Marked: right as it is.")
    expect(heading(labels)).to_contain_text("1. 10")
    press(labels, "e")

    assert marks(labels) == {}


def test_a_mark_of_the_whole_product_is_one_step(labels: Page) -> None:
    press(labels, "j", "p")
    expect(labels.get_by_role("button", name="Relabel 2 photos to dress")).to_be_visible()
    press(labels, "r")
    expect(heading(labels)).to_contain_text("3. 13")
    assert marks(labels) == {"14/0": ("relabel", "1"), "14/1": ("relabel", "1")}
    press(labels, "u")
    expect(heading(labels)).to_contain_text("2. 14")

    assert marks(labels) == {}


def test_hidden_ones_and_filters_survive_a_reload(labels: Page) -> None:
    press(labels, "y")
    labels.get_by_label("Hide decided").check()
    expect(labels.locator(".review-entry")).to_have_count(2)
    labels.locator(".review-bar select").select_option(label="dress (2)")
    expect(labels.locator(".review-entry")).to_have_count(1)
    labels.wait_for_url("**rank=3&class=0&hide=1")
    reload(labels)
    expect(heading(labels)).to_contain_text("3. 13")
    expect(labels.locator(".review-entry")).to_have_count(1)


def test_photos_of_both_classes_are_beside_it_but_none_of_its_group(labels: Page) -> None:
    press(labels, "j")
    own, other = labels.locator(".beside").all()
    names = own.get_by_role("button").evaluate_all("(all) => all.map((each) => each.title)")

    assert names == ["15, <b>shirt</b>"]
    expect(other.locator("h4")).to_have_text("Perhaps dress")
    expect(labels.locator(".review-content")).to_contain_text("give <b>shirt</b> 10.0 %")


def test_a_mask_is_tinted_where_it_leaves_out(browser: Browser, path: Path) -> None:
    with opened(browser, path, "masks") as (page, seen):
        expect(page.locator(".usual-unusual")).to_contain_text("Mask covers 5.0 % of the photo; the median of dress is")
        expect(page.locator(".usual-unusual")).to_contain_text("is 45.0 %.")
        page.wait_for_function("document.querySelector('.review-content canvas').width === 8")
        page.wait_for_function(
            "[1, 6].map((x) => document.querySelector('.review-content canvas').getContext('2d')"
            ".getImageData(x, 4, 1, 1).data.slice(0, 3).join()).join(' ') !== '0,0,0 0,0,0'"
        )
        kept, left_out = page.evaluate(
            "[1, 6].map((x) => [...document.querySelector('.review-content canvas').getContext('2d')"
            ".getImageData(x, 4, 1, 1).data.slice(0, 3)])"
        )
        press(page, "x")
        expect(page.locator(".review-finish")).to_contain_text("All 1 are decided.")

        assert max(abs(value - 120) for value in kept) <= 2
        assert left_out[0] > left_out[2] > left_out[1]
        assert marks(page) == {"12/0": ("exclude", "bad_mask")}
    seen.assert_quiet(path)


def test_oddities_have_a_switch_and_say_what_is_unusual(browser: Browser, path: Path) -> None:
    with opened(browser, path, "oddities") as (page, seen):
        expect(heading(page)).to_contain_text("1. 16, 帽子: it looks like no class")
        page.get_by_role("button", name="Unusual photos (1)").click()
        expect(page.locator(".usual-unusual")).to_contain_text("Brightness 10 of 255; the median of dress is 125.")
        expect(page.locator(".usual-unusual")).to_contain_text("Darker than all.")
        press(page, "x")
        expect(page.locator(".review-finish")).to_contain_text("All 1 are decided.")

        assert marks(page) == {"11/0": ("exclude", "bad_photo")}
    seen.assert_quiet(path)


def test_pairs_that_disagree_are_first_and_a_side_is_marked(browser: Browser, path: Path) -> None:
    """The likelier pair is first, because its classes differ."""
    with opened(browser, path, "pairs") as (page, seen):
        expect(heading(page)).to_contain_text("1. 15 and 16: likeness 0.95")
        expect(page.locator(".review-content")).to_contain_text("the two have different classes")
        press(page, "ArrowRight")
        expect(page.get_by_role("button", name="Relabel the right one to <b>shirt</b>")).to_be_visible()
        press(page, "r")
        expect(heading(page)).to_contain_text("2. 10 and 11: likeness 0.82")
        press(page, "x")
        page.wait_for_function("document.querySelector('.review-finish').textContent.startsWith('All 2')")

        assert marks(page) == {"16/0": ("relabel", "2"), "10/0": ("exclude", "copy")}
    seen.assert_quiet(path)


def test_a_change_says_what_each_row_said_and_what_won(browser: Browser, path: Path) -> None:
    with opened(browser, path, "changes") as (page, seen):
        expect(page.locator(".review-content")).to_contain_text("The rows of its product name <b>shirt</b> and 帽子.")
        expect(page.locator(".beside-row-won")).to_have_text("<b>shirt</b>, 2026-01-02")
        expect(page.locator(".review-caption")).to_have_text("<b>shirt</b> and 帽子: <b>shirt</b> won")
        expect(page.get_by_role("button", name="Relabel")).to_have_count(0)
        press(page, "r")
        page.get_by_role("dialog").get_by_role("combobox").fill("帽")
        press(page, "Enter")
        expect(page.locator(".review-finish")).to_contain_text("All 1 are decided.")

        assert marks(page) == {"15/0": ("relabel", "3")}
    seen.assert_quiet(path)


def test_a_queue_leads_to_its_photos_in_the_grid(labels: Page) -> None:
    labels.get_by_role("link", name="All in a grid").click()
    tiles = labels.get_by_role("listbox", name="Photos").get_by_role("option")
    expect(tiles).to_have_count(3)

    assert [(tile.get_attribute("aria-label") or "").split(",")[0] for tile in tiles.all()] == [
        "product 10",
        "product 14",
        "product 13",
    ]


def test_what_is_saved_is_what_was_marked(labels: Page) -> None:
    press(labels, "y", "r")
    labels.locator("#marks-link").click()
    with labels.expect_download() as download:
        labels.get_by_role("button", name="Save corrections").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))

    wanted = ("product_id", "position", "action", "catalog_id", "class", "kind", "rank")
    assert [[row[name] for name in wanted] for row in rows] == [
        ["10", "0", "right", "", "1", "label", "1"],
        ["14", "0", "relabel", "1", "2", "label", "2"],
    ]


@pytest.mark.parametrize("view", ["labels", "masks", "oddities", "pairs", "changes"])
def test_a_view_without_anything_says_what_that_means(view: str, browser: Browser, tmp_path: Path) -> None:
    data = contents()
    data["suspects"] = {name: [] for name in data["suspects"]}
    data["pairs"], data["changes"] = ({name: [] for name in data[table]} for table in ("pairs", "changes"))
    data["photos"]["foreground_share"] = [None] * len(PRODUCTS)
    words = {"labels": "another class", "masks": "masks.background", "oddities": "no outlier", "pairs": "nearly alike"}
    path = write_page(tmp_path, data)
    with opened(browser, path, view) as (page, seen):
        expect(page.locator(".review-empty")).to_contain_text(words.get(view, "nothing disagreed"))
    seen.assert_quiet(path)


@pytest.mark.parametrize(("width", "theme"), sample([(1280, "light"), (420, "dark")], (420, "dark")))
def test_a_card_has_no_barrier_and_fits(width: int, theme: Any, browser: Browser, path: Path) -> None:
    with opened(browser, path, "labels", width, theme) as (page, seen):
        for view in ("labels", "masks", "oddities?kind=photo", "pairs", "changes"):
            go(page, path, view)
            expect(heading(page)).to_be_visible()

            assert find_barriers(page) == [], view
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    seen.assert_quiet(path)
