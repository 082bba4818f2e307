"""Fixtures of the tests of the page: a browser, and pages that the stages make of small projects."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser import ONE_RENDERER, launched, require_browser
from tests.page.project import Made, make_plain_project, make_project, make_text_project, read_made
from tests.warm_workers import kept_warm


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for the files of this folder that a process of pytest-xdist runs in turn."""
    with launched(ONE_RENDERER) as browser:
        yield browser


def make_once(request: pytest.FixtureRequest, name: str, make: Callable[..., Any]) -> Path:
    """Return a folder in which a project is made once for all processes of pytest-xdist, by the first that asks.

    Servers and weights are asked for by that one alone. It makes the project in another thread: stages need an event
    loop of their own, and while a browser runs, Playwright's is in this one.
    """
    require_browser()
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which they share
    found = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            project = factory.mktemp(name)
            given = map(request.getfixturevalue, ("sandbox", "weights", "embedding_weights"))
            with kept_warm(), ThreadPoolExecutor(1) as aside:
                aside.submit(make, project, *given).result()
            found.write_text(json.dumps(str(project)))
    return Path(json.loads(found.read_text()))


@pytest.fixture(scope="session")
def made(request: pytest.FixtureRequest) -> Made:
    """A small project whose class names are hostile, with suspects of every kind, and its page."""
    return read_made(make_once(request, "page-project", make_project))


@pytest.fixture(scope="session")
def plain_page(request: pytest.FixtureRequest) -> Path:
    """The page of one class without masks, embeddings and rejects."""
    return make_once(request, "plain-project", make_plain_project) / "data/report.html"


@pytest.fixture(scope="session")
def text_project(request: pytest.FixtureRequest) -> Path:
    """A project that calls products by UUIDs and classes by names."""
    return make_once(request, "text-project", make_text_project)
