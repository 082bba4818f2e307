"""CSV files that people edit by hand: what is unambiguous is accepted, all else is an error with its line.

Spreadsheets and editors change more than the cells. They write a byte-order mark, other line ends, semicolons or tabs
between the cells, rows of empty cells, blanks around values, and 7.0 for 7. None of these changes what a row says.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from imageset.errors import DataError
from imageset.formats import source_ids
from imageset.formats.source_ids import LARGEST_EXACT_FLOAT, WHOLE_NUMBER
from imageset.runtime import files
from imageset.runtime.params import suggestion

DELIMITERS = ",;\t"
# What a spreadsheet takes for a formula, or passes over before one; full-width forms are the last four. A cell that
# begins so gets a ' in front, in all tables that are made for people. One that has such a ' already gets another one,
# so that it comes back as it was.
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?([eE][+-]?[0-9]+)?")


class Row(NamedTuple):
    """A row that a person wrote: the file, the line on which it starts (from 1), and its cells by column."""

    path: Path
    line: int
    cells: dict[str, str]

    @property
    def place(self) -> str:
        """The row's place, as the start of a message: "corrections/labels.csv line 3"."""
        return f"{self.path} line {self.line}"


class Layout(NamedTuple):
    """How a file is written: what is between the cells, the columns in their order, the end of a line."""

    delimiter: str
    columns: list[str]
    line_end: str


def read(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """Return the rows of a CSV file that people edit; rows without any value are left out.

    Columns may come in any order, in capitals too. Values are without the blanks around them. Optional columns that the
    file lacks are "" in every row.

    Args:
        path: the file, UTF-8 with or without a byte-order mark.
        required: the columns that the file has to have.
        optional: the columns that it may have.

    Returns:
        The rows in the file's order. Their cells have all columns, the required ones first.

    Raises:
        DataError: the file is no such table. The message names file and line, what was expected, and the nearest name.
    """
    return read_with_layout(path, required, optional)[0]


def read_with_layout(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[list[Row], Layout]:
    """Return the rows as `read` does, and how the file is written, for a program that adds rows to it."""
    text = decode(path)
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines, 1) if line.strip(" \t,;")), None)
    if first is None:
        raise DataError(f"{path} is empty: expected the line {','.join([*required, *optional])}")
    delimiter = max(DELIMITERS, key=lines[first - 1].count)
    rows: list[Row] = []
    columns: list[str] = []
    for line, values in numbered_rows(path, text, delimiter):
        if not any(values):
            continue
        if not columns:
            columns = check_columns(path, line, values, required, optional)
        else:
            rows.append(Row(path, line, as_cells(path, line, values, columns, [*required, *optional])))
    return rows, Layout(delimiter, columns, "\r\n" if "\r\n" in text else "\n")


def append(path: Path, layout: Layout, rows: Iterable[Mapping[str, str]]) -> None:
    """Add rows at the end of a file as it is written, atomically. All else in it stays as it is.

    Args:
        path: the file.
        layout: how it is written, from `read_with_layout`.
        rows: cells by column. Columns that a row lacks are empty.
    """
    new = [format_row([row.get(column, "") for column in layout.columns], layout.delimiter) for row in rows]
    content = path.read_bytes()
    end = "" if content.endswith((b"\n", b"\r")) else layout.line_end
    files.write_bytes(path, content + (end + "".join(line + layout.line_end for line in new)).encode())


def format_row(cells: Iterable[object], delimiter: str = ",") -> str:
    """Return a row as `read` takes it, without a line end.

    Before Python 3.12 the csv module leaves a carriage return without quotes where lines end with "\\n".
    """
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n")


def decode(path: Path) -> str:
    """Return the text of a file. Raises DataError for one that is missing or not UTF-8."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing: restore it with `git checkout -- {path}`") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f'{path} line {line} is not UTF-8: save the file as "CSV UTF-8"') from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f'{path} line {line} is no text: save the file as "CSV UTF-8"')
    return text


def numbered_rows(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the line on which each row starts, and its values without the blanks around them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    found: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for values in reader:
            found.append((line, [value.strip() for value in values]))
            line = reader.line_num + 1
    except csv.Error as error:
        hint = 'a quote (") is not closed, or there is text after it'
        raise DataError(f"{path} line {line}: {hint}; write a quote within quotes twice ({error})") from None
    return found


def check_columns(
    path: Path, line: int, names: list[str], required: Sequence[str], optional: Sequence[str]
) -> list[str]:
    """Return the columns of the header. Raises DataError unless each is known and there once."""
    expected = [*required, *optional]
    while names and not names[-1]:
        names.pop()
    columns = [name.casefold() for name in names]
    for name, column in zip(names, columns, strict=True):
        if column not in expected:
            raise DataError(
                f"{path} line {line}: no column is named {name!r}{suggestion(column, expected)}; "
                f"the columns are {','.join(expected)}"
            )
        if columns.count(column) > 1:
            raise DataError(f"{path} line {line}: column {column} is there more than once: remove one")
    missing = [column for column in required if column not in columns]
    if missing:
        raise DataError(f"{path} line {line}: column {missing[0]} is missing; the columns are {','.join(expected)}")
    return columns


def as_cells(path: Path, line: int, values: list[str], columns: list[str], expected: list[str]) -> dict[str, str]:
    """Return a row's values by column. Cells that are missing at its end are empty."""
    if any(values[len(columns) :]):
        raise DataError(
            f"{path} line {line} has more cells than there are columns ({len(columns)}): "
            'put quotes around a text with a comma, such as "red, not blue"'
        )
    given = dict(zip(columns, values, strict=False))
    return {column: given.get(column, "") for column in expected}


def whole_number(row: Row, column: str, example: int) -> int:
    """Return the integer in a cell: "7", and "7.0" as spreadsheets write it.

    Raises:
        DataError: it is no 64-bit integer, or a spreadsheet may have rounded it.
    """
    text = row.cells[column]
    found = re.fullmatch(r"(-?[0-9]{1,19})(\.0*)?", text)
    if found and -(2**63) <= int(found[1]) < 2**63 and (not found[2] or abs(int(found[1])) <= LARGEST_EXACT_FLOAT):
        return int(found[1])
    is_rounded = (found and found[2]) or re.fullmatch(r"-?[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+", text)
    hint = "; a spreadsheet may have rounded it: format the column as text" if is_rounded else ""
    raise DataError(f"{row.place}: {column} {text!r}: expected a whole number such as {example}{hint}")


def source_id(row: Row, column: str, example: object) -> int:
    """Return the number of the id in a cell, which has the source's id, such as "7", "AB-7" or a UUID.

    "7.0" is 7, as spreadsheets write it, and "'=7" is "=7". An id that this process has read elsewhere is taken as it
    is.

    Raises:
        DataError: it is no id, or a spreadsheet may have rounded it.
    """
    text = row.cells[column]
    spelt = id_of_cell(text)
    number = source_ids.hash_text(spelt)
    if source_ids.text(number) == spelt:
        return number
    found = re.fullmatch(rf"({WHOLE_NUMBER})\.0*", spelt)
    if found and int(found[1]) <= LARGEST_EXACT_FLOAT:
        return int(found[1])
    if found or re.fullmatch(r"-?[0-9]+([.,][0-9]+)?[eE]\+[0-9]+", spelt):
        hint = "a spreadsheet may have rounded it: format the column as text"
        raise DataError(f"{row.place}: {column} {text!r}: expected an id such as {example}; {hint}")
    try:
        return source_ids.number(spelt)
    except ValueError:
        raise DataError(f"{row.place}: {column} {text!r}: expected an id such as {example}") from None


def id_of_cell(text: str) -> str:
    """Return the id, or another text, in a cell of a table that was made for people.

    >>> id_of_cell("'=1+1"), id_of_cell("''=1+1"), id_of_cell("'s-1")
    ('=1+1', "'=1+1", "'s-1")
    """
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def cell_of_id(number: int) -> str:
    """Return the source's id that has a number, as a cell that no spreadsheet takes for a formula."""
    text = source_ids.text(number)
    return f"'{text}" if FORMULA.match(text) else text


def cell_of_text(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula. Numbers stay numbers.

    >>> cell_of_text("=1+1"), cell_of_text("-1.5"), cell_of_text("red")
    ("'=1+1", '-1.5', 'red')
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text
