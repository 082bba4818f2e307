"""Results of an earlier masks.h5 or embeddings.h5, made here or on another machine: those of the same recipe are used
again."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import h5py
import numpy as np

from imageset.errors import DataError, FileInUse
from imageset.formats import hdf5
from imageset.formats.row_checksums import Rows
from imageset.photos import file_formats, photo_file
from imageset.photos.batches import scan_inventory
from imageset.photos.outcomes import Rejected
from imageset.runtime import dvc, files
from imageset.storage.bucket import StoredObject, has_md5

# What every run and machine rejects, whatever max_pixels is.
LASTING = frozenset({"empty", "not_an_image", *file_formats.REASONS})

Result = TypeVar("Result")
RowsOfKind = TypeVar("RowsOfKind", bound=Rows)


class FileKind(NamedTuple, Generic[RowsOfKind, Result]):
    """What is special of a kind of file.

    results: what the file holds, such as "masks"; the stage has this name or `stage`.
    format: of hdf5.
    measured: names of the columns that `read` takes.
    rows: of an open file, such as MaskRows.
    read: from these, a row's number and its values of `measured`, returns the result.
    nothing: why a file holds nothing on purpose.
    """

    stage: str
    results: str
    format: str
    measured: tuple[str, ...]
    rows: Callable[[h5py.File], RowsOfKind]
    read: Callable[[RowsOfKind, int, list[Any]], Result]
    nothing: str


class EarlierFile(Generic[Result]):
    """The photos of an earlier file, found by their objects."""

    def __init__(self, kind: FileKind[Any, Result], file: h5py.File) -> None:
        """Read which photos an open file has; 28 bytes of memory for each.

        Args:
            kind: of the file.
            file: checked as a whole if it is of version 1, which has no checksums.
        """
        self.kind = kind
        self.file = file
        self.rows = kind.rows(file)
        blocks = [names.tobytes() for _, (names,) in photo_file.read_columns(file, "objects")]
        halves = np.frombuffer(b"".join(blocks), np.uint64).reshape(-1, 2)
        self.order = np.argsort(halves[:, 0], kind="stable")
        self.names = halves[self.order]
        self.block_start = -1
        self.block: list[list[Any]] = []

    def find(self, stored: StoredObject) -> Result | Rejected | None:
        """Return what the file has of an object, None if nothing. Raises DamagedFile.

        Without an md5 or a version an etag might name other bytes in another bucket: then nothing is found.
        """
        if not has_md5(stored) and not stored.version_id:
            return None
        first, second = np.frombuffer(photo_file.name_object(stored), np.uint64)
        place = int(np.searchsorted(self.names[:, 0], first))
        while place < len(self.names) and self.names[place, 0] == first:
            if self.names[place, 1] == second:
                return self.read(int(self.order[place]))
            place += 1
        return None

    def read(self, row: int) -> Result | Rejected | None:
        """Return a row of the file; None for a rejection that another run or machine might not repeat."""
        reason, *measured = self.read_measured(row)
        if reason:
            rejected = Rejected(reason.decode("ascii"))
            return rejected if rejected.reason in LASTING else None
        return self.kind.read(self.rows, row, measured)

    def read_measured(self, row: int) -> list[Any]:
        """Return a row's reason and its values of `measured`. Neighbouring rows are read at once."""
        start = row - row % photo_file.ROWS_AT_ONCE
        if self.block_start != start:
            with hdf5.reading(self.file.filename):
                names = ("reasons", *self.kind.measured)
                self.block = [self.file[name][start : start + photo_file.ROWS_AT_ONCE].tolist() for name in names]
            self.block_start = start
        return [column[row - start] for column in self.block]


class ResultCache(Protocol):
    """A cache of results, such as MaskCache."""

    def find(self, stored: StoredObject) -> Any: ...
    def add(self, stored: StoredObject, outcome: Any) -> None: ...
    def commit(self) -> None: ...


@contextmanager
def open_earlier(kind: FileKind[Any, Result], path: Path, recipe: str) -> Iterator[EarlierFile[Result] | None]:
    """Yield the photos of the file that dvc.lock names. Say why its results cannot be used where that is so.

    Args:
        kind: of the file.
        path: the file's, as dvc.yaml names it. DVC removed it, and its cache has it.
        recipe: everything that decides a result except the photo.

    Yields:
        The photos; None where there is no such file, or it has another recipe or is damaged.
    """
    with ExitStack() as opened:
        found, problem = dvc.find_earlier_output(path), ""
        earlier = None
        if found and not found.path.is_file():
            problem = f"is not in DVC's cache: to use its {kind.results}, stop, run `dvc fetch {path}`, and start again"
        elif found:
            try:
                file = opened.enter_context(hdf5.open_file(found.path, kind.format))
                if files.md5(found.path) != found.md5:  # first: the recipe may be what is damaged
                    problem = "is damaged in DVC's cache"
                elif other := find_difference(photo_file.read_recipe(file), recipe, kind.nothing):
                    problem = f"has {kind.results} of another recipe ({other})"
                else:
                    earlier = EarlierFile(kind, file)
            except FileInUse:
                problem = "is open for writing in another process"
            except DataError:
                problem = "is damaged in DVC's cache"
        if problem:
            print(f"{kind.stage}: the {path} that dvc.lock names {problem}", flush=True)
        yield earlier


def find_difference(found: str, wanted: str, nothing: str) -> str:
    """Return the first part in which two recipes differ, such as "side 256, not 320"; "" where they are equal.

    nothing: what to return where the found one is "".
    """
    if found == wanted:
        return ""
    if not found:
        return nothing
    one, other = json.loads(found), json.loads(wanted)
    for key in sorted({*one, *other} - {"made_by"}):
        if one.get(key) != other.get(key):
            return f"{key} {one.get(key)}, not {other.get(key)}"
    return ", ".join(sorted(set(one["made_by"]) - set(other["made_by"]))[:1]) or "other code"


def import_earlier(kind: FileKind[Any, Any], inventory_csv: Path, cache: ResultCache, path: Path, recipe: str) -> int:
    """Take the results that an earlier file of the same recipe has into the cache.

    The file is looked for only when the cache lacks a result: asking DVC takes a second.

    Args:
        kind: of the file.
        inventory_csv: the photos.
        cache: what earlier runs made.
        path: the file's, as dvc.yaml names it.
        recipe: everything that decides a result except the photo.

    Returns:
        Of how many photos no result is known.
    """
    if all(cache.find(stored) for _, _, stored in scan_inventory(inventory_csv)):
        return 0
    unknown = imported = 0
    with open_earlier(kind, path, recipe) as earlier:
        for _, _, stored in scan_inventory(inventory_csv):
            if cache.find(stored) is None:
                found = earlier.find(stored) if earlier else None
                if found is None:
                    unknown += 1
                else:
                    cache.add(stored, found)
                    imported += 1
    cache.commit()
    if imported:
        print(f"{kind.stage}: {imported} are taken from the {path} that dvc.lock names", flush=True)
    return unknown
