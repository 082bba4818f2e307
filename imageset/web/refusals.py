"""What earlier runs were refused, so that nobody is asked for it again: a SQLite file that may be lost at any time."""

from collections.abc import Iterable
from pathlib import Path

from imageset.runtime import sqlite_cache as cachefile

SCHEMA = "CREATE TABLE IF NOT EXISTS refused (key TEXT, url TEXT, reason TEXT, limits TEXT, PRIMARY KEY (key, url))"


class RefusalCache:
    """Reasons by key and url: another url for the same key is another matter."""

    def __init__(self, path: Path) -> None:
        """Raises ImagesetError when the file is none of ours."""
        self.path = path
        self.database = cachefile.connect(path, SCHEMA)

    def reasons(self, limits: str) -> dict[tuple[str, str], str]:
        """Return what stands under these limits or under none, by key and url."""
        with cachefile.errors(self.path):
            rows = self.database.execute("SELECT key, url, reason FROM refused WHERE limits IN ('', ?)", (limits,))
            return {(key, url): reason for key, url, reason in rows}

    def add(self, key: str, url: str, reason: str, limits: str = "") -> None:
        """Note a reason; limits: the params that decided it, "" where none did."""
        with cachefile.errors(self.path):
            self.database.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)", (key, url, reason, limits))

    def forget(self, reasons: Iterable[str]) -> None:
        with cachefile.errors(self.path):
            self.database.executemany("DELETE FROM refused WHERE reason = ?", [(reason,) for reason in reasons])

    def close(self) -> None:
        self.database.close()
