"""make report: the page is opened in the browser, or its path is said."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.project import ROOT


def run(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the tool in a folder, without a screen."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    return subprocess.run(
        [sys.executable, "-m", "tools.open_page"],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page in a folder whose name a URL has to escape."""
    path = tmp_path / "a project #1/data/report.html"
    path.parent.mkdir(parents=True)
    path.write_text("<!DOCTYPE html>")
    return path


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS opens pages without these variables")
def test_without_a_screen_the_path_is_said(page: Path) -> None:
    done = run(page.parents[1])

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"report: there is no browser here: open {page} in one, on this machine or another\n"


def test_the_browser_gets_the_page(page: Path, tmp_path: Path) -> None:
    """BROWSER names a program that writes down what it was asked for."""
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$1" > "{asked}.new" && mv "{asked}.new" "{asked}"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    done = run(page.parents[1], BROWSER=str(browser))
    deadline = time.monotonic() + 20
    while not asked.exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert done.stdout == f"report: opened {page}\n"
    assert asked.read_text() == page.as_uri()


def test_without_a_page_one_line_says_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "report: data/report.html is missing: `dvc pull data/report.html` fetches it, or `dvc repro` makes it\n"
    )
