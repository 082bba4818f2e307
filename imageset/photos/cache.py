"""Masks and pixels that earlier runs made, keyed by all that decides them. A SQLite file that may be lost at any time.

One file serves all branches, params and runs, several runs at once among them. Masks have a table of their own: they
cost a hundred times as much as pixels and depend on less. Another colour, fill, fit or size predicts no mask again.
"""

import datetime
import hashlib
import json
import time
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imageset.photos import pixels
from imageset.photos.fingerprint import MASK_CODE, MASK_LIBRARIES, fingerprint, identify
from imageset.photos.preprocess import PhotoResult, PreparedPhoto, PreprocessRecipe, Rejected
from imageset.runtime import sqlite_cache
from imageset.storage.bucket import Bucket, StoredObject, identify_object

SECONDS_BETWEEN_COMMITS = 2.0
PHOTOS_BETWEEN_COMMITS = 256

SCHEMA = """
CREATE TABLE IF NOT EXISTS masks (key BLOB PRIMARY KEY, used TEXT NOT NULL, mask BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS pixels (key BLOB PRIMARY KEY, used TEXT NOT NULL, reason TEXT, sha256 TEXT, phash TEXT,
                                   phash_mirrored TEXT, pixels BLOB, crc32 INTEGER);
"""
TABLES = ("masks", "pixels")


class PhotoCache:
    """What is known of the photos of one bucket under one recipe.

    Additions are written in batches, so a run that is killed loses the last one.
    """

    def __init__(self, path: Path, bucket: Bucket, recipe: PreprocessRecipe, model_sha256: str) -> None:
        """Open the cache, and make its file if there is none.

        Args:
            path: the SQLite file.
            bucket: where the photos are; nothing is read from it.
            recipe: the params and the network.
            model_sha256: of the file of the network's weights.

        Raises:
            ImagesetError: the file is no cache of this version, or cannot be opened.
        """
        self.path = path
        self.database = sqlite_cache.connect(path, SCHEMA)
        self.bucket = bucket
        self.preprocess = recipe.preprocess
        network = [recipe.network.name, model_sha256, recipe.network.side] if recipe.network else None
        self.mask_recipe = hash_json(network, fingerprint(MASK_CODE, MASK_LIBRARIES))
        self.pixel_recipe = hash_json(
            network, identify(), recipe.preprocess.model_dump(exclude={"max_rejected_share", "mask_side"})
        )
        self.today = datetime.date.today().isoformat()
        self.queued: list[tuple[str, tuple[Any, ...]]] = []
        self.last_commit = time.monotonic()

    def find(self, stored: StoredObject) -> PreparedPhoto | Rejected | None:
        """Return what an earlier run made of this object, None if nothing is known."""
        key = self.make_key(stored, self.pixel_recipe)
        row = self.look_up("pixels", key, "used, reason, sha256, phash, phash_mirrored, pixels, crc32")
        if row is None:
            return None
        used, *values, crc32 = row
        if used != self.today:  # the photo's mask is in use as well, though this run does not look it up
            self.queue("UPDATE masks SET used = ? WHERE key = ?", self.today, self.make_key(stored, self.mask_recipe))
        reason, sha256, phash, phash_mirrored, content = values
        if compute_crc32(*values) != crc32:
            return None  # a damaged row is a row less, never a wrong photo
        if reason is not None:
            return Rejected(reason)
        side, small = self.preprocess.image_side, pixels.THUMBNAIL_SIDE
        both = np.frombuffer(content, np.uint8)
        square, thumbnail = both[: -(small**2)].reshape(side, side, -1), both[-(small**2) :].reshape(small, small, 1)
        return PreparedPhoto(square, thumbnail, sha256, phash, phash_mirrored)

    def find_mask(self, stored: StoredObject, side: int) -> Image.Image | None:
        """Return the mask (mode L, side x side) that an earlier run predicted, None if there is none."""
        row = self.look_up("masks", self.make_key(stored, self.mask_recipe), "mask")
        try:
            return None if row is None else Image.frombytes("L", (side, side), zlib.decompress(row[0]))
        except (zlib.error, TypeError, ValueError):
            return None

    def add(self, stored: StoredObject, result: PhotoResult) -> None:
        """Remember what an object became, but no decoder_* rejection, which another run or machine might not repeat.

        Args:
            stored: the object.
            result: its pixels or its rejection, and its mask if one was predicted.
        """
        outcome = result.outcome
        if result.mask is not None:
            self.put("masks", self.make_key(stored, self.mask_recipe), zlib.compress(result.mask.tobytes(), 1))
        if isinstance(outcome, PreparedPhoto):
            content = outcome.pixels.tobytes() + outcome.thumbnail.tobytes()
            values: tuple[Any, ...] = (None, outcome.sha256, outcome.phash, outcome.phash_mirrored, content)
        elif outcome.reason.startswith("decoder_"):
            return
        else:
            values = (outcome.reason, None, None, None, None)
        self.put("pixels", self.make_key(stored, self.pixel_recipe), *values, compute_crc32(*values))

    def make_key(self, stored: StoredObject, recipe: bytes) -> bytes:
        """Return an object's key: of its content or of this very object, as `identify_object` says, and of a recipe."""
        identity = json.dumps(identify_object(self.bucket, stored))
        return hashlib.blake2b(identity.encode(), key=recipe, digest_size=16).digest()

    def look_up(self, table: str, key: bytes, columns: str) -> tuple[Any, ...] | None:
        """Return a row's columns, and note for `prune` that it was used today."""
        with sqlite_cache.sqlite_errors(self.path):
            row = self.database.execute(f"SELECT used, {columns} FROM {table} WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row[0] != self.today:
            self.queue(f"UPDATE {table} SET used = ? WHERE key = ?", self.today, key)
        return tuple(row[1:])

    def put(self, table: str, key: bytes, *values: Any) -> None:
        """Queue a row, used today."""
        self.queue(
            f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * (2 + len(values)))})", key, self.today, *values
        )

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


def compute_crc32(
    reason: str | None, sha256: str | None, phash: str | None, phash_mirrored: str | None, content: bytes | None
) -> int:
    """Return the CRC-32 of a row of the table `pixels`."""
    texts = f"{reason} {sha256} {phash} {phash_mirrored}"
    return zlib.crc32(content if isinstance(content, bytes) else b"", zlib.crc32(texts.encode()))


def hash_json(*parts: Any) -> bytes:
    """Return the SHA-256 of values as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def prune(path: Path, days: int) -> dict[str, int]:
    """Remove the rows that no run has used for a number of days, and shrink the file.

    Args:
        path: the SQLite file.
        days: rows used within so many days are kept.

    Returns:
        How many rows of each table were removed.

    Raises:
        ImagesetError: the file is no cache of this version, or cannot be opened.
    """
    database = sqlite_cache.connect(path, SCHEMA)
    before = (datetime.date.today() - datetime.timedelta(days)).isoformat()
    with closing(database), sqlite_cache.sqlite_errors(path):
        removed = {
            table: database.execute(f"DELETE FROM {table} WHERE used < ?", (before,)).rowcount for table in TABLES
        }
        database.execute("VACUUM")
    return removed
