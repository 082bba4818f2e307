"""Masks and pixels that were made before, by all that shapes them: a SQLite file that may be lost at any time.

One file serves all branches, params and runs, two at once among them. Masks stand apart from pixels, as they cost a
hundred times as much and depend on less: another colour, fill, fit or side infers nothing again.
"""

import datetime
import hashlib
import json
import re
import time
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imageset.photos import pixels
from imageset.photos.fingerprint import MASK_CODE, MASK_LIBRARIES, fingerprint, identify
from imageset.photos.preprocess import Made, Prepared, Recipe, Rejected
from imageset.runtime import sqlite_cache as cachefile
from imageset.storage.bucket import Bucket, StoredObject

SECONDS_BETWEEN_COMMITS = 2.0
PHOTOS_BETWEEN_COMMITS = 256

SCHEMA = """
CREATE TABLE IF NOT EXISTS masks (key BLOB PRIMARY KEY, used TEXT NOT NULL, mask BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS pixels (key BLOB PRIMARY KEY, used TEXT NOT NULL, reason TEXT, sha256 TEXT, phash TEXT,
                                   phash_mirrored TEXT, pixels BLOB, crc32 INTEGER);
"""
TABLES = ("masks", "pixels")


class PhotoCache:
    """What is known of the photos of one store under one recipe. What is added is kept in batches, so a run that is
    killed loses the last one."""

    def __init__(self, path: Path, store: Bucket, recipe: Recipe, model_sha256: str) -> None:
        """Raises ImagesetError when the file is none of ours."""
        self.path = path
        self.database = cachefile.connect(path, SCHEMA)
        self.place = str(store)
        self.preprocess = recipe.preprocess
        network = [recipe.network.name, model_sha256, recipe.network.side] if recipe.network else None
        self.mask_recipe = digest(network, fingerprint(MASK_CODE, MASK_LIBRARIES))
        self.pixel_recipe = digest(
            network, identify(), recipe.preprocess.model_dump(exclude={"max_rejected_share", "mask_side"})
        )
        self.today = datetime.date.today().isoformat()
        self.waiting: list[tuple[str, tuple[Any, ...]]] = []
        self.committed = time.monotonic()

    def find(self, stored: StoredObject) -> Prepared | Rejected | None:
        """Return what an earlier run made of this object, None if nothing is known."""
        row = self.look_up(
            "pixels", self.key(stored, self.pixel_recipe), "used, reason, sha256, phash, phash_mirrored, pixels, crc32"
        )
        if row is None:
            return None
        used, *values, crc32 = row
        if used != self.today:  # its mask is of use as well, though nobody looks it up
            self.later("UPDATE masks SET used = ? WHERE key = ?", self.today, self.key(stored, self.mask_recipe))
        reason, sha256, phash, phash_mirrored, content = values
        if checksum(*values) != crc32:
            return None  # a damaged file is a loss, never a wrong photo
        if reason is not None:
            return Rejected(reason)
        side, small = self.preprocess.image_side, pixels.THUMBNAIL_SIDE
        both = np.frombuffer(content, np.uint8)
        square, thumbnail = both[: -(small**2)].reshape(side, side, -1), both[-(small**2) :].reshape(small, small, 1)
        return Prepared(square, thumbnail, sha256, phash, phash_mirrored)

    def find_mask(self, stored: StoredObject, side: int) -> Image.Image | None:
        """Return the mask (mode L, side x side) that an earlier run predicted, None if there is none."""
        row = self.look_up("masks", self.key(stored, self.mask_recipe), "mask")
        try:
            return None if row is None else Image.frombytes("L", (side, side), zlib.decompress(row[0]))
        except (zlib.error, TypeError, ValueError):
            return None

    def add(self, stored: StoredObject, made: Made) -> None:
        """Remember what was made of an object, but for what another hour or machine might undo."""
        outcome = made.outcome
        if made.mask is not None:
            self.put("masks", self.key(stored, self.mask_recipe), zlib.compress(made.mask.tobytes(), 1))
        if isinstance(outcome, Prepared):
            content = outcome.pixels.tobytes() + outcome.thumbnail.tobytes()
            values: tuple[Any, ...] = (None, outcome.sha256, outcome.phash, outcome.phash_mirrored, content)
        elif outcome.reason.startswith("decoder_"):
            return
        else:
            values = (outcome.reason, None, None, None, None)
        self.put("pixels", self.key(stored, self.pixel_recipe), *values, checksum(*values))

    def key(self, stored: StoredObject, recipe: bytes) -> bytes:
        """Return the key of an object: its content's where the etag looks like an md5, else this very object's."""
        identity = [stored.etag, stored.bytes]
        if not re.fullmatch("[0-9a-f]{32}(-[0-9]+)?", stored.etag):
            identity += [self.place, stored.key, stored.version_id]
        return hashlib.blake2b(json.dumps(identity).encode(), key=recipe, digest_size=16).digest()

    def look_up(self, table: str, key: bytes, columns: str) -> tuple[Any, ...] | None:
        """Return a row's columns; that it was of use today is noted, for `prune`."""
        with cachefile.errors(self.path):
            row = self.database.execute(f"SELECT used, {columns} FROM {table} WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row[0] != self.today:
            self.later(f"UPDATE {table} SET used = ? WHERE key = ?", self.today, key)
        return tuple(row[1:])

    def put(self, table: str, key: bytes, *values: Any) -> None:
        self.later(
            f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * (2 + len(values)))})", key, self.today, *values
        )

    def later(self, statement: str, *values: Any) -> None:
        self.waiting.append((statement, values))
        if len(self.waiting) >= PHOTOS_BETWEEN_COMMITS or time.monotonic() - self.committed > SECONDS_BETWEEN_COMMITS:
            self.commit()

    def commit(self) -> None:
        """Write what waits, in one short transaction: another run may be waiting for its turn."""
        with cachefile.errors(self.path), cachefile.transaction(self.database):
            for statement, values in self.waiting:
                self.database.execute(statement, values)
        self.waiting.clear()
        self.committed = time.monotonic()

    def close(self) -> None:
        """Keep what waits still, also when a run fails."""
        self.commit()
        self.database.close()


def checksum(
    reason: str | None, sha256: str | None, phash: str | None, phash_mirrored: str | None, content: bytes | None
) -> int:
    """Return the CRC-32 of a row of the table of pixels."""
    texts = f"{reason} {sha256} {phash} {phash_mirrored}"
    return zlib.crc32(content if isinstance(content, bytes) else b"", zlib.crc32(texts.encode()))


def digest(*parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def prune(path: Path, days: int) -> dict[str, int]:
    """Remove what no run has used for so many days, and give its room back; return how many rows of each table."""
    database = cachefile.connect(path, SCHEMA)
    before = (datetime.date.today() - datetime.timedelta(days)).isoformat()
    with closing(database), cachefile.errors(path):
        removed = {
            table: database.execute(f"DELETE FROM {table} WHERE used < ?", (before,)).rowcount for table in TABLES
        }
        database.execute("VACUUM")
    return removed
