"""What earlier runs made of photos, keyed by all that decides it. SQLite files that may be lost at any time.

A file serves all branches, params and runs, several runs at once among them. Masks, embeddings and pixels have a file
each, as masks cost a hundred times as much as pixels, and each depends on other code. mask_cache.py, embedding_cache.py
and pixel_cache.py say what a row is.

Each row names the etag of its object. A key cannot be computed for params of the past, so a takedown (`forget`) finds
the rows of an object by its etag.
"""

import datetime
import hashlib
import json
import time
import zlib
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from imageset.runtime import sqlite_cache
from imageset.storage.bucket import Bucket, StoredObject, identify_object

SECONDS_BETWEEN_COMMITS = 2.0
PHOTOS_BETWEEN_COMMITS = 256


class PhotoCache:
    """One kind of what is known of the photos of one bucket under one recipe.

    Additions are written in batches, so a run that is killed loses the last one.
    """

    def __init__(self, path: Path, table: str, columns: str, bucket: Bucket, recipe: str) -> None:
        """Open the cache, and make its file if there is none.

        Args:
            path: the SQLite file.
            table: the name of its table.
            columns: SQL of the values of a row, such as "reason TEXT, mask BLOB".
            bucket: where the photos are; nothing is read from it.
            recipe: everything that decides the values except the photo.

        Raises:
            ImagesetError: the file is no cache of this version, or cannot be opened.
        """
        self.path = path
        self.table = table
        self.database = sqlite_cache.connect(path, make_schema(table, columns))
        self.bucket = bucket
        self.recipe = hashlib.sha256(recipe.encode()).digest()
        self.today = datetime.date.today().isoformat()
        self.queued: list[tuple[str, tuple[Any, ...]]] = []
        self.last_commit = time.monotonic()

    def look_up(self, key: bytes) -> tuple[Any, ...] | None:
        """Return a row's values, None where there is none or it is damaged, and note that it was used today."""
        with sqlite_cache.sqlite_errors(self.path):
            row = self.database.execute(f"SELECT * FROM {self.table} WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        _, used, crc32, etag, *values = row
        if compute_crc32(self.table, key, (etag, *values)) != crc32:
            return None  # a damaged row is a row less, never a wrong photo
        if used != self.today:
            self.queue(f"UPDATE {self.table} SET used = ? WHERE key = ?", self.today, key)
        return tuple(values)

    def put(self, key: bytes, etag: str, *values: Any) -> None:
        """Queue a row, used today.

        Args:
            key: from `make_key`.
            etag: of the object that the key is for.
            values: in the order of the columns.
        """
        row = (key, self.today, compute_crc32(self.table, key, (etag, *values)), etag, *values)
        self.queue(f"INSERT OR REPLACE INTO {self.table} VALUES ({', '.join('?' * len(row))})", *row)

    def make_key(self, stored: StoredObject, *more: str) -> bytes:
        """Return an object's key: of its content or of this very object, as `identify_object` says, and of the recipe.

        more: what else decides this object's values.
        """
        identity = json.dumps([*identify_object(self.bucket, stored), *more])
        return hashlib.blake2b(identity.encode(), key=self.recipe, digest_size=16).digest()

    def queue(self, statement: str, *values: Any) -> None:
        """Have a statement executed with the next commit, and commit when it is time to."""
        self.queued.append((statement, values))
        if len(self.queued) >= PHOTOS_BETWEEN_COMMITS or time.monotonic() - self.last_commit > SECONDS_BETWEEN_COMMITS:
            self.commit()

    def commit(self) -> None:
        """Execute the queue in one short transaction: another run may be waiting for the file."""
        with sqlite_cache.sqlite_errors(self.path), sqlite_cache.transaction(self.database):
            for statement, values in self.queued:
                self.database.execute(statement, values)
        self.queued.clear()
        self.last_commit = time.monotonic()

    def close(self) -> None:
        """Write what is still queued, also when a run fails."""
        self.commit()
        self.database.close()


def make_schema(table: str, columns: str) -> str:
    """Return the SQL that makes a cache's table."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table} "
        f"(key BLOB PRIMARY KEY, used TEXT NOT NULL, crc32 INTEGER NOT NULL, etag TEXT NOT NULL, {columns});"
    )


def compute_crc32(table: str, key: bytes, values: Sequence[Any]) -> int:
    """Return the CRC-32 of a row: of its table and its key too, as the values of another row are wrong here."""
    row = [(b"", len(value)) if isinstance(value, bytes) else value for value in values]
    crc32 = zlib.crc32(repr((table, key, row)).encode())
    for value in values:
        if isinstance(value, bytes):
            crc32 = zlib.crc32(value, crc32)
    return crc32


def prune(path: Path, table: str, columns: str, days: int) -> int:
    """Remove the rows that no run has used for a number of days, and shrink the file.

    Args:
        path: the SQLite file.
        table: the name of its table.
        columns: SQL of the values of a row.
        days: rows used within so many days are kept.

    Returns:
        How many rows were removed.

    Raises:
        ImagesetError: the file is no cache of this version, or cannot be opened.
    """
    database = sqlite_cache.connect(path, make_schema(table, columns))
    before = (datetime.date.today() - datetime.timedelta(days)).isoformat()
    with closing(database), sqlite_cache.sqlite_errors(path):
        removed = database.execute(f"DELETE FROM {table} WHERE used < ?", (before,)).rowcount
        database.execute("VACUUM")
    return removed


def forget(path: Path, table: str, columns: str, etags: Collection[str]) -> int:
    """Remove the rows of objects, whatever params they were made with, so that no byte of them can be read in the file.

    The table is searched from end to end: no index is kept for it, because the file is rewritten whole afterwards,
    which takes longer than the search. That needs as much room on the disk as the file has.

    Args:
        path: the SQLite file.
        table: the name of its table.
        columns: SQL of the values of a row.
        etags: of the objects.

    Returns:
        How many rows were removed.

    Raises:
        ImagesetError: the file is no cache of this version, or cannot be opened, or another run reads it.
    """
    with closing(sqlite_cache.connect(path, make_schema(table, columns))) as database:
        delete = f"DELETE FROM {table} WHERE etag IN (SELECT value FROM json_each(?))"
        return sqlite_cache.erase(path, database, delete, json.dumps(sorted(etags)))
