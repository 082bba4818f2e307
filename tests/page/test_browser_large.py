"""The page of 10,000 photos in 700 classes: its size, the time to its first paint, and the memory of its tab."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from benchmarks.page.repeat import repeat_project
from benchmarks.page.tab import open_page
from imageset.page.pictures import PAGE_BYTES
from stages import page
from tests.browser import opened
from tests.page.project import Made
from tests.project import ROOT

PHOTOS, CLASSES = 10_000, 700
FIRST_PAINT = 2_000  # milliseconds
TAB_BYTES = 500_000_000


@pytest.mark.large
@pytest.mark.timeout(900)
def test_the_page_of_a_large_dataset_keeps_to_its_size_and_opens_at_once(
    made: Made, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "large"
    repeat_project(made.folder, folder, PHOTOS, CLASSES)
    monkeypatch.chdir(folder)
    report_html = folder / "report.html"
    paths = (Path("data"), Path("corrections"), Path("reports/baseline.json"))
    page.main(*paths, ROOT / "stages/templates/page", ROOT / "pyproject.toml", report_html)

    times = open_page(browser, report_html)
    with opened(browser, report_html) as (tab, seen):
        counts = tab.evaluate(
            """() => {
                const page = JSON.parse(document.getElementById("data").textContent);
                return [page.photos.tile.length, page.classes.label.filter((label) => label >= 0).length];
            }"""
        )
        seen.assert_quiet(report_html)

    print(f"{report_html.stat().st_size:,} bytes, {times}")
    assert counts[0] >= PHOTOS
    assert counts[1] >= CLASSES
    assert report_html.stat().st_size <= PAGE_BYTES
    assert times.paint < FIRST_PAINT
    assert times.memory < TAB_BYTES
