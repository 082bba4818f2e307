"""Tables: what is written is read back; the same rows are the same bytes; anything else is refused."""

import codecs
import csv
import io
import os
import random
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageset.errors import DataError
from imageset.formats import source_ids, tables
from imageset.formats.tables import Table
from tests.project import ROOT
from tests.samples import examples

SHOP = Table({"product_id": "int64", "name": "string", "parent_id": "Int64"}, ("product_id",))
VISITS = Table({"name": "string", "parent_id": "Int64"}, ("name", "parent_id"), unique=False)

ENDS_IN_TEXT = Table({"product_id": "int64", "parent_id": "Int64", "name": "string"}, ("product_id",))
BEGINS_WITH_TEXT = Table({"name": "string", "product_id": "int64", "parent_id": "Int64"}, ("product_id",))

ITEMS = Table({"product_id": "id", "parent_id": "Id", "name": "string"}, ("product_id",))

INT64 = st.integers(-(2**63), 2**63 - 1)
# Every character that UTF-8 can hold, the troublesome ones often.
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\t\0\",'\\ #\ufeff\x1a\u2028"))
SHOP_ROWS = st.lists(st.tuples(INT64, TEXT, st.none() | INT64), max_size=8, unique_by=lambda row: row[0])

Row = tuple[Any, ...]
few = settings(max_examples=examples(40), deadline=None)  # each one writes to the disk


def write(path: Path, rows: list[Row], table: Table = SHOP) -> bytes:
    tables.write(path, table, tables.frame(table, rows))
    return path.read_bytes()


def write_in_turn(path: Path, rows: list[Row], table: Table = SHOP) -> bytes:
    with tables.writing(path, table) as add:
        for row in rows:
            add(row)
    return path.read_bytes()


def scan(path: Path, table: Table = SHOP) -> list[Row]:
    """Return what is scanned, None for what is missing."""
    return [tuple(None if value is pd.NA else value for value in row) for row in tables.scan(path, table)]


def read(path: Path, table: Table = SHOP) -> list[Row]:
    """Return a table's rows, None for what is missing."""
    content = tables.read(path, table).astype(object)
    return list(content.where(content.notna(), None).itertuples(index=False, name=None))


@few
@given(SHOP_ROWS, st.randoms(use_true_random=False))
def test_rows_come_back_sorted_and_their_order_leaves_no_trace(rows: list[Row], shuffled: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        content = write(path, rows)

        assert read(path) == sorted(rows)

        shuffled.shuffle(rows)

        assert write(path, rows) == content


@few
@given(SHOP_ROWS)
def test_other_programs_read_the_same_cells(rows: list[Row]) -> None:
    """A text with a carriage return, a quote or a NUL stays one cell of one row, for a strict reader of CSV too."""
    with tempfile.TemporaryDirectory() as folder:
        content = write(Path(folder) / "table.csv", rows).decode()
        found = list(csv.reader(io.StringIO(content, newline=""), strict=True))

        assert found[1:] == [["" if value is None else str(value) for value in row] for row in sorted(rows)]
        assert write_in_turn(Path(folder) / "other.csv", sorted(rows)).decode() == content


def test_texts_are_the_same_bytes_with_any_python(tmp_path: Path) -> None:
    """Python 3.11.9 and later quote a carriage return, earlier ones did not."""
    texts = ["red\rblue", "red\nblue", "\r", "\ufefftext", 'say "a"', "a,b", "a;b\t", " a ", "a\0b", "'a'", ""]
    content = write(tmp_path / "table.csv", [(number, text, None) for number, text in enumerate(texts)])

    assert content.decode() == (
        'product_id,name,parent_id\n0,"red\rblue",\n1,"red\nblue",\n2,"\r",\n3,\ufefftext,\n4,"say ""a""",\n5,"a,b",\n'
        "6,a;b\t,\n7, a ,\n8,a\0b,\n9,'a',\n10,,\n"
    )


@few
@given(SHOP_ROWS)
def test_what_was_read_is_written_as_the_same_bytes(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        content = write(path, rows)
        tables.write(path, SHOP, tables.read(path, SHOP))

        assert path.read_bytes() == content


def test_the_bytes_are_canonical(tmp_path: Path) -> None:
    rows = [(10, "a,b", None), (9, "é", 2**63 - 1), (-1, "", 0), (2, 'say "x"', None)]

    assert write(tmp_path / "table.csv", rows).decode() == (
        'product_id,name,parent_id\n-1,,0\n2,"say ""x""",\n9,é,9223372036854775807\n10,"a,b",\n'
    )


def test_rows_of_equal_names_are_kept_and_sorted_by_what_follows(tmp_path: Path) -> None:
    rows = [("b", 2), ("a", 10), ("a", None), ("a", 9), ("b", 2), ("B", 1)]
    write(tmp_path / "table.csv", rows, VISITS)

    assert read(tmp_path / "table.csv", VISITS) == [("B", 1), ("a", None), ("a", 9), ("a", 10), ("b", 2), ("b", 2)]


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    assert write(tmp_path / "table.csv", []) == b"product_id,name,parent_id\n"
    assert read(tmp_path / "table.csv") == []


def test_columns_beyond_the_table_are_left_out(tmp_path: Path) -> None:
    wide = tables.frame(SHOP, [(1, "a", 2)]).assign(extra=5)[["extra", "parent_id", "name", "product_id"]]
    tables.write(tmp_path / "table.csv", SHOP, wide)

    assert read(tmp_path / "table.csv") == [(1, "a", 2)]


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
    ],
)
def test_locale_time_zone_and_hash_seed_change_no_byte(environment: dict[str, str], tmp_path: Path) -> None:
    rows = [(3, "İstanbul", None), (1, "i", 4), (2, "Ärmel", 5)]
    code = (
        "from pathlib import Path; from imageset.formats import tables; from imageset.formats.tables import Table; "
        f"table = {SHOP!r}; tables.write(Path('there.csv'), table, tables.frame(table, {rows!a}))"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment
    )

    assert (tmp_path / "there.csv").read_bytes() == write(tmp_path / "here.csv", rows)


def test_a_repeated_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"table\.csv: product_id 7 is there more than once"):
        write(tmp_path / "table.csv", [(7, "a", None), (8, "b", None), (7, "c", None)])

    assert list(tmp_path.iterdir()) == []


def test_a_repeated_key_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("product_id,name,parent_id\n7,a,\n7,b,\n")

    with pytest.raises(DataError, match=r"table\.csv: product_id 7 is there more than once"):
        read(tmp_path / "table.csv")


def test_some_columns_are_read_and_the_key_is_still_unique(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write(path, [(7, "a", 3), (8, "b", None)])
    name_alone = tables.read(path, SHOP, ["name"])

    assert list(name_alone) == ["product_id", "name"]
    assert name_alone["name"].tolist() == ["a", "b"]
    assert list(tables.read(path, SHOP, [])) == ["product_id"]

    path.write_text("product_id,name,parent_id\n7,a,1\n7,b,2\n")
    with pytest.raises(DataError, match="product_id 7 is there more than once"):
        tables.read(path, SHOP, ["name"])

    path.write_text("product_id,name\n7,a\n")
    with pytest.raises(DataError, match="expected product_id, name, parent_id"):
        tables.read(path, SHOP, ["name"])


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        Decimal("1.5"),
        float("inf"),
        "1.0",
        "1_0",
        " 1",
        "\uff11",
        "+1",
        "007",
        "-0",
        "x",
        2**63,
        -(2**63) - 1,
        "9223372036854775808",
    ],
)
@pytest.mark.parametrize("column", ["product_id", "parent_id"])
def test_no_number_is_rounded_wrapped_or_guessed(value: Any, column: str) -> None:
    with pytest.raises(DataError, match=f"column {column}: "):
        tables.frame(SHOP, [{"product_id": 1, "name": "a", "parent_id": 2} | {column: value}])


@pytest.mark.parametrize("value", [3, 3.0, Decimal(3), "3"])
def test_a_whole_number_of_any_type_is_that_number(value: Any, tmp_path: Path) -> None:
    write(tmp_path / "table.csv", [(value, "a", value)])

    assert read(tmp_path / "table.csv") == [(3, "a", 3)]


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_only_some_columns_may_miss_a_number(missing: Any) -> None:
    assert tables.frame(SHOP, [(1, "a", missing)])["parent_id"].isna().all()

    with pytest.raises(DataError, match="column product_id"):
        tables.frame(SHOP, [(missing, "a", 2)])


def test_a_missing_number_does_not_round_its_neighbours() -> None:
    beyond_floats = 2**53 + 1

    assert tables.frame(SHOP, [(1, "a", None), (2, "b", beyond_floats)])["parent_id"][1] == beyond_floats


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a table"),
        (b"\xff\xfe\n", "is not a table"),
        (b"product_id,name,parent_id\n1,a\xff,2\n", "is not a table"),
        (b"product_id,name,parent_id\n1,a,2\n1,2,3,4\n", "is not a table"),
        (b"product_id,name\n1,a\n", "has columns product_id, name; expected product_id, name, parent_id"),
        (b"name,product_id,parent_id\na,1,2\n", "has columns name, product_id, parent_id; expected"),
        (b"product_id,name,parent_id\nx,a,2\n", "column product_id"),
        (b"product_id,name,parent_id\n1,a,2.0\n", "column parent_id"),
        (b"product_id,name,parent_id\n,a,2\n", "column product_id"),
    ],
)
def test_a_file_that_is_not_the_table_is_refused_by_name(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)

    assert str(path) in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def with_windows_ends(content: bytes) -> bytes:
    """Return a table's bytes as an editor of Windows would save them: what stands inside quotes is left alone."""
    pieces = content.split(b'"')  # every other one stands inside quotes
    return b'"'.join(piece if number % 2 else piece.replace(b"\n", b"\r\n") for number, piece in enumerate(pieces))


@few
@given(SHOP_ROWS, st.sampled_from([b"", codecs.BOM_UTF8]), st.integers(1, 4))
def test_other_line_ends_and_a_byte_order_mark_are_read_all_the_same(
    rows: list[Row], mark: bytes, at_once: int
) -> None:
    reordered = [(name, number, parent) for number, name, parent in sorted(rows)]
    rows = [(number, parent, name) for number, name, parent in sorted(rows)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        path = Path(folder) / "table.csv"
        for table, its_rows in ((ENDS_IN_TEXT, rows), (BEGINS_WITH_TEXT, reordered)):
            path.write_bytes(mark + with_windows_ends(write(path, its_rows, table)))
            with monkeypatch.context() as patch:
                patch.setattr(tables, "ROWS_AT_ONCE", at_once)

                assert read(path, table) == its_rows
                assert scan(path, table) == its_rows


@pytest.mark.parametrize(
    "content",
    [
        b"product_id,position,subset\r\n1,0,train\r\n2,0,test\r\n",
        b"\xef\xbb\xbfproduct_id,position,subset\n1,0,train\n2,0,test\n",
        b"\xef\xbb\xbfproduct_id,position,subset\r\n1,0,train\r\n2,0,test\r\n",
        b"product_id,position,subset\r\n1,0,train\n2,0,test\r\n",
        b"product_id,position,subset\r\n1,0,train\r\n2,0,test",
        b"product_id,position,subset\r\n\r\n1,0,train\r\n2,0,test\r\n\r\n",
        b'"product_id","position","subset"\r\n"1","0","train"\r\n"2","0","test"\r\n',
    ],
)
def test_a_split_that_was_edited_elsewhere_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_bytes(content)

    assert read(tmp_path / "split.csv", tables.SPLIT) == [(1, 0, "train"), (2, 0, "test")]


def test_a_carriage_return_that_is_text_stays() -> None:
    content = 'label,catalog_id,name\r\n0,5,"a\r\nb"\r\n1,6,"c\r"\r\n2,7,d\re\r\r\n'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "label_map.csv"
        path.write_bytes(content.encode())

        assert read(path, tables.LABEL_MAP) == [(0, 5, "a\r\nb"), (1, 6, "c\r"), (2, 7, "d\re\r")]


@pytest.mark.parametrize(
    "content",
    [
        b"product_id,position\r\n1,0\r\n",
        b"product_id,position,subset\r\n1,0,train,7\r\n",
        b"product_id,position,subset\r\n1\r1,0,train\r\n",
        b"product_id,position,subset\r\n1\r\n",
        b"product_id,position,subset\r1,0,train\r",
    ],
)
def test_what_is_wrong_with_other_line_ends_is_refused_too(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_bytes(content)

    with pytest.raises(DataError, match=r"split\.csv"):
        read(tmp_path / "split.csv", tables.SPLIT)


@pytest.mark.parametrize("count", range(8))
def test_rows_are_the_same_however_many_are_read_at_once(
    count: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [(number, "", 2**53 + 1 if number == 4 else None) for number in range(count)]
    write(tmp_path / "table.csv", rows)
    whole = tables.read(tmp_path / "table.csv", SHOP)
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 3)

    assert read(tmp_path / "table.csv") == rows
    pd.testing.assert_frame_equal(tables.read(tmp_path / "table.csv", SHOP), whole)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x,a,", "column product_id: invalid literal"),
        ("8,a,2.0", "column parent_id: invalid literal"),
        ("8,a,b,c", "is not a table"),
        ("0,a,", "product_id 0 is there more than once"),
    ],
)
def test_a_fault_far_down_in_a_file_is_found(
    line: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 3)
    path = tmp_path / "table.csv"
    path.write_text("product_id,name,parent_id\n" + "".join(f"{number},a,\n" for number in range(7)) + f"{line}\n")

    with pytest.raises(DataError, match=f"table.csv:? .*{problem}"):
        read(path)


def test_a_table_that_has_its_types_is_written_as_it_is_and_left_alone(tmp_path: Path) -> None:
    typed = tables.frame(SHOP, [(2, "b", None), (1, "a", 2**53 + 1)])
    before = typed.copy(deep=True)
    tables.write(tmp_path / "table.csv", SHOP, typed)

    assert read(tmp_path / "table.csv") == [(1, "a", 2**53 + 1), (2, "b", None)]
    pd.testing.assert_frame_equal(typed, before)


@few
@given(SHOP_ROWS, st.integers(1, 4))
def test_rows_written_in_turn_are_the_same_bytes_and_are_scanned_as_they_were(rows: list[Row], at_once: int) -> None:
    rows.sort()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        path = Path(folder) / "table.csv"
        content = write(path, rows)
        monkeypatch.setattr(tables, "ROWS_AT_ONCE", at_once)

        assert write_in_turn(path, rows) == content
        assert scan(path) == rows


def test_rows_of_equal_names_are_scanned(tmp_path: Path) -> None:
    rows = [("B", 1), ("a", 9), ("a", 9), ("a", 10), ("b", 2)]
    write(tmp_path / "table.csv", rows, VISITS)

    assert scan(tmp_path / "table.csv", VISITS) == rows


@pytest.mark.parametrize("row", [(5, "a", None), (4, "a", None), (-6, "a", None), (7, "a", 1.5)])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_rows_repeated_out_of_order_or_of_another_type_are_not_written(
    row: Row, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", at_once)
    path = tmp_path / "table.csv"
    path.write_text("old")

    with pytest.raises(DataError):
        write_in_turn(path, [(number, "", None) for number in range(6)] + [row, (10, "", None)])

    assert {left.name: left.read_text() for left in tmp_path.iterdir()} == {"table.csv": "old"}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("x,a,", "column product_id: invalid literal"),
        ("8,a,b,c", "is not a table"),
        ("0,a,", "product_id 0 comes after product_id 6"),
        ("6,a,", "product_id 6 comes after product_id 6"),
        ("6,a,\n7,a,", "comes after"),
    ],
)
def test_a_fault_is_found_when_the_scan_comes_to_it(
    lines: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 3)
    path = tmp_path / "table.csv"
    path.write_text("product_id,name,parent_id\n" + "".join(f"{number},a,\n" for number in range(7)) + f"{lines}\n")
    rows = tables.scan(path, SHOP)

    assert [next(rows)[0] for _ in range(6)] == [0, 1, 2, 3, 4, 5]
    with pytest.raises(DataError, match=f"table.csv:? .*{problem}"):
        list(rows)


@pytest.mark.parametrize("content", [b"", b"name,product_id,parent_id\na,1,2\n", b"product_id,name\n"])
def test_a_file_that_is_not_the_table_is_not_scanned(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"table\.csv"):
        next(tables.scan(path, SHOP))


@pytest.mark.parametrize("count", [0, 1, 9, 200_000])
def test_rows_are_counted(count: int, tmp_path: Path) -> None:
    """The last count is of more than a block of the file."""
    path = tmp_path / "table.csv"
    path.write_text("product_id,name,parent_id\n" + "".join(f"{number},,\n" for number in range(count)))

    assert tables.count(path) == count


# A source's id: a number, or a text without the characters that are refused and without blanks around it.
IDS = (
    st.integers(0, 2**63 - 1).map(str)
    | st.uuids().map(str)
    | st.text(alphabet="aB0-7 ,\"'é/\\", min_size=1).map(str.strip).filter(bool)
)


@few
@given(
    st.lists(st.tuples(IDS, st.none() | IDS, TEXT), max_size=8, unique_by=lambda row: row[0]),
    st.integers(1, 4),
)
def test_ids_of_any_kind_come_back_as_the_source_spells_them(rows: list[Row], at_once: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        path = Path(folder) / "table.csv"
        content = write(path, rows, ITEMS)
        monkeypatch.setattr(tables, "ROWS_AT_ONCE", at_once)
        numbered = scan(path, ITEMS)

        assert [row[0] for row in numbered] == sorted(source_ids.number(row[0]) for row in rows)
        assert {
            (source_ids.text(row[0]), row[1] if row[1] is None else source_ids.text(row[1]), row[2]) for row in numbered
        } == {*rows}
        assert read(path, ITEMS) == numbered
        assert write_in_turn(path, numbered, ITEMS) == content


def test_a_process_that_only_reads_a_table_writes_the_texts_again(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("product_id,parent_id,name\nab-1,007,a\n9,,b\n")
    code = (
        "from pathlib import Path; from imageset.formats import tables; from imageset.formats.tables import Table; "
        f"table = {ITEMS!r}; tables.write(Path('other.csv'), table, tables.read(Path('table.csv'), table))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})

    assert (tmp_path / "other.csv").read_text() == "product_id,parent_id,name\n9,,b\nab-1,007,a\n"


def test_a_message_about_a_key_has_the_id_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"product_id ab-1 is there more than once"):
        write(tmp_path / "table.csv", [("ab-1", None, "a"), ("ab-1", None, "b")], ITEMS)


@pytest.mark.parametrize("value", [None, "", float("nan"), 1.5, True, b"7", "a\x00b", pd.NA])
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="column product_id"):
        tables.frame(ITEMS, [(value, None, "a")])


NAMED_BY_SEVERAL = Table({"product_id": "id", "classes": "ids"}, ("product_id",))


def test_several_ids_of_one_cell_are_numbers_in_memory_and_the_texts_of_the_source_in_the_file(tmp_path: Path) -> None:
    cells = ["", "7", "7 12", 'dresses "Kleider / Röcke"', '"a ""b""" =1+1 007']
    content = write(tmp_path / "table.csv", list(enumerate(cells)), NAMED_BY_SEVERAL)
    in_memory = [cell for _, cell in read(tmp_path / "table.csv", NAMED_BY_SEVERAL)]

    assert content.decode().splitlines()[1:4] == ["0,", "1,7", "2,7 12"]
    assert in_memory[:3] == cells[:3]
    assert in_memory[3] == f"{source_ids.number('dresses')} {source_ids.number('Kleider / Röcke')}"
    assert [source_ids.text(int(number)) for number in in_memory[4].split()] == ['a "b"', "=1+1", "007"]
    assert write(tmp_path / "table.csv", list(enumerate(in_memory)), NAMED_BY_SEVERAL) == content
