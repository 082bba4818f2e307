"""Every view, in both themes, on a narrow and a wide screen, with names of any script."""

import itertools

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import NARROW, WIDE, Theme, opened, reload
from tests.page.driving import SETTLED, find_faults, focus_tile, go, views_of
from tests.page.project import Made
from tests.samples import sample

REFLOWED = 320
THEMES: tuple[Theme, ...] = ("light", "dark")
# Each theme and each width once: `make faults` tries all four.
SCREENS = sample(list(itertools.product(THEMES, (NARROW, WIDE))), ("light", WIDE), ("dark", NARROW))


@pytest.mark.parametrize(("theme", "width"), SCREENS)
def test_no_view_has_a_barrier_or_is_wider_than_the_screen(
    theme: Theme, width: int, browser: Browser, made: Made
) -> None:
    with opened(browser, made.page, width=width, theme=theme) as (page, seen):
        views = views_of(page)
        faults = {}
        for view in views:
            go(page, made.page, view)
            faults[view] = find_faults(page, width)

        assert len(views) >= 7
        assert {view: found for view, found in faults.items() if found} == {}
    seen.assert_quiet(made.page)


def test_at_four_times_the_size_nothing_is_cut_off(browser: Browser, made: Made) -> None:
    """A window of 1,280 pixels has 320 then (WCAG 2.2, 1.4.10)."""
    with opened(browser, made.page, width=REFLOWED) as (page, seen):
        for view in views_of(page):
            go(page, made.page, view)

            assert find_faults(page, REFLOWED) == [], view
    seen.assert_quiet(made.page)


@pytest.mark.parametrize(("theme", "width"), SCREENS)
def test_no_dialog_has_a_barrier(theme: Theme, width: int, browser: Browser, made: Made) -> None:
    with opened(browser, made.page, "photos", width=width, theme=theme) as (page, seen):
        for keys in (["Enter"], ["c"], ["X"], ["?"]):
            focus_tile(page, made.flipped[0])
            for key in keys:
                page.keyboard.press(key)
            expect(page.get_by_role("dialog")).to_be_visible()
            page.evaluate(SETTLED)

            assert find_faults(page, width) == []
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
    seen.assert_quiet(made.page)


def test_the_switch_of_the_theme_wins_over_the_systems_and_is_kept(browser: Browser, made: Made) -> None:
    def background(page: Page) -> str:
        return str(page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor"))

    with opened(browser, made.page, theme="light") as (page, _):
        light = background(page)
        page.get_by_label("Theme").select_option(label="Dark")
        dark = background(page)
        reload(page)

        assert dark != light
        assert background(page) == dark
    with opened(browser, made.page, theme="dark") as (page, _):
        assert background(page) == dark


def test_all_is_reached_by_keyboard(browser: Browser, made: Made) -> None:
    """From the address to a view, into the grid, to a mark, to the saved file."""
    with opened(browser, made.page, "photos") as (page, _):
        expect(page.get_by_role("listbox", name="Photos")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#view")).to_be_focused()
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.getAttribute('role')") == "option":
                break
        page.keyboard.press("y")
        expect(page.locator("#marks-link")).to_have_text("1 mark")
        page.locator("#tabs a[href='#marks']").focus()
        page.keyboard.press("Enter")
        expect(page.locator("main h2")).to_be_focused()
        for _ in range(10):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.textContent").strip() == "Save corrections":
                break
        with page.expect_download() as download:
            page.keyboard.press("Enter")

        assert download.value.suggested_filename.startswith("corrections-")
