"""Shared worker processes; params for photos that tests/curated.py draws."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.curated import DUPLICATES, Edit
from tests.warm_workers import kept_warm


@pytest.fixture(scope="module", autouse=True)
def warm_workers() -> Iterator[None]:
    """The tests of a module share their worker processes."""
    with kept_warm():
        yield


@pytest.fixture
def likeness_of_patterns(in_project: Path) -> None:
    path = in_project / "params.yaml"
    text = re.sub(r"likeness: \S+", f"likeness: {DUPLICATES.likeness}", path.read_text())
    path.write_text(re.sub(r"(max_products: 20\n.*\n  max_rejected_share): \S+", r"\1: 1.0", text))


@pytest.fixture
def no_rare_classes(edit_params: Edit, likeness_of_patterns: None) -> None:
    """A class of one photo is not rare."""
    edit_params("min_photos: 5", "min_photos: 1")
