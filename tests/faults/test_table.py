"""The table of docs/reliability.md."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.faults.table import BEGIN, END, PAGE, read_rows, write_table
from tests.faults.trials import Trials


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "reliability.md"
    path.write_text(f"before\n{BEGIN}\n| part | fault |\n|---|\n| Disk | full | tmpfs | 1 | 0 |\n{END}\nafter\n")
    return path


def test_table_is_replaced_and_the_text_around_it_stays(page: Path) -> None:
    write_table(page, [Trials("Crash", "kill -9", "signal", 1200)])
    text = page.read_text()

    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| Crash | kill -9 | signal | 1,200 | 1,200 |" in text
    assert "full" not in text


def test_rows_of_faults_that_were_not_tried_may_stay(page: Path) -> None:
    write_table(
        page, [Trials("Crash", "kill -9", "signal", 2), Trials("Urls", "a url", "a host", 3, {"one": ""})], True
    )
    assert list(read_rows(page).values()) == [
        "| Crash | kill -9 | signal | 2 | 2 |",
        "| Disk | full | tmpfs | 1 | 0 |",
        "| Urls | a url | a host | 3 | 2 |",
    ]


def find_faults() -> Iterator[tuple[Any, ...]]:
    """Return part, fault and how of each mark `fault`, those of single params too."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = import_module(f"tests.faults.{path.stem}")
        for function in vars(module).values():
            own = inspect.isfunction(function) and function.__module__ == module.__name__
            for mark in getattr(function, "pytestmark", []) if own else []:
                of_params = (
                    [each for param in mark.args[1] for each in getattr(param, "marks", ())]
                    if mark.name == "parametrize"
                    else []
                )
                yield from (each.args for each in (mark, *of_params) if each.name == "fault")


def test_each_fault_has_one_row() -> None:
    """A result that another one replaced is a row that nobody misses."""
    assert sorted(find_faults()) == sorted(read_rows(PAGE)), (
        "run its test with FAULTS=all, then tests.faults.table --keep"
    )
