"""An export's destination is complete or absent.

Export writes to `.<name>.tmp/files` beside the destination and renames that folder when it is complete. The file
`.<name>.tmp/lock` keeps a second run out. What a killed run leaves there, the next run removes.
"""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imageset.errors import DataError, DiskError
from imageset.runtime import files
from imageset.workers.threads import map_ahead

SYNCS = 16  # files at a time: each waits for the disk, not for a core


def is_there(destination: Path, identity: dict[str, Any]) -> bool:
    """Return whether this very export is at the destination. Raises DataError when anything else is."""
    if not os.path.lexists(destination):
        return False
    try:
        found = json.loads((destination / "export.json").read_bytes())
    except (OSError, ValueError):
        found = None
    if found != identity:
        raise DataError(f"{destination} exists: name a new folder")
    return True


@contextmanager
def temporary_folder(destination: Path) -> Iterator[Path]:
    """Yield a new empty folder beside the destination, for `finish`. Remove it at the end, also after an error.

    Raises:
        ImagesetError: Another run writes to the same destination.
        DiskError: The disk is full.
    """
    temporary = destination.with_name(f".{destination.name}.tmp")
    try:
        with files.lock(temporary / "lock"):
            try:
                folder = temporary / "files"
                if folder.exists():  # of a killed run
                    shutil.rmtree(folder)
                folder.mkdir()
                yield folder
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except DiskError:  # also of the lock itself, which is empty then
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def finish(folder: Path, destination: Path) -> None:
    """Give a complete folder the destination's name, once all of it has reached the disk."""
    sync_tree(folder)
    os.replace(folder, destination)
    files.sync(destination.parent)


def sync_tree(folder: Path) -> None:
    """Wait until all files and folders have reached the disk. Raises OSError when one could not be written."""
    os.sync()  # one call for all: thousands of small files, one by one, take longer than writing them
    with ThreadPoolExecutor(SYNCS) as executor:
        # Nothing is left to write. But os.sync() does not report what failed.
        for _ in map_ahead(executor, files.sync, folder.rglob("*"), 2 * SYNCS):
            pass
    files.sync(folder)
