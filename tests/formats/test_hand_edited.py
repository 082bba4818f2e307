"""Files as people, spreadsheets and editors leave them: what is unambiguous is read, the rest names its line."""

import csv
import io
import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imageset.errors import DataError
from imageset.formats import hand_edited, source_ids

REQUIRED, OPTIONAL = ("product_id", "position", "catalog_id"), ("note", "by", "date")
HEADER = "product_id,position,catalog_id,note,by,date\n"
ROW = {"product_id": "7", "position": "0", "catalog_id": "12", "note": "", "by": "", "date": ""}


@pytest.fixture(autouse=True)
def _no_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: the ids that other tests have read decide how a cell is taken."""
    monkeypatch.setattr(source_ids, "_texts", {})


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("labels.csv")


def read(path: Path, content: str | bytes) -> list[hand_edited.Row]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return hand_edited.read(path, REQUIRED, OPTIONAL)


def refusal(path: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        read(path, content)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "7,0,12,,,\n",
        HEADER + "7,0,12,,,",
        HEADER + "7,0,12\n",
        HEADER + "7,0,12,,,,,\n",
        HEADER + " 7 ,\t0,12 ,,,\n",
        HEADER + "\n7,0,12,,,\n\n,,,,,\n   \n",
        "\n" + HEADER + "7,0,12,,,\n",
        (HEADER + "7,0,12,,,\n").replace("\n", "\r\n"),
        (HEADER + "7,0,12,,,\n").replace("\n", "\r"),
        (HEADER + "7,0,12,,,\n").replace(",", ";"),
        (HEADER + "7,0,12,,,\n").replace(",", "\t"),
        (HEADER + "7,0,12,,,\n").encode("utf-8-sig"),
        '"product_id","position","catalog_id","note","by","date"\n"7","0","12","","",""\n',
        'Product_ID, Position ,CATALOG_ID,note,by,date\n7,0, "12",,,\n',
        "catalog_id,product_id,position\n12,7,0\n",
    ],
)
def test_what_is_unambiguous_is_read(path: Path, content: str | bytes) -> None:
    assert [row.cells for row in read(path, content)] == [ROW]


def test_notes_keep_commas_quotes_and_line_ends_and_rows_their_line(path: Path) -> None:
    rows = read(path, HEADER + '7,0,12,"red, not ""blue""\nsee\r\nphoto 2",é,\n\n8,,13,,,\n')

    assert [row.cells["note"] for row in rows] == ['red, not "blue"\nsee\r\nphoto 2', ""]
    assert [(row.line, row.place) for row in rows] == [(2, "labels.csv line 2"), (6, "labels.csv line 6")]
    assert rows[0].cells["by"] == "é"


def test_the_layout_is_what_a_program_needs_to_add_rows(path: Path) -> None:
    path.write_bytes("\ufeffcatalog_id;product_id;position;note\r\n12;7;0;a\r\n".encode())

    assert hand_edited.read_with_layout(path, REQUIRED, OPTIONAL)[1] == (
        ";",
        ["catalog_id", "product_id", "position", "note"],
        "\r\n",
    )


def test_a_file_with_its_header_alone_has_no_rows(path: Path) -> None:
    assert read(path, HEADER) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "labels.csv is empty: expected the line product_id,position,catalog_id,note,by,date"),
        (",,\n\n", "labels.csv is empty: expected the line product_id,position,catalog_id,note,by,date"),
        (
            "product_id,postion,catalog_id\n",
            "labels.csv line 1: no column is named 'postion'; did you mean 'position'?; the columns are "
            "product_id,position,catalog_id,note,by,date",
        ),
        ("\nproduct_id,position,catalog_id,x\n", "labels.csv line 2: no column is named 'x'; the columns are"),
        ("product_id,,position,catalog_id\n", "labels.csv line 1: no column is named ''"),
        ("product_id,position\n7,0\n", "labels.csv line 1: column catalog_id is missing"),
        ("product_id,position,catalog_id,note,Note\n", "labels.csv line 1: column note is there more than once"),
        (
            HEADER + "7,0,12,red, not blue,me,2026-01-01\n",
            "labels.csv line 2 has more cells than there are columns (6): put quotes around a text with a comma",
        ),
        (HEADER + '7,0,12,"a\n8,0,12,,,\n', 'labels.csv line 2: a quote (") is not closed'),
        (HEADER + '7,0,12,"a"b,,\n', 'labels.csv line 2: a quote (") is not closed, or there is text after it'),
        (
            (HEADER + "\n7,0,12,Größe,,\n").encode("cp1252"),
            'labels.csv line 3 is not UTF-8: save the file as "CSV UTF-8"',
        ),
        ((HEADER + "7,0,12,a,,\n").encode("utf-16"), "labels.csv line 1 is not UTF-8"),
        (HEADER + "7,0,12,\0,,\n", "labels.csv line 2 is no text"),
    ],
)
def test_what_is_ambiguous_is_one_line_with_the_place(path: Path, content: str | bytes, message: str) -> None:
    assert refusal(path, content).startswith(message)


def test_a_file_that_is_missing_is_one_line_with_the_command_that_brings_it_back(path: Path) -> None:
    with pytest.raises(DataError, match=r"^labels\.csv is missing: restore it with `git checkout -- labels\.csv`$"):
        hand_edited.read(path, REQUIRED)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("7.0", 7),
        ("7.", 7),
        ("007", 7),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        (f"{2**53 - 1}.0", 2**53 - 1),
    ],
)
def test_whole_numbers_are_read_as_spreadsheets_write_them(path: Path, text: str, number: int) -> None:
    [row] = read(path, HEADER + f"{text},0,12,,,\n")

    assert hand_edited.whole_number(row, "product_id", 1001) == number


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", ""),
        ("x7", ""),
        ("1.5", ""),
        ('"1,201"', ""),
        ("+7", ""),
        ("\u0667", ""),
        ("1E+15", "; a spreadsheet may have rounded it"),
        ('"1,23457E+15"', "; a spreadsheet may have rounded it"),
        (f"{2**53}.0", "; a spreadsheet may have rounded it"),
        (str(2**63), ""),
    ],
)
def test_other_numbers_are_an_error_with_an_example(path: Path, text: str, hint: str) -> None:
    [row] = read(path, HEADER + f"{text},0,12,,,\n")

    with pytest.raises(DataError) as caught:
        hand_edited.whole_number(row, "product_id", 1001)
    given = text.strip('"')
    expected = f"labels.csv line 2: product_id {given!r}: expected a whole number such as 1001{hint}"
    assert str(caught.value).startswith(expected)
    assert hint or str(caught.value) == expected


@pytest.mark.parametrize(
    ("cell", "its_id"),
    [
        ("7", 7),
        ("7.0", 7),
        (f"{2**53 - 1}.", 2**53 - 1),
        ("0", 0),
        ("007", "007"),
        ("-7", "-7"),
        ("1E15", "1E15"),
        ("SKU-7", "SKU-7"),
        ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
        ("Kleider / Röcke", "Kleider / Röcke"),
        ('"red, ""blue"""', 'red, "blue"'),
        ("<script>", "<script>"),
        ("שמלה", "שמלה"),
        ("=1+1", "=1+1"),
        ("'=1+1", "=1+1"),
        ("''=1+1", "'=1+1"),
        ("'@x", "@x"),
        ("'s-Hertogenbosch", "'s-Hertogenbosch"),
        ("x" * 255, "x" * 255),
    ],
)
def test_ids_are_read_as_the_source_and_as_spreadsheets_write_them(path: Path, cell: str, its_id: int | str) -> None:
    [row] = read(path, HEADER + f"{cell},0,12,,,\n")
    number = hand_edited.source_id(row, "product_id", 1001)

    assert number == source_ids.number(its_id)
    assert source_ids.text(number) == str(its_id)


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # as OWASP lists them


@given(st.text(st.sampled_from("'=+-@\t\r\n\uff1d\uff0b\uff0d\uff20a1.,e "), max_size=6))
def test_no_cell_of_a_text_is_a_formula_numbers_stay_numbers_and_each_is_read_back(text: str) -> None:
    cell = hand_edited.cell_of_text(text)

    assert hand_edited.id_of_cell(cell) == text
    if cell.startswith(FORMULA_STARTS):
        assert float(cell.replace(",", ".")) is not None
        assert cell == text


@pytest.mark.parametrize("text", ["-1", "+1.5", "-1,5", "-1e-9", "7", "red", "", "'", "s-1", "a=b"])
def test_numbers_and_other_texts_are_left_as_they_are(text: str) -> None:
    assert hand_edited.cell_of_text(text) == text


@pytest.mark.parametrize("text", [*FORMULA_STARTS, "-1+2", "+49 170 1", "=1", "-", "@SUM(1)", "'=1", "-1\n"])
def test_texts_that_are_formulas_are_quoted(text: str) -> None:
    assert hand_edited.cell_of_text(text) == f"'{text}"


@given(st.text(st.sampled_from("'=+-@\uff1d\uff0b\uff0d\uff20\"a1,;."), min_size=1, max_size=6))
def test_no_cell_of_an_id_is_a_formula_and_each_is_read_back(its_id: str) -> None:
    number = source_ids.number(its_id)
    cell = hand_edited.cell_of_id(number)

    assert not cell.startswith(FORMULA_STARTS)
    assert hand_edited.source_id(hand_edited.Row(Path("labels.csv"), 2, {"id": cell}), "id", 7) == number


def test_an_id_with_a_point_is_taken_as_it_is_where_the_source_has_it() -> None:
    row = hand_edited.Row(Path("labels.csv"), 2, {"id": "4711.0"})

    assert hand_edited.source_id(row, "id", 7) == 4711
    assert hand_edited.source_id(row, "id", 7) == 4711  # reading the cell is not knowing the id
    known = source_ids.number("4711.0")
    assert hand_edited.source_id(row, "id", 7) == known != 4711


@pytest.mark.parametrize("text", ["", "x" * 256, "a\tb", "1.23457E+15", '"1,23457E+15"', f"{2**53}.0"])
def test_what_is_no_id_or_was_rounded_is_an_error_with_an_example(text: str) -> None:
    row = hand_edited.Row(Path("labels.csv"), 2, {"id": text.strip('"')})

    with pytest.raises(DataError, match=r"^labels\.csv line 2: id '.*': expected an id such as SKU-7") as caught:
        hand_edited.source_id(row, "id", "SKU-7")
    assert ("rounded" in str(caught.value)) == (".0" in text or "E+" in text)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=8).map(
    str.strip
)


@given(
    st.lists(st.tuples(texts, texts, texts), max_size=4),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_program_writes_is_read_as_it_was(
    values: list[tuple[str, str, str]], delimiter: str, line_end: str, mark: str, quoting: Literal[0, 1]
) -> None:
    # Python 3.11 puts no quotes around a line end other than its own. Nobody can read that.
    bare = set("\r\n") - set(line_end)
    assume(quoting == csv.QUOTE_ALL or not any(bare & set(value) for row in values for value in row))
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerow(("position", "note", "product_id"))
    writer.writerows((position, note, f"p{product_id}") for position, note, product_id in values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_bytes((mark + out.getvalue()).encode())
        rows = hand_edited.read(path, ("product_id", "position"), ("note",))

    assert [(row.cells["position"], row.cells["note"], row.cells["product_id"]) for row in rows] == [
        (position, note, f"p{product_id}") for position, note, product_id in values
    ]
    assert [row.line for row in rows] == sorted({row.line for row in rows})


@given(
    st.lists(st.tuples(texts, texts, texts), max_size=4),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_is_appended_is_read_as_it_was_and_all_else_stays(
    values: list[tuple[str, str, str]], delimiter: str, line_end: str, ends: bool
) -> None:
    """Whatever the notes have in them, a carriage return alone included."""
    start = f"note{delimiter}POSITION{delimiter}product_id{line_end}a{delimiter}1{delimiter}7{line_end if ends else ''}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_bytes(start.encode())
        _, layout = hand_edited.read_with_layout(path, ("product_id", "position"), ("note",))
        added = [{"position": position, "note": note, "product_id": f"p{number}"} for position, note, number in values]
        hand_edited.append(path, layout, added)
        cells = [row.cells for row in hand_edited.read(path, ("product_id", "position"), ("note",))]

        assert cells == [{"position": "1", "note": "a", "product_id": "7"}, *added]
        assert path.read_bytes().startswith(start.encode())
