"""The page of 10,000 drawn photos in 700 classes: its size has a bound; what it takes to open it is printed."""

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from benchmarks.page.repeat import repeat_project
from benchmarks.page.tab import open_page
from imageset.page.pictures import PAGE_BYTES
from tests.browser import WIDE, opened
from tests.page.driving import find_faults, go, read_data, views_of
from tests.page.project import Made
from tests.project import ROOT

PHOTOS, CLASSES = 10_000, 700


@pytest.fixture(scope="module")
def large(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the small project, repeated."""
    folder = tmp_path_factory.mktemp("large")
    repeat_project(made.folder, folder, PHOTOS, CLASSES)
    templates, version = ROOT / "stages/templates/page", ROOT / "pyproject.toml"
    paths = ("data", "corrections", "reports", str(templates), str(version), "report.html")
    subprocess.run([sys.executable, "-m", "stages.page", *paths], cwd=folder, env={"PYTHONPATH": str(ROOT)}, check=True)
    return folder / "report.html"


@pytest.mark.large
@pytest.mark.timeout(900)
def test_the_page_of_many_photos_is_small_enough(
    large: Path, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    size = large.stat().st_size
    tab = open_page(browser, large)
    with capsys.disabled():
        print(
            f"\n{PHOTOS:,} photos, {CLASSES} classes: {size / 1e6:.1f} MB, first paint after {tab.paint:.0f} ms, ready",
            end=" ",
        )
        print(f"after {tab.ready:.0f} ms, {tab.memory / 1e6:.0f} MB of memory")

    assert PAGE_BYTES <= 15_000_000
    assert size < 15_000_000


@pytest.mark.large
@pytest.mark.timeout(900)
def test_every_view_opens_with_many_photos_and_classes(large: Path, browser: Browser) -> None:
    with opened(browser, large, "photos") as (page, seen):
        data = read_data(page)
        photos = len(data["photos"]["product_id"])
        expect(page.get_by_role("status").first).to_have_text(f"{photos:,} photos")

        assert photos >= PHOTOS
        assert sum(label >= 0 for label in data["classes"]["label"]) >= CLASSES
        for view in views_of(page):
            go(page, large, view)

            assert find_faults(page, WIDE) == [], view
    seen.assert_quiet(large)
