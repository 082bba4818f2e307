"""SQLite files that may be lost at any time, each used by several runs at once."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from imageset.errors import ImagesetError

SECONDS_FOR_ANOTHER_RUN = 60
PAGE_BYTES = 16_384  # a photo of 128 x 128 pixels takes little more than one
# Errors that another file in its place would have as well.
OF_THE_MACHINE = ("SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_READONLY")


def connect(path: Path, schema: str) -> sqlite3.Connection:
    """Return a connection without implicit transactions to a file with this schema, made if need be.

    Raises ImagesetError when the file is none of ours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # SQLite does not wait for its turn where a new file is made a WAL one.
    with errors(path), path.with_name(f"{path.name}.setup").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        database = sqlite3.connect(path, isolation_level=None, timeout=SECONDS_FOR_ANOTHER_RUN)
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(schema)
        with closing(sqlite3.connect(":memory:")) as model:
            model.executescript(schema)
            if tables(database) != tables(model):
                raise sqlite3.DatabaseError("it was made by another version")
    return database


def tables(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the names of a database's tables and how they were made."""
    return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Do all that is inside, or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        database.rollback()
        raise


@contextmanager
def errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line that names the file and tells what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        hint = (
            "; IMAGESET_CACHE names the folder, `make prune` makes room"
            if name.startswith(OF_THE_MACHINE)
            else "; it may be removed: what is lost is made again"
        )
        raise ImagesetError(f"{path}: {error}{hint}") from None
