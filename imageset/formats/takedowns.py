"""corrections/takedowns.csv: the products whose photos are never fetched and never used again, and since when.

People edit the file and git merges it, so each message names the line. Lines may end in "\\r\\n", and a byte order mark
may come first: editors leave both.
"""

import csv
import datetime
import io
from collections.abc import Collection
from pathlib import Path

from imageset.errors import DataError
from imageset.formats import tables
from imageset.runtime import files

COLUMNS = ["product_id", "date"]
EXAMPLE = "1234567,2026-01-31"


def read(path: Path) -> frozenset[int]:
    """Return the ids of the products that were taken down.

    Raises:
        DataError: the file is missing, or a line is wrong: the message has its number.
    """
    return frozenset(parse(path, read_text(path)))


def read_text(path: Path) -> str:
    """Return the file's text without a byte order mark, its line ends as they are."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} is missing: restore it with `git checkout -- {path}`") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None


def parse(path: Path, text: str) -> dict[int, str]:
    """Return the date of each product's takedown, by id, in the order of the file. `path` is for messages."""
    dates: dict[int, str] = {}
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        if next(rows, []) != COLUMNS:
            raise DataError(f"{path} line 1: expected the header {','.join(COLUMNS)}")
        for row in rows:
            if row:
                product_id, date = parse_row(path, rows.line_num, row)
                if product_id in dates:
                    raise DataError(f"{path} line {rows.line_num}: product {product_id} is there twice: remove a line")
                dates[product_id] = date
    except csv.Error as error:
        raise DataError(f"{path} line {rows.line_num}: {error}: expected a line such as {EXAMPLE}") from None
    return dates


def parse_row(path: Path, line: int, row: list[str]) -> tuple[int, str]:
    """Return a row's product id and date. Raises DataError that names the line."""
    where = f"{path} line {line}"
    if len(row) != len(COLUMNS):
        raise DataError(f"{where} has {len(row)} values: expected a product_id and a date, such as {EXAMPLE}")
    product_id, date = row
    try:
        number = tables.whole_number(product_id)
        if number < 0:
            raise ValueError
    except ValueError:
        raise DataError(f"{where}: product_id {product_id!r} is no product's id: expected such as {EXAMPLE}") from None
    try:
        if datetime.date.fromisoformat(date).isoformat() != date:
            raise ValueError
    except ValueError:
        raise DataError(f"{where}: date {date!r} is not YYYY-MM-DD: expected such as {EXAMPLE}") from None
    return number, date


def add(path: Path, product_ids: Collection[int], date: datetime.date) -> list[int]:
    """Append a line for each product that the file does not name yet, atomically, and return these products.

    Raises:
        DataError: the file is missing, or a line is wrong.
    """
    text = read_text(path)
    known = parse(path, text)
    added = [product_id for product_id in dict.fromkeys(product_ids) if product_id not in known]
    if added:
        end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
        lines = [f"{product_id},{date.isoformat()}" for product_id in added]
        files.write_text(path, end.join([text.rstrip("\r\n"), *lines, ""]))
    return added
