"""The database, read only: all queries of a stage see one snapshot, where the database gives one."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from imageset.errors import DataError, ServerError
from imageset.runtime import progress, settings
from imageset.storage import engines, query_text, unreadable
from imageset.storage.silence import Silence

CONNECT_ATTEMPTS = 3
SECONDS_BETWEEN_ATTEMPTS = 1.0
ROWS_AT_ONCE = 10_000
# As PostgreSQL and DuckDB say it, and as SQLite does. In the SQL of all three, double quotes make a name of any word.
SYNTAX_AT_A_WORD = re.compile(r'syntax error at or near "\w+"|near "\w+": syntax error')
RESERVED = "a column may be a reserved word: put it in double quotes"

Taken = TypeVar("Taken")


@contextmanager
def snapshot(attempts: int = CONNECT_ATTEMPTS) -> Iterator[sqlalchemy.Connection]:
    """Yield a connection whose queries cannot change the database. docs/queries.md says which see one state of it.

    Args:
        attempts: how often to try to connect.

    Raises:
        SettingsError: DATABASE_URL is missing or malformed, its driver is not installed, or its file is not there.
        ServerError: the database cannot be reached, or the connection breaks; the message names host and port or the
            file, and never the password.
    """
    url = engines.parse_url(settings.database_url())
    engine = engines.open_engine(url)
    silence = Silence()
    try:
        with silence.limiting(engine), connect_with_retries(engine, url, attempts) as connection:
            connection.info["silence"] = silence
            try:
                engines.begin(connection)
                silence.seconds = settings.database_seconds()
                yield connection
            finally:
                connection.invalidate()  # closes it, and asks a server that may be silent for no rollback
    except DBAPIError as error:
        raise ServerError(f"{engines.describe(url)}: {engines.describe_error(url, error)}") from None
    finally:
        engine.dispose()


def interrupt(connection: sqlalchemy.Connection) -> None:
    """End the query that runs, from another thread, with an error in its own. Drivers that cannot are waited for."""
    connection.info["silence"].stopped = True  # for psycopg2: its own cancel() blocks all threads, perhaps for ever
    if stop := getattr(connection.connection.dbapi_connection, "interrupt", None):  # of SQLite and DuckDB
        stop()


def connect_with_retries(engine: sqlalchemy.Engine, url: sqlalchemy.URL, attempts: int) -> sqlalchemy.Connection:
    with progress.reporting(lambda seconds: f"database: {seconds:.0f} s, connecting to {engines.describe(url)}"):
        return connect(engine, url, attempts)


def connect(engine: sqlalchemy.Engine, url: sqlalchemy.URL, attempts: int) -> sqlalchemy.Connection:
    for attempt in range(1, attempts + 1):
        try:
            return engine.connect()
        except DBAPIError as error:
            if attempt < attempts:
                time.sleep(SECONDS_BETWEEN_ATTEMPTS)
                continue
            if url.get_backend_name() in engines.FILES:
                raise
            said = engines.describe_error(url, error)
            raise ServerError(
                f"{engines.describe(url)}: {said.rstrip(' .')}: correct DATABASE_URL in .env, or start the database"
            ) from None
    raise AssertionError("the last attempt returns or raises")


def fetch_rows(
    connection: sqlalchemy.Connection, query: Path, columns: list[str], as_of: str | None, needs_as_of: bool = True
) -> list[tuple[Any, ...]]:
    """Run the query in a file and return all its rows.

    Args:
        connection: from snapshot.
        query: a file with one SELECT, which may use the parameter :as_of.
        columns: the names that the query's columns must have, in this order.
        as_of: the value of :as_of, a UTC timestamp in ISO 8601, or None for null.
        needs_as_of: whether a query without :as_of is refused when as_of is set: it would ignore it.

    Raises:
        DataError: the query fails, has other columns or is no SELECT, or a value cannot be read.
    """
    return fetch_any_rows(connection, query, require_columns(query, columns), as_of, needs_as_of)


def require_columns(query: Path, columns: list[str]) -> Callable[[list[str]], None]:
    """Return a function that raises DataError for other columns than a query has to return."""

    def require(found: list[str]) -> None:
        if found != columns:
            raise DataError(f"{query} returns columns {', '.join(found)}; expected {', '.join(columns)}")

    return require


def take_all(result: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return all rows of a result."""
    return [tuple(row) for row in result]


class CountedRows:
    """How many rows have come."""

    def __init__(self) -> None:
        self.number = 0

    def count(self, result: Iterable[Any]) -> Iterator[Any]:
        """Yield the rows and count them."""
        for row in result:
            self.number += 1
            yield row

    def __str__(self) -> str:
        return f"{self.number:,} rows" if self.number else "no row yet"


def fetch_any_rows(
    connection: sqlalchemy.Connection,
    query: Path,
    require: Callable[[list[str]], None],
    as_of: str | None,
    needs_as_of: bool = True,
) -> list[tuple[Any, ...]]:
    """Run the query in a file and return all its rows, whatever columns they have. The arguments are fetch_into's."""
    return fetch_into(take_all, connection, query, require, as_of, needs_as_of)


def fetch_into(
    take: Callable[[Iterable[Any]], Taken],
    connection: sqlalchemy.Connection,
    query: Path,
    require: Callable[[list[str]], None],
    as_of: str | None,
    needs_as_of: bool = True,
) -> Taken:
    """Run the query in a file and return what a function makes of its rows, whatever columns they have.

    Args:
        take: called with the rows as they come. It need not take all of them, nor keep them in memory.
        require: called with the columns' names before any row is read. It raises DataError for those that will not do.
        connection, query, as_of, needs_as_of: as those of fetch_rows.

    Raises:
        DataError: as fetch_rows does.
    """
    parsed = read_query(query, connection.dialect.name)
    dialect = connection.dialect
    if as_of and needs_as_of and not parsed.has_as_of:
        raise DataError(
            f"{query} does not use :as_of, but source.as_of is {as_of}: set source.as_of to null, or leave out later "
            f"rows, such as by {engines.as_of_condition(dialect.name)}"
        )
    text, parameters = parsed.render(dialect.paramstyle, engines.as_of_value(dialect.name, as_of))
    url = connection.engine.url
    connection.info["silence"].doing = f"{query} ran"

    def run() -> sqlalchemy.CursorResult[Any]:
        # Without parameters, drivers take a percent sign as it is.
        options = {"yield_per": ROWS_AT_ONCE, "no_parameters": not parsed.has_as_of}
        return connection.exec_driver_sql(text, parameters, execution_options=options)

    rows = CountedRows()
    try:
        with progress.reporting(lambda seconds: f"{query}: {seconds:.0f} s, {rows} from {engines.describe(url)}"):
            result = run()
            require(list(result.keys()))
            return take(rows.count(result))
    except ResourceClosedError:
        raise DataError(f"{query} is not a query that returns rows: write one SELECT") from None
    except (DBAPIError, ValueError, OverflowError) as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise  # the connection broke: snapshot names the server
        if not isinstance(error, DBAPIError) or "decode" in str(error.orig):
            unreadable.name_the_first(connection, query, run)
        raise DataError(f"{query}{describe_failure(connection, error, text)}") from None


def read_query(query: Path, dialect: str) -> query_text.Query:
    """Return the query in a file. Raises DataError for what no database would take, or would misunderstand."""
    try:
        parsed = query_text.parse(query.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{query} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}: save it as UTF-8"
        ) from None
    except DataError as error:
        raise DataError(f"{query} {error}") from None
    if dialect == "sqlite" and parsed.casts_as_of_to_a_date:
        raise DataError(
            f"{query} casts :as_of to a date or a timestamp. SQLite has none, and makes the number 2026 of it: write "
            "unixepoch(date) <= unixepoch(:as_of)"
        )
    return parsed


def describe_failure(connection: sqlalchemy.Connection, error: Exception, sql: str) -> str:
    """Return what comes after the query's name: the line, where the driver tells, its message, the database, and what
    a syntax error at a word may come from."""
    url = connection.engine.url
    if not isinstance(error, DBAPIError):
        return f": a value cannot be read: {error} ({engines.describe(url)})"
    line = engines.line_of(error, sql)
    said = engines.describe_error(url, error)
    hint = f": {RESERVED}" if SYNTAX_AT_A_WORD.search(said) else ""
    return f"{f', line {line}' if line else ''}: {said} ({engines.describe(url)}){hint}"
