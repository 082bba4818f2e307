"""Summary, classes, confusion and map, at few classes and at many."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from imageset.leakage.recall import Recall, describe
from tests.browser import NARROW, WIDE, Theme, find_barriers, opened
from tests.page.drawn_contents import LOST, NAMES, draw_contents, judge, write_contents, write_page
from tests.page.driving import SETTLED
from tests.samples import sample

VIEWS = ("summary", "classes", "confusion", "map")
FEW, MANY = (6, 120), (60, 1200)
LABEL = "[role=option]"
FIRST_MISTAKE = """() => {
    const cell = [...document.querySelectorAll("td.cell-wrong")].find((each) => each.textContent);
    return [cell.parentNode.rowIndex - 1, cell.cellIndex - 1];
}"""


class Drawn(NamedTuple):
    """A page, and what it says."""

    path: Path
    says: dict[str, Any]

    def column(self, name: str) -> list[Any]:
        found: list[Any] = self.says["photos"][name]
        return found


@pytest.fixture(scope="module", params=[FEW, MANY], ids=["few", "many"])
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return Drawn(*write_page(tmp_path_factory.mktemp("page"), *request.param))


@pytest.fixture
def page(drawn: Drawn, browser: Browser) -> Iterator[Page]:
    with opened(browser, drawn.path) as (page, seen):
        yield page
    seen.assert_quiet(drawn.path)


def show(page: Page, view: str) -> None:
    page.evaluate("(view) => { location.hash = `#${view}`; }", view)
    expect(page.locator("h2.view-title")).to_have_text(view.partition("?")[0].capitalize())


def products(grid: Locator) -> list[int]:
    """Return the photos of a grid, by index."""
    labels = grid.locator(LABEL).evaluate_all("(tiles) => tiles.map((tile) => tile.getAttribute('aria-label'))")
    return [int(label.removeprefix("product ").partition(",")[0]) - 3_000_000 for label in labels]


def count_cells(drawn: Drawn) -> Counter[tuple[int, int]]:
    answers = zip(drawn.column("class"), drawn.column("answer"), strict=True)
    return Counter((own, answer) for own, answer in answers if answer >= 0)


@pytest.mark.parametrize(("theme", "width"), sample([("light", WIDE), ("dark", NARROW)], ("dark", NARROW)))
def test_views_have_no_barrier_and_fit_the_window(theme: Theme, width: int, drawn: Drawn, browser: Browser) -> None:
    """`make test` tries the other theme and width in test_browser_views.py."""
    with opened(browser, drawn.path, width=width, theme=theme) as (page, seen):
        for view in VIEWS:
            show(page, view)

            assert find_barriers(page) == []
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    seen.assert_quiet(drawn.path)


@pytest.mark.parametrize(
    ("fit", "words", "why"),
    [
        ("yes", "Fit to train on", "All is well."),
        ("reservations", "Fit to train on, with reservations", "2 suspects."),
        ("no", "Not fit to train on", "A check failed."),
    ],
)
def test_the_first_words_are_the_verdict(fit: str, words: str, why: str, browser: Browser, tmp_path: Path) -> None:
    path, _ = write_page(tmp_path, *FEW, verdict=judge(fit))
    with opened(browser, path) as (page, _):
        verdict = page.get_by_role("region", name=words, exact=True)

        expect(verdict.get_by_role("heading", name=words, exact=True)).to_be_visible()
        expect(verdict.get_by_role("definition").first).to_have_text(why)


def test_the_summary_says_where_the_dataset_comes_from(page: Page) -> None:
    origin = page.get_by_role("region", name="Where this comes from")

    expect(origin).to_contain_text("all, the newest of 2026-01-31 13:00 UTC")
    expect(origin).to_contain_text("git log -S0123456789ab --oneline -- reports/metrics.json")
    expect(origin.get_by_role("row", name="split.test_share 0.3 0.2")).to_be_visible()


def test_a_newest_date_that_is_a_number_is_said_to_be_one(browser: Browser, tmp_path: Path) -> None:
    path, _ = write_page(tmp_path, *FEW, source={"as_of": None, "newest_row": "1788418800"})
    with opened(browser, path) as (page, _):
        expect(page.get_by_role("region", name="Where this comes from")).to_contain_text(
            "all, the newest dated 1788418800, a number as the source has it"
        )


def test_kinds_of_planted_copies_are_listed_those_that_are_found_least_first(page: Page) -> None:
    figure = page.get_by_role("figure", name="Planted copies that the search finds")
    names = figure.locator("tbody th")

    assert names.all_text_contents() == ["text", "cropped", "padded", "resized", "sticker", "gray"]
    expect(figure.get_by_role("row", name="text 85.0 % 64.0 to 94.8 %")).to_be_visible()
    expect(names.last).to_be_hidden()
    figure.get_by_text("2 more kinds").click()
    expect(names.last).to_be_visible()
    expect(figure).to_contain_text("made a copy of each kind of 20 photos")
    expect(figure).to_contain_text("1 pair of different photos was found, too.")


def test_where_no_copy_is_planted_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    path, _ = write_page(tmp_path, *FEW, leakage=describe({"text": Recall(0, 0, 0)}, 0))
    with opened(browser, path) as (page, _):
        figure = page.get_by_role("figure", name="Planted copies that the search finds")

        expect(figure).to_contain_text("None was planted: leakage.planted is 0.")


def test_a_failed_check_is_shown_and_those_that_passed_are_counted(page: Page) -> None:
    expect(page.get_by_role("row", name="✕ failed b 3")).to_be_visible()
    expect(page.get_by_text("2 of 3 checks passed")).to_be_visible()
    expect(page.get_by_role("row", name="✓ passed a 3")).to_be_hidden()


def test_a_reason_of_the_funnel_leads_to_its_photos(page: Page, drawn: Drawn) -> None:
    """Both stages of the page have this reason."""
    page.get_by_role("link", name="too many pixels 2").last.click()
    expect(page.locator("h2.view-title")).to_have_text("Photos")
    expect(page.get_by_label("Rejected", exact=True)).to_have_value("preprocess:too_many_pixels")

    assert products(page.locator(".photo-grid")) == [
        at for at, reject in enumerate(drawn.column("reject")) if reject == 1
    ]


def test_bars_of_a_histogram_show_the_photos_in_their_range(page: Page, drawn: Drawn) -> None:
    bars = page.get_by_role("group", name="Brightness").get_by_role("button")
    bars.nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", name="Brightness:")
    low, high = (float(edge) for edge in heading.inner_text().split(": ")[1].removesuffix(" of 255").split(" to "))
    values = drawn.column("brightness")
    inside = [at for at, value in enumerate(values) if low <= value < high]

    assert high - low == 20
    expect(heading).to_contain_text(f": {len(inside)} photos")
    shown = products(page.locator(".chosen"))
    assert shown == sorted(inside, key=lambda at: values[at] // 10)[: len(shown)]  # those of one bar, then the next
    assert len(shown) in (len(inside), 154)  # 11 rows of 14 tiles: a page has whole rows


def test_all_bars_of_a_histogram_that_is_open_at_both_ends_are_all_values(browser: Browser, tmp_path: Path) -> None:
    contents = draw_contents(*FEW)
    contents["photos"]["brightness"][:2] = [-1e4, 1e4]
    with opened(browser, write_contents(tmp_path, contents)) as (page, _):
        bars = page.get_by_role("group", name="Brightness").get_by_role("button")
        bars.first.focus()
        page.keyboard.press("Shift+End")
        page.keyboard.press("Enter")

        expect(page.get_by_role("heading", name="Brightness:")).to_have_text("Brightness: all values: 120 photos")
        expect(bars.first).to_have_attribute("title", re.compile("^less than "))
        expect(bars.last).to_have_attribute("title", re.compile(" and more: "))


@pytest.mark.parametrize("width", [320, NARROW, WIDE])
def test_every_bar_of_a_histogram_is_large_enough_to_hit(width: int, drawn: Drawn, browser: Browser) -> None:
    with opened(browser, drawn.path, "summary", width) as (page, seen):
        bars = page.locator(".histogram-bar")
        sizes = bars.evaluate_all("(all) => all.map((each) => [each.offsetWidth, each.offsetHeight])")

        assert len(sizes) > 20
        assert min(min(size) for size in sizes) >= 24
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    seen.assert_quiet(drawn.path)


def rows_of_tiles(page: Page) -> list[int]:
    """Return how many tiles each row of the grid has."""
    tops = page.locator(".photo-grid").get_by_role("option").evaluate_all("(all) => all.map((each) => each.offsetTop)")
    return list(Counter(tops).values())


def test_a_page_of_a_grid_has_whole_rows(page: Page) -> None:
    show(page, "photos")
    rows = rows_of_tiles(page)

    assert len(rows) > 2
    assert page.locator(".pager").first.is_hidden() or rows[-1] == rows[0]


def test_a_grid_has_whole_rows_again_when_the_window_changes(browser: Browser, tmp_path: Path) -> None:
    path, _ = write_page(tmp_path, *MANY)
    with opened(browser, path, "photos") as (page, seen):
        page.get_by_role("button", name="Next page").first.click()
        first = products(page.locator(".photo-grid"))[0]
        for width in (1000, 700, NARROW):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(SETTLED)
            rows = rows_of_tiles(page)

            assert len(set(rows)) == 1
            assert first in products(page.locator(".photo-grid"))
    seen.assert_quiet(path)


def test_classes_are_sorted_and_found_by_name(page: Page, drawn: Drawn) -> None:
    show(page, "classes")
    counts = np.sum(list(drawn.says["classes"]["photos"].values()), axis=0)
    expect(page.locator("#view")).to_contain_text(
        f"has {max(counts)} photos, the smallest {min(counts)}. The median is {np.median(counts):.0f}."
    )
    page.get_by_role("button", name="label suspects").click()
    names = page.locator(".class-table tbody th")
    expect(names.nth(0)).to_have_text(NAMES[0])
    expect(page.get_by_role("columnheader", name="label suspects")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("searchbox", name="Filter classes by name").fill("ワン")
    expect(names).to_have_text([NAMES[1]])
    names.get_by_role("link").click()

    expect(page).to_have_url(re.compile(r"#photos\?class=1$"))


def test_the_recall_of_a_class_is_that_of_all_its_test_photos(browser: Browser, tmp_path: Path) -> None:
    contents = draw_contents(*FEW) | {"sampled": {"shown": 120, "of": 5000, "how": "a sample"}}
    contents["classes"] |= {"asked": [200, 40, 0, 1, 1, 1], "right": [150, 40, 0, 1, 1, 1]}
    with opened(browser, write_contents(tmp_path, contents), "classes") as (page, _):
        recalls = page.locator(".class-table tbody td.number:last-child")
        expect(recalls).to_have_text(["75.0 % of 200", "100.0 % of 40", "no test photo", *["100.0 % of 1"] * 3])
        recalls.first.get_by_role("link").click()
        expect(page).to_have_url(re.compile(r"#photos\?class=0&baseline=wrong$"))


def test_many_classes_come_in_pages_which_the_curve_opens(page: Page, drawn: Drawn) -> None:
    show(page, "classes")
    count = len(drawn.says["classes"]["name"])
    names = page.locator(".class-table tbody th")
    if count <= 50:
        expect(names).to_have_count(count)
        expect(page.locator(".curve")).to_have_count(0)
        return
    expect(names).to_have_count(50)
    curve = page.locator(".curve svg")
    box = curve.bounding_box()
    assert box
    curve.click(position={"x": box["width"] - 2, "y": 80})

    expect(names).to_have_count(count - 50)


def test_a_pair_of_classes_that_look_like_one_is_named(page: Page) -> None:
    show(page, "classes")

    expect(page.locator(".class-suspect")).to_contain_text(f"hardly tell {NAMES[0]} from {NAMES[1]}.")


def test_the_arrows_reach_a_cell_and_enter_shows_its_photos(page: Page, drawn: Drawn) -> None:
    cells = count_cells(drawn)
    show(page, "confusion")
    page.locator("td.cell[tabindex='0']").focus()
    row, column = page.evaluate(FIRST_MISTAKE)
    for key in ["ArrowDown"] * row + ["ArrowRight"] * column:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    focused = page.locator("td.cell:focus")
    own, answer = (int(focused.get_attribute(f"data-{name}") or "") for name in ("own", "answer"))
    columns = zip(drawn.column("class"), drawn.column("answer"), drawn.column("probability"), strict=True)
    wanted = [(-sure, at) for at, (label, said, sure) in enumerate(columns) if (label, said) == (own, answer)]

    assert answer != own
    assert len(wanted) == cells[own, answer]
    assert products(page.locator(".chosen")) == [at for _, at in sorted(wanted)]


def test_the_matrix_counts_every_answer_once(page: Page, drawn: Drawn) -> None:
    show(page, "confusion")
    cells = count_cells(drawn)
    shown = page.locator("td.cell").evaluate_all(
        "(cells) => cells.map((cell) => Number(cell.firstChild?.textContent ?? 0))"
    )
    pairs = page.locator(".pair-table tbody tr .number:nth-of-type(2)")
    most = max(count for (own, answer), count in cells.items() if own != answer)

    assert sum(shown) == sum(cells.values())
    assert len(shown) == min(len(drawn.says["classes"]["name"]), 26) ** 2
    expect(pairs.first).to_have_text(str(most))
    others = page.locator("td.cell[data-own='-1'][data-answer='-1']")
    if others.count():
        others.click()
        sure = [drawn.column("probability")[at] for at in products(page.locator(".chosen"))]

        assert len(set(sure)) > 10
        assert sure == sorted(sure, reverse=True)


def test_a_lasso_chooses_photos_and_marks_go_to_all_of_them(page: Page, drawn: Drawn) -> None:
    show(page, "map")
    page.get_by_role("button", name="Lasso").click()
    draw_around(page)
    kept = len(drawn.column("class")) - LOST
    expect(page.get_by_role("heading", name=f"{kept:,} photos chosen")).to_be_visible()
    page.get_by_role("button", name="Right as they are").click()
    page.get_by_label("Colour by").select_option("mark")

    expect(page.get_by_role("button", name=f"right {kept:,}")).to_be_visible()


def test_a_colour_that_is_switched_off_cannot_be_chosen(page: Page, drawn: Drawn) -> None:
    show(page, "map")
    page.get_by_label("Colour by").select_option("subset")
    train = drawn.column("subset").count(0)
    page.get_by_role("button", name=f"train {train:,}").click()
    page.get_by_role("button", name="Lasso").click()
    draw_around(page)

    expect(page.get_by_role("heading", name=f"{drawn.column('subset').count(1):,} photos chosen")).to_be_visible()


def draw_around(page: Page) -> None:
    """Draw along the edges of the map."""
    canvas = page.get_by_role("application")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    left, top, right, low = box["x"] + 2, box["y"] + 2, box["x"] + box["width"] - 2, box["y"] + box["height"] - 2
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, low), (left, low), (left, top + 1)):
        page.mouse.move(x, y)
    page.mouse.up()


def test_a_photo_among_those_of_another_class_is_listed_in_words(page: Page) -> None:
    show(page, "map?class=0")
    strangers = page.get_by_role("listbox", name="Photos among photos of other classes")

    expect(strangers.locator(LABEL)).to_have_count(1)
    expect(strangers.locator(LABEL)).to_contain_text(f"10 of 10 near: {NAMES[1]}")
    assert products(page.locator(".photo-grid").last) == [0]
