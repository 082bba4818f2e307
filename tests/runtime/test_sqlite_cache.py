"""SQLite files that several runs use at once."""

import fcntl
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from imageset.runtime import sqlite_cache

SCHEMA = """
CREATE TABLE IF NOT EXISTS masks (key BLOB PRIMARY KEY, mask BLOB);
CREATE TABLE IF NOT EXISTS pixels (key BLOB PRIMARY KEY, pixels BLOB);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep/er/cache.sqlite"


def test_what_is_written_is_there_for_other_runs_at_once_and_for_later_ones(path: Path) -> None:
    with closing(sqlite_cache.connect(path, SCHEMA)) as one, closing(sqlite_cache.connect(path, SCHEMA)) as other:
        one.execute("INSERT INTO masks VALUES (?, ?)", (b"1", b"mask"))
        seen = other.execute("SELECT * FROM masks").fetchall()
        one.execute("BEGIN IMMEDIATE")
        one.execute("DELETE FROM masks")
        meanwhile = other.execute("SELECT * FROM masks").fetchall()  # nobody waits to read
        one.execute("ROLLBACK")
    with closing(sqlite_cache.connect(path, SCHEMA)) as later:
        assert later.execute("SELECT * FROM masks").fetchall() == seen == meanwhile == [(b"1", b"mask")]
        assert later.execute("PRAGMA page_size").fetchone() == (sqlite_cache.PAGE_BYTES,)


def test_a_run_waits_for_another_that_is_making_the_file(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with path.with_name(f"{path.name}.setup").open("w") as turn, ThreadPoolExecutor(1) as thread:
        fcntl.flock(turn, fcntl.LOCK_EX)
        waiting = thread.submit(sqlite_cache.connect, path, SCHEMA)

        with pytest.raises(TimeoutError):
            waiting.result(0.2)

        fcntl.flock(turn, fcntl.LOCK_UN)
        waiting.result(10)

    with closing(sqlite_cache.connect(path, SCHEMA)) as database:
        assert database.execute("SELECT * FROM pixels").fetchall() == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE pixels (key BLOB PRIMARY KEY, other BLOB)",
        "CREATE TABLE pixels (key BLOB PRIMARY KEY)",
        "CREATE VIEW masks AS SELECT 1",
    ],
)
def test_a_database_of_another_version_is_refused_and_left_as_it_was(statement: str, path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
    with pytest.raises(ImagesetError, match=r"cache\.sqlite: .*; it may be removed"):
        sqlite_cache.connect(path, SCHEMA)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT sql FROM sqlite_master WHERE name = ?", statement.split()[2:3]).fetchall() == [
            (statement,)
        ]


def test_what_is_no_database_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(ImagesetError, match=r"cache\.sqlite: unable to open"):
        sqlite_cache.connect(path, SCHEMA)
    path.rmdir()
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(ImagesetError, match=r"cache\.sqlite: file is not a database"):
        sqlite_cache.connect(path, SCHEMA)

    assert path.read_bytes() == b"no database at all" * 100


def test_a_folder_that_takes_no_file_is_named(path: Path) -> None:
    path.parent.parent.write_text("a file where a folder should be")
    with pytest.raises(ImagesetError, match=r"cache\.sqlite: (Not a directory|File exists); IMAGESET_CACHE names"):
        sqlite_cache.connect(path, SCHEMA)
