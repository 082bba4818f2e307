"""The database, read only: all queries of a stage see one snapshot."""

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.exc import ArgumentError, DBAPIError, ResourceClosedError, StatementError

from imageset.errors import DataError, ServerError, SettingsError
from imageset.runtime import settings

CONNECT_ATTEMPTS = 3
SECONDS_BETWEEN_ATTEMPTS = 1.0
ROWS_AT_ONCE = 10_000


@contextmanager
def snapshot() -> Iterator[sqlalchemy.Connection]:
    """Yield a connection whose queries all see one state of the database and cannot change it.

    Raises:
        SettingsError: DATABASE_URL is missing or malformed.
        ServerError: the database cannot be reached, or the connection breaks; the message holds host and port, and
            never the password.
    """
    url = parse_url(settings.database_url())
    where = f"PostgreSQL at {url.host or 'localhost'}:{url.port or 5432}, database {url.database}"
    engine = sqlalchemy.create_engine(
        url, isolation_level="REPEATABLE READ", connect_args={"connect_timeout": 10}, hide_parameters=True
    )
    try:
        with connect_with_retries(engine) as connection:
            connection.execute(sqlalchemy.text("SET TRANSACTION READ ONLY"))
            yield connection
    except StatementError as error:  # DBAPIError, or a parameter that is not :as_of
        raise ServerError(f"{where}: {describe_error(error)}") from None
    finally:
        engine.dispose()


def parse_url(text: str) -> sqlalchemy.URL:
    """Parse a database URL. Raises SettingsError, whose message quotes no part of the URL, when it is malformed."""
    try:
        url = sqlalchemy.make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError("DATABASE_URL: expected postgresql://user:password@host:5432/database") from None
    if "@" in (url.host or ""):
        raise SettingsError("DATABASE_URL: write the @ of a user or password as %40")
    return url


def connect_with_retries(engine: sqlalchemy.Engine) -> sqlalchemy.Connection:
    for _ in range(CONNECT_ATTEMPTS - 1):
        try:
            return engine.connect()
        except DBAPIError:
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
    return engine.connect()


def describe_error(error: StatementError) -> str:
    """Return the driver's message in one line. libpq's messages hold host and user, never the password."""
    return " ".join(str(error.orig).split()) or type(error.orig).__name__


def fetch_rows(
    connection: sqlalchemy.Connection, query: Path, columns: list[str], as_of: str | None
) -> list[tuple[Any, ...]]:
    """Run the query in a file and return all its rows.

    Args:
        connection: from snapshot.
        query: a file with one SELECT, which may use the parameter :as_of.
        columns: the names that the query's columns must have, in this order.
        as_of: the value of :as_of, a UTC timestamp in ISO 8601, or None for null.

    Raises:
        DataError: the query has other columns, is no SELECT, or a value cannot be read.
    """

    def require(found: list[str]) -> None:
        if found != columns:
            raise DataError(f"{query} returns columns {', '.join(found)}; expected {', '.join(columns)}")

    return fetch_any_rows(connection, query, require, as_of)


def fetch_any_rows(
    connection: sqlalchemy.Connection, query: Path, require: Callable[[list[str]], None], as_of: str | None
) -> list[tuple[Any, ...]]:
    """Run the query in a file as `fetch_rows` does. `require` gets the columns' names first, and may raise."""
    statement = sqlalchemy.text(query.read_text(encoding="utf-8"))
    if "as_of" in statement.compile().params:
        statement = statement.bindparams(as_of=datetime.datetime.fromisoformat(as_of) if as_of else None)
    try:
        result = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(statement)
        found = list(result.keys())
    except ResourceClosedError:
        raise DataError(f"{query} is not a query that returns rows: write one SELECT") from None
    require(found)
    try:
        return [tuple(row) for row in result]
    except (ValueError, OverflowError) as error:  # from the driver: a date after the year 9999
        raise DataError(f"{query}: a value cannot be read: {error}") from None
