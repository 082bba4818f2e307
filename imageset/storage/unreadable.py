"""Values that Python has no type for, such as a date after the year 9999: which row has the first one.

Drivers raise while they fetch and do not say where. So the query runs again with a reader that marks such values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from imageset.errors import DataError

POSTGRESQL_DATES = {"PYDATE": 1082, "PYDATETIME": 1114, "PYDATETIMETZ": 1184}  # readers of psycopg2, and their types


@dataclass(frozen=True)
class Unreadable:
    """A value that cannot be read. text: as the database writes it. remedy: what to write in its place."""

    text: str
    remedy: str


def date(text: str) -> Unreadable:
    return Unreadable(
        text,
        "years 1 to 9999 can be read. Leave the row out in the query, or return NULL or another date in its place",
    )


def name_the_first(connection: sqlalchemy.Connection, query: Path, run: Callable[[], Any]) -> None:
    """Run the query again and raise DataError for the first value that cannot be read; return if none is found.

    The message names the file, the column, and the row by its first column.
    """
    mark = MARKERS.get((connection.dialect.name, connection.dialect.driver))
    if mark is None:
        return
    mark(connection.connection.dbapi_connection)
    try:
        result = run()
        names = list(result.keys())
        for row in result:
            for name, value in zip(names, row, strict=True):
                if isinstance(value, Unreadable):
                    where = f"{query}: column {name} of {names[0]} {row[0]}" if name != names[0] else f"{query}: {name}"
                    raise DataError(f"{where} is {value.text}, which cannot be read: {value.remedy}")
    except (DBAPIError, ValueError, OverflowError):
        return


def mark_postgresql(connection: Any) -> None:
    from psycopg2 import extensions

    for name, oid in POSTGRESQL_DATES.items():
        reader = getattr(extensions, name)
        extensions.register_type(extensions.new_type((oid,), f"MARKED_{name}", marking(reader)), connection)


def marking(reader: Callable[[str | None, Any], Any]) -> Callable[[str | None, Any], Any]:
    def read(text: str | None, cursor: Any) -> Any:
        try:
            return reader(text, cursor)
        except (ValueError, OverflowError):
            return date(str(text))

    return read


def mark_sqlite(connection: Any) -> None:
    connection.text_factory = decode


def decode(content: bytes) -> str | Unreadable:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Unreadable(
            repr(content), "it is not UTF-8. Correct it in the database, or leave the row out in the query"
        )


def mark_duckdb(connection: Any) -> None:
    connection.marks = True


MARKERS: dict[tuple[str, str], Callable[[Any], None]] = {
    ("postgresql", "psycopg2"): mark_postgresql,
    ("sqlite", "pysqlite"): mark_sqlite,
    ("duckdb", "duckdb"): mark_duckdb,
}
