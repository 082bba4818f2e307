"""Read the first rows of a query, for seconds at the most, whatever it does."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy

from imageset.errors import DataError, ImagesetError
from imageset.storage import database

MOST_ROWS = 10_000
SECONDS = 3.0


class Sample(NamedTuple):
    """The first rows of a query. columns: their names. complete: whether these are all rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    complete: bool

    def scope(self) -> str:
        """Return how much was read.

        >>> Sample([], [()] * 7, True).scope(), Sample([], [()] * 7, False).scope()
        ('7 rows', 'the first 7 rows')
        """
        return f"{len(self.rows):,} rows" if self.complete else f"the first {len(self.rows):,} rows"


class Reader:
    """Takes rows until there are enough or the time is over."""

    def __init__(self) -> None:
        """Start the time."""
        self.rows: list[tuple[Any, ...]] = []
        self.deadline = time.monotonic() + SECONDS
        self.stopped = False
        self.columns: list[str] = []

    def take(self, result: Iterable[Any]) -> list[tuple[Any, ...]]:
        """Take rows of a result."""
        for row in result:
            if len(self.rows) == MOST_ROWS or time.monotonic() > self.deadline:
                self.stopped = True
                break
            self.rows.append(tuple(row))
        return self.rows


def read(
    query: Path, accept: Callable[[list[str]], object], as_of: str | None, needs_as_of: bool = True
) -> Sample | None:
    """Return the first rows of a query; None where it gave no row in time.

    Args:
        query, accept, as_of, needs_as_of: as those of database.fetch_into, whose `require` is accept.

    Raises:
        ImagesetError: as fetch_into does.
    """
    if not query.is_file():
        raise DataError(f"{query} is not there: write it, or `git checkout -- {query}` brings the shipped one")
    reader = Reader()

    def note(columns: list[str]) -> None:
        reader.columns = columns
        accept(columns)

    try:
        with database.snapshot() as connection, interrupting(connection, reader):
            database.fetch_into(reader.take, connection, query, note, as_of, needs_as_of)
    except ImagesetError:
        if not reader.stopped:
            raise
    if reader.stopped and not reader.rows:
        return None
    return Sample(reader.columns, reader.rows, not reader.stopped)


@contextmanager
def interrupting(connection: sqlalchemy.Connection, reader: Reader) -> Iterator[None]:
    """Interrupt what the connection does when the reader's time is over. Drivers that cannot are waited for."""

    def stop() -> None:
        reader.stopped = True
        database.interrupt(connection)

    timer = threading.Timer(SECONDS, stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # an interrupt that has begun needs the connection
