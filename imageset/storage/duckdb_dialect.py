"""DuckDB for SQLAlchemy: as much as running queries takes, on DuckDB's own DB-API.

`cursor()` of DuckDB opens another connection, outside the transaction. So all cursors here are one connection.
"""

from contextlib import ExitStack
from types import ModuleType
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from imageset.storage import unreadable


class Connection:
    """A connection of DuckDB with cursors of its own transaction, and what is closed with it.

    Attributes:
        connection: of DuckDB.
        resources: closes it.
        marks: see `Cursor.read`.
    """

    def __init__(self, connection: Any, resources: ExitStack) -> None:
        self.connection, self.resources = connection, resources
        self.marks = False

    def cursor(self) -> "Cursor":
        return Cursor(self)

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def interrupt(self) -> None:
        """End the query that runs, from another thread, with an error in its own."""
        self.connection.interrupt()

    def close(self) -> None:
        self.resources.close()


class Cursor:
    """A cursor that is the connection itself."""

    arraysize = 1
    rowcount = -1
    lastrowid = None

    def __init__(self, connection: Connection) -> None:
        self.owner, self.connection = connection, connection.connection
        self.description: list[tuple[Any, ...]] | None = None
        self.dates: list[int] = []

    def execute(self, statement: str, parameters: Any = None) -> None:
        self.connection.execute(statement, parameters)
        # Types as text: SQLAlchemy looks them up in a dict, and DuckDB's have no hash.
        columns = [(name, str(kind), *others) for name, kind, *others in self.connection.description or ()]
        self.description = columns or None
        self.dates = [place for place, column in enumerate(columns) if column[1].startswith(("DATE", "TIMESTAMP"))]

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(iter(self.fetchmany(1)), None)

    def fetchmany(self, size: int = arraysize) -> list[tuple[Any, ...]]:
        return self.read(self.connection.fetchmany(size))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.read(self.connection.fetchall())

    def read(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Return rows. DuckDB makes text of dates that Python cannot have: raise ValueError, or mark them."""
        for place in self.dates:
            texts = {row[place] for row in rows if isinstance(row[place], str)}
            if texts and not self.owner.marks:
                raise ValueError(f"year of {min(texts)} is out of range")
            if texts:
                rows = [
                    tuple(
                        unreadable.date(value) if number == place and value in texts else value
                        for number, value in enumerate(row)
                    )
                    for row in rows
                ]
        return rows

    def close(self) -> None:
        """Leave the connection open: the next query needs it."""


class DuckDBDialect(DefaultDialect):
    """What SQLAlchemy has to know of DuckDB. `engines.open_engine` connects."""

    name = "duckdb"
    driver = "duckdb"
    default_paramstyle = "qmark"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        import duckdb

        return duckdb

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Roll back, where there is a transaction: DuckDB refuses it otherwise."""
        try:
            dbapi_connection.rollback()
        except self.loaded_dbapi.Error as error:
            if "no transaction is active" not in str(error):
                raise
