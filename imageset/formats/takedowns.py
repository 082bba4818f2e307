"""corrections/takedowns.csv: the products whose photos are never fetched and never used again, and since when."""

import datetime
from collections.abc import Collection
from pathlib import Path

from imageset.errors import DataError
from imageset.formats import hand_edited
from imageset.runtime import files

COLUMNS = ("product_id", "date")
EXAMPLE = 1234567


def read(path: Path) -> frozenset[int]:
    """Return the ids of the products that were taken down.

    Raises:
        DataError: the file is missing, or a line is wrong: the message has its number.
    """
    return frozenset(check(hand_edited.read(path, COLUMNS)))


def check(rows: Collection[hand_edited.Row]) -> list[int]:
    """Return the id of each row. Raises DataError for a wrong or repeated one, and for what is no date."""
    lines: dict[int, int] = {}
    for row in rows:
        product_id = hand_edited.whole_number(row, "product_id", EXAMPLE)
        if product_id < 0:
            raise DataError(f"{row.place}: product_id {product_id}: expected a whole number such as {EXAMPLE}")
        if (before := lines.setdefault(product_id, row.line)) != row.line:
            raise DataError(f"{row.place}: product {product_id} is on line {before} already: remove one of the two")
        check_date(row)
    return list(lines)


def check_date(row: hand_edited.Row) -> None:
    date = row.cells["date"]
    try:
        if datetime.date.fromisoformat(date).isoformat() != date:
            raise ValueError
    except ValueError:
        raise DataError(f"{row.place}: date {date!r}: expected YYYY-MM-DD, such as 2026-01-31") from None


def add(path: Path, product_ids: Collection[int], date: datetime.date) -> list[int]:
    """Append a line for each product that the file does not name yet, atomically, and return these products.

    Raises:
        DataError: the file is missing, or a line is wrong.
    """
    rows, layout = hand_edited.read_with_layout(path, COLUMNS)
    known = set(check(rows))
    added = [product_id for product_id in dict.fromkeys(product_ids) if product_id not in known]
    if added:
        values = [{"product_id": str(product_id), "date": date.isoformat()} for product_id in added]
        lines = [layout.delimiter.join(row[column] for column in layout.columns) for row in values]
        files.write_text(path, layout.line_end.join([hand_edited.decode(path).rstrip("\r\n"), *lines, ""]))
    return added
