"""corrections/takedowns.csv: the products whose photos are never fetched and never used again, and since when."""

import datetime
import re
from collections.abc import Collection
from pathlib import Path

from imageset.errors import DataError
from imageset.formats import hand_edited, source_ids

COLUMNS = ("product_id", "date")
EXAMPLE = 1234567


def read(path: Path) -> frozenset[int]:
    """Return the ids of the products that were taken down.

    A cell "7.0" or "007" takes down both 7, which spreadsheets and people write so, and the product that the source
    calls so: nobody sees that a takedown names no product.

    Raises:
        DataError: the file is missing, or a line is wrong: the message has its number.
    """
    found = set()
    for row in hand_edited.read(path, COLUMNS):
        its_id = hand_edited.id_of_cell(row.cells["product_id"])
        found |= {check(row), source_ids.number(its_id)}
        if re.fullmatch("0[0-9]+", its_id):
            found.add(source_ids.number(its_id.lstrip("0") or "0"))
    return frozenset(found)


def check(row: hand_edited.Row) -> int:
    """Return the number of a row's product. Raises DataError for a wrong id, and for what is no date.

    A product may be there twice: two branches that each took it down merge without a conflict.
    """
    product_id = hand_edited.source_id(row, "product_id", EXAMPLE)
    date = row.cells["date"]
    try:
        if datetime.date.fromisoformat(date).isoformat() != date:
            raise ValueError
    except ValueError:
        raise DataError(f"{row.place}: date {date!r}: expected YYYY-MM-DD, such as 2026-01-31") from None
    return product_id


def add(path: Path, product_ids: Collection[int], date: datetime.date) -> list[int]:
    """Append a line for each product that the file does not name yet, atomically, and return these products.

    Raises:
        DataError: the file is missing, or a line is wrong.
    """
    rows, layout = hand_edited.read_with_layout(path, COLUMNS)
    known = set(map(check, rows))
    added = [product_id for product_id in dict.fromkeys(product_ids) if product_id not in known]
    if added:
        new = [{"product_id": hand_edited.cell_of_id(number), "date": date.isoformat()} for number in added]
        hand_edited.append(path, layout, new)
    return added
