"""Masks of a masks.h5 that was made before, here or on another machine: those of the same recipe are used again."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from imageset.errors import DataError
from imageset.formats import hdf5
from imageset.photos import mask_file
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.runtime import dvc, files
from imageset.storage.bucket import StoredObject, has_md5

# What every run and machine rejects, whatever max_pixels is.
LASTING = ("empty", "not_an_image")


class EarlierMasks:
    """The photos of an earlier masks.h5, found by their objects."""

    def __init__(self, file: h5py.File) -> None:
        """Read which photos an open file has; 24 bytes of memory for each."""
        self.file = file
        blocks = [names.tobytes() for _, (names,) in mask_file.read_columns(file, "objects")]
        halves = np.frombuffer(b"".join(blocks), np.uint64).reshape(-1, 2)
        self.order = np.argsort(halves[:, 0], kind="stable")
        self.names = halves[self.order]
        self.block_start = -1
        self.block: list[list[Any]] = []

    def find(self, stored: StoredObject) -> PhotoMask | Rejected | None:
        """Return what the file has of an object, None if nothing. Raises DamagedFile.

        Without an md5 or a version an etag might name other bytes in another bucket: then nothing is found.
        """
        if not has_md5(stored) and not stored.version_id:
            return None
        first, second = np.frombuffer(mask_file.name_object(stored), np.uint64)
        place = int(np.searchsorted(self.names[:, 0], first))
        while place < len(self.names) and self.names[place, 0] == first:
            if self.names[place, 1] == second:
                return self.read(int(self.order[place]))
            place += 1
        return None

    def read(self, row: int) -> PhotoMask | Rejected | None:
        """Return a row of the file; None for a rejection that another run or machine might not repeat."""
        reason, *measured = self.read_measured(row)
        if reason:
            rejected = Rejected(reason.decode("ascii"))
            return rejected if rejected.reason in LASTING else None
        return PhotoMask(mask_file.read_mask(self.file, row), *measured)

    def read_measured(self, row: int) -> list[Any]:
        """Return the columns of a row behind those that name it. Neighbouring rows are read at once."""
        start = row - row % mask_file.ROWS_AT_ONCE
        if self.block_start != start:
            with hdf5.reading(self.file.filename):
                names = list(mask_file.COLUMNS)[3:]
                self.block = [self.file[name][start : start + mask_file.ROWS_AT_ONCE].tolist() for name in names]
            self.block_start = start
        return [column[row - start] for column in self.block]


@contextmanager
def open_earlier(masks_h5: Path, recipe: str) -> Iterator[EarlierMasks | None]:
    """Yield the photos of the masks.h5 that dvc.lock names. Say why its masks cannot be used where that is so.

    Args:
        masks_h5: the file's path, as dvc.yaml names it. DVC removed it, and its cache has it.
        recipe: from `mask_recipe.describe_recipe`.

    Yields:
        The photos; None where there is no such file, or it has another recipe or is damaged.
    """
    with ExitStack() as opened:
        found, problem = dvc.find_earlier_output(masks_h5), ""
        earlier = None
        if found and not found.path.is_file():
            problem = f"is not in DVC's cache: to use its masks, stop, run `dvc fetch {masks_h5}`, and start again"
        elif found:
            try:
                file = opened.enter_context(hdf5.open_file(found.path, hdf5.MASKS))
                if files.md5(found.path) != found.md5:  # first: the recipe may be what is damaged
                    problem = "is damaged in DVC's cache"
                elif other := find_difference(mask_file.read_recipe(file), recipe):
                    problem = f"has masks of another recipe ({other})"
                else:
                    earlier = EarlierMasks(file)
            except DataError:
                problem = "is damaged in DVC's cache"
        if problem:
            print(f"masks: the {masks_h5} that dvc.lock names {problem}", flush=True)
        yield earlier


def find_difference(found: str, wanted: str) -> str:
    """Return the first part in which two recipes differ, such as "side 256, not 320"; "" where they are equal."""
    if found == wanted:
        return ""
    if not found:
        return "backgrounds were kept"
    one, other = json.loads(found), json.loads(wanted)
    for key in sorted({*one, *other} - {"made_by"}):
        if one.get(key) != other.get(key):
            return f"{key} {one.get(key)}, not {other.get(key)}"
    return ", ".join(sorted(set(one["made_by"]) - set(other["made_by"]))[:1]) or "other code"
