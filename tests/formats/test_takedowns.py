"""corrections/takedowns.csv: what is read, what is refused and in which line, and what a takedown appends."""

import datetime
from pathlib import Path

import pytest

from imageset.errors import DataError
from imageset.formats import source_ids, takedowns
from tests.project import ROOT

HEADER = "product_id,date\n"
DATE = datetime.date(2026, 2, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "takedowns.csv"


def test_the_shipped_file_names_no_product() -> None:
    assert takedowns.read(ROOT / "corrections/takedowns.csv") == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}12,2026-01-31\n0,2026-01-30\n",
        f"{HEADER}12,2026-01-31\n0,2026-01-30",
        f"\ufeff{HEADER}12,2026-01-31\n\n0,2026-01-30\n",
        f"{HEADER}12,2026-01-31\n0,2026-01-30\n".replace("\n", "\r\n"),
        f'{HEADER}"12","2026-01-31"\n0,2026-01-30\n',
        f"{HEADER}12,2026-01-31\n0,2026-01-30\n12,2026-02-01\n",  # two branches took it down
    ],
)
def test_products_are_read_however_editors_leave_the_lines(text: str, path: Path) -> None:
    path.write_bytes(text.encode())

    assert takedowns.read(path) == {0, 12}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", " is empty: expected the line product_id,date"),
        ("12,2026-01-31\n", " line 1: no column is named '12'"),
        ("product_id,date,why\n", " line 1: no column is named 'why'"),
        (f"{HEADER}12\n", " line 2: date '': expected YYYY-MM-DD, such as 2026-01-31"),
        (f"{HEADER}12,2026-01-31,please\n", " line 2 has more cells than there are columns"),
        (f"{HEADER}1E+18,2026-01-31\n", " line 2: product_id '1E.18': .*a spreadsheet may have rounded it"),
        (f"{HEADER},2026-01-31\n", " line 2: product_id '': expected an id such as 1234567"),
        (f"{HEADER}{2**53}.0,2026-01-31\n", " line 2: product_id '9007199254740992.0': .* may have rounded it"),
        (f"{HEADER}{'x' * 256},2026-01-31\n", " line 2: product_id 'x+': expected an id such as 1234567"),
        (f"{HEADER}12,31.1.2026\n", " line 2: date '31.1.2026': expected YYYY-MM-DD"),
        (f"{HEADER}12,20260131\n", " line 2: date '20260131': expected YYYY-MM-DD"),
        (f"{HEADER}12,2026-02-30\n", " line 2: date '2026-02-30': expected YYYY-MM-DD"),
        (f"{HEADER}<<<<<<< HEAD\n", " line 2: date ''"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(text: str, problem: str, path: Path) -> None:
    path.write_bytes(text.encode())

    with pytest.raises(DataError, match=rf"takedowns\.csv{problem}") as caught:
        takedowns.read(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_says_what_to_do(path: Path) -> None:
    with pytest.raises(DataError, match=r"takedowns\.csv is missing: restore it with `git checkout -- "):
        takedowns.read(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_products_are_appended_once_in_the_line_ends_of_the_file(end: str, last: bool, path: Path) -> None:
    path.write_bytes(f"product_id,date{end}7,2026-01-31{end if last else ''}".encode())

    assert takedowns.add(path, [9, 7, 8, 9], DATE) == [9, 8]
    assert path.read_bytes() == f"product_id,date{end}7,2026-01-31{end}9,2026-02-03{end}8,2026-02-03{end}".encode()
    assert takedowns.add(path, [8, 9], DATE) == []
    assert takedowns.read(path) == {7, 8, 9}


def test_products_are_appended_as_a_spreadsheet_has_left_the_file(path: Path) -> None:
    path.write_bytes("\ufeffDate;Product_ID\r\n2026-01-31;7\r\n".encode())

    assert takedowns.add(path, [9], DATE) == [9]
    assert takedowns.read(path) == {7, 9}
    assert path.read_bytes().endswith(b"\r\n2026-01-31;7\r\n2026-02-03;9\r\n")


IDS = ["3f2504e0-4f89-41d3-9a0c-0305e82c3301", "=1+1", "'=1+1", 'a "b", c; d', "007", "-7", "קוד"]


def test_products_are_named_as_the_source_names_them(path: Path) -> None:
    numbers = [source_ids.number(its_id) for its_id in IDS]
    path.write_text(HEADER)

    assert takedowns.add(path, numbers, DATE) == numbers
    assert takedowns.add(path, numbers, DATE) == []
    assert takedowns.read(path) == {*numbers, 7}  # 7 may be written 007
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1:4] == [f"{IDS[0]},2026-02-03", "'=1+1,2026-02-03", "''=1+1,2026-02-03"]


@pytest.mark.parametrize(("cell", "number"), [("8812.0", 8812), ("008813", 8813), ("00", 0)])
def test_a_number_in_another_spelling_takes_down_all_that_may_be_meant(cell: str, number: int, path: Path) -> None:
    """A spreadsheet writes 8812.0 for an integer, and a column of floats that became text has it as the id."""
    path.write_text(f"{HEADER}{cell},2026-01-31\n")

    found = takedowns.read(path)  # before this process knows the id

    assert found == {number, source_ids.number(cell)}


def test_nothing_is_appended_to_a_file_with_a_wrong_line(path: Path) -> None:
    path.write_text("product_id,date\nx,31.1.2026\n")

    with pytest.raises(DataError, match=r"line 2: date '31.1.2026'"):
        takedowns.add(path, [9], DATE)
    assert path.read_text() == "product_id,date\nx,31.1.2026\n"
