"""That the tests of the page would notice a page that does what it must not."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import find_barriers, opened


def write(folder: Path, body: str, head: str = "") -> Path:
    path = folder / "page.html"
    path.write_text(
        f"<!doctype html><html lang=en><title>a page</title>{head}<main><h1>A page</h1>{body}</main></html>"
    )
    return path


def wait_for(page: Page, text: str) -> None:
    page.get_by_text(text).wait_for()


def test_a_page_that_does_nothing_wrong_passes(browser: Browser, tmp_path: Path) -> None:
    path = write(tmp_path, "<p>text</p><img alt='a dot' src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>")
    with opened(browser, path, "view") as (page, seen):
        wait_for(page, "text")

        assert find_barriers(page) == []
    seen.assert_quiet(path)


@pytest.mark.parametrize(
    "wrong",
    [
        "<img alt='' src='http://127.0.0.1:9/x.png'>",
        "<img alt='' src='beside.png'>",
        "<script>console.error('a')</script>",
        "<script>throw new Error('a')</script>",
    ],
)
def test_a_request_and_an_error_are_noticed(wrong: str, browser: Browser, tmp_path: Path) -> None:
    path = write(tmp_path, f"{wrong}<p>text</p>")
    with opened(browser, path) as (page, seen):
        wait_for(page, "text")
        page.wait_for_load_state("load")
    with pytest.raises(AssertionError):
        seen.assert_quiet(path)


def test_what_the_security_policy_refuses_is_an_error(browser: Browser, tmp_path: Path) -> None:
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
    path = write(tmp_path, "<p style='color: red'>text</p>", policy)
    with opened(browser, path) as (page, seen):
        wait_for(page, "text")

    assert "Content Security Policy" in seen.errors[0]


def test_a_barrier_is_found_under_the_security_policy(browser: Browser, tmp_path: Path) -> None:
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
    path = write(tmp_path, "<button></button>", policy)
    with opened(browser, path) as (page, _):
        assert [barrier.split()[0] for barrier in find_barriers(page)] == ["button-name"]


def test_the_theme_and_the_width_are_those_asked_for(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, write(tmp_path, ""), width=420, theme="dark") as (page, _):
        assert page.evaluate("[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]") == [420, True]
