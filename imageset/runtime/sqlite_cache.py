"""SQLite files used as caches: they may be deleted at any time, and several runs may use one at once."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from imageset.errors import ImagesetError

SECONDS_FOR_ANOTHER_RUN = 60
PAGE_BYTES = 16_384  # a photo of 128 x 128 pixels takes little more than one
# Errors of the machine, not of the file: another file in its place would have them as well.
OF_THE_MACHINE = ("SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_READONLY")
ANOTHER_FOLDER = "; IMAGESET_CACHE names the folder, `make prune` makes room"


def connect(path: Path, schema: str, page_bytes: int = PAGE_BYTES) -> sqlite3.Connection:
    """Open a cache file, and create it with `schema` when it is missing.

    Args:
        path: the file. Its folder is made if it is missing.
        schema: the statements that make its tables.
        page_bytes: of a new file: what SQLite reads and writes at a time.

    Returns:
        A connection without implicit transactions.

    Raises:
        ImagesetError: the file is damaged, is no SQLite file, or has another schema; or its folder takes no file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        setup_file = path.with_name(f"{path.name}.setup").open("w")
    except OSError as error:
        raise ImagesetError(f"{path}: {error.strerror}{ANOTHER_FOLDER}") from None
    # SQLite does not wait when two processes switch a new file to WAL: one of them would fail. Hence this lock.
    with sqlite_errors(path), setup_file as setup:
        fcntl.flock(setup, fcntl.LOCK_EX)
        database = sqlite3.connect(path, isolation_level=None, timeout=SECONDS_FOR_ANOTHER_RUN)
        database.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")  # checksums find damage
        database.execute(f"PRAGMA page_size = {page_bytes}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(schema)
        with closing(sqlite3.connect(":memory:")) as model:
            model.executescript(schema)
            if tables(database) != tables(model):
                raise sqlite3.DatabaseError("it was made by another version")
    return database


def tables(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the name of each table and the statement that made it."""
    return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Run the body in one transaction: all of it, or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        database.rollback()
        raise


def erase(path: Path, database: sqlite3.Connection, delete: str, *values: Any) -> int:
    """Remove rows so that no byte of them can be read in the file any more.

    The file is rewritten whole, which needs as much room on the disk as it has: rows that an earlier run removed or
    replaced have left bytes too, and so has a run that was killed in this function.

    Args:
        path: the file.
        database: its connection.
        delete: a DELETE statement.
        values: of its parameters.

    Returns:
        How many rows were removed.

    Raises:
        ImagesetError: the file is damaged, or another run reads it.
    """
    with sqlite_errors(path):
        database.execute("PRAGMA secure_delete = ON")
        removed = database.execute(delete, values).rowcount
        database.execute("VACUUM")
        (busy, _, _) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise ImagesetError(f"{path}: another run reads it, so removed rows are still in {path.name}-wal: run again")
    return removed


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line that names the file and says what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        hint = ANOTHER_FOLDER if name.startswith(OF_THE_MACHINE) else "; it may be removed: it is a cache"
        raise ImagesetError(f"{path}: {error}{hint}") from None
