"""Why a photo cannot be fetched, what to do about it, and the cache of these refusals.

With the cache no run asks twice for the same refusal. It is a SQLite file that may be removed at any time: the next run
asks again.
"""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imageset.photos import file_formats
from imageset.runtime import sqlite_cache
from imageset.web.download import REASONS_BY_STATUS

# Decided by the host or the photo; remembered.
DEFINITE = frozenset(
    {
        *REASONS_BY_STATUS.values(),
        "refused",
        "bad_response",
        "bad_url",
        "too_many_redirects",
        "encoded",
        "empty",
        "not_an_image",
        "truncated",
        "damaged",
        "undecodable",
    }
)
# Decided by the params too; remembered until these change.
BY_PARAMS = frozenset({"too_large", "too_many_pixels", "robots_tag", "robots_txt", *file_formats.REASONS})
DECIDING_PARAMS = {"formats", "max_bytes", "max_pixels", "refused_robots_tags"}  # of section ingest
# Where newer code may take what older code refused: the version of the rule. A refusal of another version is not valid,
# so the photo is asked for once more. Raise the number of each reason that a change concerns; refusals without a number
# count as version 1.
RULES = {
    "bad_url": 2,
    "damaged": 2,
    "encoded": 2,
    "not_an_image": 2,
    "too_many_redirects": 2,
    "truncated": 2,
    "undecodable": 3,
}
# Decided by the settings, the hour or the machine; not remembered.
TEMPORARY = frozenset(
    {
        "private_address",
        "bucket_not_allowed",
        "folder_not_allowed",
        "unreachable",
        "server_error",
        "decoder_crash",
        "decoder_timeout",
        "decoder_memory",
    }
)
REMEMBERED = DEFINITE | BY_PARAMS
REASONS = REMEMBERED | TEMPORARY
MISSING_OBJECT = "missing_object"  # decided by the bucket's listing alone

CONVERT = "imageset cannot decode this format: return the image_url of a copy in another one"
HINTS = {  # what to do where params, settings, queries or the hour decide
    **dict.fromkeys(sorted(file_formats.REASONS), CONVERT),
    **{f"format_{name}": f"to take them, add {name} to ingest.formats" for name in file_formats.FORMATS},
    "format_heic": "to take them, run `pip install -r requirements-heif.txt` and add heic to ingest.formats",
    "bad_url": "return image_url as https://..., http://..., s3://bucket/key or file:///folder/file",
    "too_large": "to take them, raise ingest.max_bytes",
    "too_many_pixels": "to take them, raise ingest.max_pixels",
    "robots_tag": "to take them, set ingest.refused_robots_tags",
    "robots_txt": "their hosts do not allow them by robots.txt; to take them, set ingest.robots to ignore",
    "server_error": "their hosts serve other photos, but not these; the next `make refresh` asks for them again",
    "private_address": "if their host is yours, name it in IMAGESET_ALLOWED_HOSTS",
    "bucket_not_allowed": "if whoever writes such URLs may read that bucket, name it in IMAGESET_ALLOWED_BUCKETS",
    "folder_not_allowed": "if whoever writes such URLs may read their folder, name it in IMAGESET_ALLOWED_FOLDERS",
}

# Earlier versions kept `refused`, without checksums: those photos are asked for once more.
SCHEMA = """
DROP TABLE IF EXISTS refused;
CREATE TABLE IF NOT EXISTS refusals (key TEXT, url TEXT, reason TEXT, limits TEXT, crc32 INTEGER,
                                     PRIMARY KEY (key, url));
"""


class RefusalCache:
    """Refusals of earlier runs, by key and URL: a photo with another URL is asked for again."""

    def __init__(self, path: Path, params: str, robots: str = "ignore") -> None:
        """Open the cache, or make it.

        Args:
            path: the SQLite file.
            params: the params that decide about photos, in any fixed spelling.
            robots: the param ingest.robots. A refusal by robots.txt is valid as long as it is obeyed.

        Raises:
            ImagesetError: the file is no such cache; the message says what to do.
        """
        self.path = path
        self.params = params
        self.robots = robots
        self.database = sqlite_cache.connect(path, SCHEMA)

    def reasons(self) -> dict[tuple[str, str], str]:
        """Return the reasons that are valid under these params and today's rules, by (key, url).

        A damaged row is a row less: its photo is asked for again.
        """
        with sqlite_cache.sqlite_errors(self.path):
            rows = self.database.execute("SELECT key, url, reason, limits, crc32 FROM refusals")
            return {
                (key, url): reason
                for key, url, reason, limits, crc32 in rows
                if reason in REMEMBERED
                and limits == self.limits(reason)
                and crc32 == compute_crc32(key, url, reason, limits)
            }

    def limits(self, reason: str) -> str:
        """Return what a refusal for a reason depends on: the params, the version of the rule, or nothing."""
        if reason == "robots_txt":
            return f"robots {self.robots}"
        if reason in BY_PARAMS:
            return self.params
        return f"rule {RULES[reason]}" if reason in RULES else ""

    def remember(self, key: str, url: str, reason: str) -> None:
        """Remember a refusal, unless it is temporary."""
        if reason in TEMPORARY:
            return
        row = key, url, reason, self.limits(reason)
        with sqlite_cache.sqlite_errors(self.path):
            self.database.execute("INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?, ?)", (*row, compute_crc32(*row)))

    def forget(self, reasons: Iterable[str]) -> None:
        """Forget all refusals for these reasons, so that the photos are asked for again."""
        with sqlite_cache.sqlite_errors(self.path):
            self.database.executemany("DELETE FROM refusals WHERE reason = ?", [(reason,) for reason in reasons])

    def forget_photos(self, keys: Iterable[str]) -> int:
        """Remove all that is known of photos, URLs included, whatever params decided. Return how many rows there were.

        No byte of them can be read in the file any more.
        """
        delete = "DELETE FROM refusals WHERE key IN (SELECT value FROM json_each(?))"
        return sqlite_cache.erase(self.path, self.database, delete, json.dumps(sorted(keys)))

    def remembered_keys(self) -> set[str]:
        """Return the key of every photo of which a refusal is remembered."""
        with sqlite_cache.sqlite_errors(self.path):
            return {key for (key,) in self.database.execute("SELECT DISTINCT key FROM refusals")}

    def close(self) -> None:
        self.database.close()


def compute_crc32(*row: Any) -> int:
    """Return the CRC-32 of a row, whatever damage has left in its cells."""
    return zlib.crc32(repr(row).encode())
