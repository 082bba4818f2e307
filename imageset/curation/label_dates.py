"""The dates of labels as a database returns them: as text of a table, or refused with the SQL to write; pure."""

import re
from pathlib import Path
from typing import Any

from imageset.errors import DataError
from imageset.formats import dates

# How a query makes a date of text in ISO 8601, of another order of day, month and year, and of digits.
CASTS = {
    "postgresql": ("{}::timestamptz", "to_timestamp({}, 'DD.MM.YYYY')", "{}::numeric"),
    "sqlite": (
        "unixepoch({})",
        "unixepoch(substr({0}, 7, 4) || '-' || substr({0}, 4, 2) || '-' || substr({0}, 1, 2))",
        "CAST({} AS NUMERIC)",
    ),
    "duckdb": ("CAST({} AS timestamptz)", "strptime({}, '%d.%m.%Y')", "CAST({} AS decimal(38, 9))"),
    "mysql": ("CAST({} AS datetime)", "STR_TO_DATE({}, '%d.%m.%Y')", "CAST({} AS decimal(38, 9))"),
}
MONTHS = 12
ANOTHER = ("CAST({} AS timestamp)", "TO_TIMESTAMP({}, 'DD.MM.YYYY')", "CAST({} AS decimal(38, 9))")


def spell(query: Path, dialect: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows with their last value, the date, as the text of a table.

    Args:
        query: the query's file, for messages.
        dialect: SQLAlchemy's name of the database, such as "sqlite": which SQL a message says to write.
        rows: product_id first, date last.

    Raises:
        DataError: as spell_part and refuse.
    """
    first_of: dict[str, tuple[Any, ...]] = {}
    spelt = spell_part(query, rows, first_of)
    refuse(query, dialect, first_of)
    return spelt


def spell_part(query: Path, rows: list[tuple[Any, ...]], first_of: dict[str, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return some of the query's rows with the date as text. Call refuse once all rows were here.

    Args:
        query: the query's file, for messages.
        rows: product_id first, date last.
        first_of: the first row of each kind of date; those of these rows are added.

    Raises:
        DataError: a date is in a year that cannot be written. The message names the row and says what to do.
    """
    spelt: list[tuple[Any, ...]] = []
    for row in rows:
        date = row[-1]
        if date is not None:
            first_of.setdefault("empty" if date == "" else dates.kind_of(date), row)
        try:
            spelt.append((*row[:-1], dates.text_of(date)))
        except OverflowError:
            remedy = "leave the row out in the query, or return NULL or another date in its place"
            raise DataError(f"{describe(query, row)} {date}, not in the years 1 to 9999 in UTC: {remedy}") from None
    return spelt


def refuse(query: Path, dialect: str, first_of: dict[str, tuple[Any, ...]]) -> None:
    """Raise DataError unless the dates are all moments or all numbers.

    Args:
        query, dialect: as those of spell.
        first_of: the first row of each kind of date.

    Raises:
        DataError: a date is text, infinite or of another type, or one row has a moment and another one a number. The
            message names the rows and says what to write.
    """
    if row := first_of.get("text"):
        sql = cast(dialect, row[-1], "NULLIF(date, '')" if "empty" in first_of else "date")
        why = f"the text {row[-1]!r}, which does not sort by time"
        raise DataError(f"{describe(query, row)} {why}: write a cast in the query, such as {sql} AS date")
    if row := first_of.get("empty"):
        raise DataError(f"{describe(query, row)} an empty text: write NULLIF(date, '') AS date in the query")
    if row := first_of.get("other"):
        what = f"{row[-1]} ({type(row[-1]).__name__})"
        raise DataError(f"{describe(query, row)} {what}: return a date, a timestamp, a finite number or NULL")
    if len(first_of) > 1:
        moment, number = first_of["moment"], first_of["number"]
        both = f"the moment {dates.text_of(moment[-1])}, that of product_id {number[0]} is the number {number[-1]}"
        raise DataError(f"{describe(query, moment)} {both}: return one of the two in all rows")


def describe(query: Path, row: tuple[Any, ...]) -> str:
    return f"{query}: column date of product_id {row[0]} is"


def cast(dialect: str, text: str, column: str) -> str:
    """Return the SQL that makes a date of a text.

    >>> cast("postgresql", "31/12/2025", "date")
    "to_timestamp(date, 'DD/MM/YYYY')"
    >>> cast("postgresql", "12/31/2025", "date")
    "to_timestamp(date, 'MM/DD/YYYY')"
    """
    iso, by_pattern, number = CASTS.get("mysql" if dialect == "mariadb" else dialect, ANOTHER)
    if dates.NUMBER.fullmatch(text.strip()):
        return number.format(column)
    if re.match(r"\s*\d{4}-\d\d-\d\d", text):
        return iso.format(column)
    if match := re.match(r"\s*\d{1,2}([/-])(\d{1,2})[/-]\d{4}", text):
        by_pattern = by_pattern.replace(".", match[1])
        if int(match[2]) > MONTHS:
            other = {"DD": "MM", "MM": "DD", "%d": "%m", "%m": "%d", "4, 2": "1, 2", "1, 2": "4, 2"}
            by_pattern = re.sub("|".join(other), lambda part: other[part[0]], by_pattern)
    return by_pattern.format(column)
