"""What a search for near-duplicates leaves for the next one, so that 1 % more photos cost 1 % of the work.

A folder of arrays, which may be removed at any time: the hashes of each photo, the candidates among these photos, and
the likeness of the pairs that were compared. Photos are known by a digest of what the search reads of them. So the same
photos have the same candidates, whatever they are called, and whatever else is searched. The folder is for one recipe:
code, libraries, processor, and params that decide hashes or candidates. It is replaced whole when a search succeeds.
"""

import datetime
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from deflate import crc32
from numpy.typing import NDArray

from imageset.curation.candidates import DIGEST_BYTES, Digests, KnownViews, Pairs, PhotosToCompare
from imageset.curation.sieve import WORDS, Signs
from imageset.curation.views import VIEWS, Hashes
from imageset.curation.window_hashes import WINDOWS
from imageset.errors import DiskError, ImagesetError
from imageset.formats.hdf5 import Indices
from imageset.runtime import files

SUMS = "sums.json"  # of all other files, written last: a folder that lacks it, or has other sums, holds nothing
VIEWS_FILE = "views.npy.raw"
CHECKED_AT_ONCE = 1 << 24  # bytes


class EarlierSearch(NamedTuple):
    """What a search of N photos found. It compared K of them with each other by the hashes of their views.

    Attributes:
        digests: of the photos, uint8 (N, DIGEST_BYTES).
        signs: of the photos as they are, uint64 (N, WORDS): see sieve.py.
        windows: the hashes of their windows, uint64 (N, WINDOWS).
        tells: which windows tell photos apart, (N, WINDOWS).
        searched: the places of the K photos, ascending.
        views: the hashes of their views, uint64 (K, VIEWS).
        candidates: places of two of these photos, int32 (C, 2): see KnownViews.
        keys: what the likeness is of, sorted, uint8 (L, DIGEST_BYTES): see `make_keys`.
        likeness: float64 (L,).
    """

    digests: Digests
    signs: Signs
    windows: Hashes
    tells: NDArray[np.bool_]
    searched: Indices
    views: Hashes
    candidates: NDArray[np.int32]
    keys: Digests
    likeness: NDArray[np.float64]

    def of_views(self, places: Indices) -> KnownViews:
        """Return what is known of the views of P photos. Of those with one digest, it is known of the first one alone.

        places: of the photos among these, (P,), -1 of others.
        """
        rows: Indices = np.full(len(self.digests) + 1, -1)  # the last one is that of -1
        rows[self.searched] = np.arange(len(self.searched))
        known: Indices = np.full(len(places), -1)
        first = np.unique(places, return_index=True)[1]
        known[first] = rows[places[first]]
        of_earlier: Indices = np.full(len(self.digests), -1)
        of_earlier[places[known >= 0]] = np.flatnonzero(known >= 0)
        pairs = of_earlier[self.candidates].reshape(-1, 2)
        pairs = pairs[(pairs >= 0).all(axis=1)]
        return KnownViews(known, self.views, pairs[np.lexsort(pairs.T[::-1])])


NOTHING = EarlierSearch(
    np.empty((0, DIGEST_BYTES), np.uint8),
    np.empty((0, WORDS), np.uint64),
    np.empty((0, len(WINDOWS)), np.uint64),
    np.empty((0, len(WINDOWS)), bool),
    np.empty(0, np.intp),
    np.empty((0, len(VIEWS)), np.uint64),
    np.empty((0, 2), np.int32),
    np.empty((0, DIGEST_BYTES), np.uint8),
    np.empty(0),
)


class SearchMemory:
    """What an earlier search found, and what is kept of this one. Without arguments it knows and keeps nothing.

    Attributes:
        earlier: what is known.
        new: photos that the earlier search did not know.
        compared: pairs that were compared because their likeness was not known.
    """

    def __init__(self, earlier: EarlierSearch = NOTHING, views: IO[bytes] | None = None) -> None:
        """Remember a search. views: the file for the hashes of all views, None to keep nothing of this search."""
        self.earlier = earlier
        self.sorted_digests, self.sorted_keys = sort_texts(earlier.digests), sort_texts(earlier.keys)
        self.views = views
        self.kept: dict[str, list[NDArray[Any]]] = {"searched": [], "candidates": [], "keys": [], "likeness": []}
        self.of_photos: dict[str, NDArray[Any]] = {}
        self.new = self.compared = 0

    def find(self, digests: Digests) -> Indices:
        """Return the places of photos among those of the earlier search, (P,), -1 of new ones."""
        return find_sorted(*self.sorted_digests, digests)

    def keep_photos(self, photos: PhotosToCompare, places: Indices) -> None:
        """Begin to keep what a search finds. places: from `find`."""
        self.new = len(np.unique(photos.numbers[places < 0]))
        self.of_photos["digests"] = photos.digests

    def keep_of_photos(self, **arrays: NDArray[Any]) -> None:
        """Keep arrays of all photos, by the names of EarlierSearch."""
        self.of_photos |= arrays

    def keep_views(self, places: Indices, views: Hashes, candidates: Pairs) -> None:
        """Keep the hashes of the views of photos, and their candidates, as places among all photos.

        places: ascending, and above those of the call before.
        """
        if self.views is not None:
            with files.full_disk(Path(self.views.name)):
                self.views.write(np.ascontiguousarray(views).data)
            self.kept["searched"].append(places)
            self.kept["candidates"].append(candidates.astype(np.int32))

    def recall(self, kind: str, one: Digests, other: Digests) -> tuple[Digests, NDArray[np.float64]]:
        """Return the keys of P pairs, (P, DIGEST_BYTES), and their likeness, (P,), NaN where it is not known."""
        keys = make_keys(kind, one, other)
        places = find_sorted(*self.sorted_keys, keys)
        likeness = np.full(len(keys), np.nan)
        likeness[places >= 0] = self.earlier.likeness[places[places >= 0]]
        self.compared += int((places < 0).sum())
        return keys, likeness

    def keep_likeness(self, keys: Digests, likeness: NDArray[np.float64]) -> None:
        """Keep the likeness of pairs."""
        if self.views is not None:
            self.kept["keys"].append(keys)
            self.kept["likeness"].append(likeness)

    def list_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is kept, but for the hashes of views, by the names of EarlierSearch."""
        empty = NOTHING._asdict()
        found = {name: np.concatenate([empty[name], *arrays]) for name, arrays in self.kept.items()}
        _, first = np.unique(as_texts(found["keys"]), return_index=True)
        found["keys"], found["likeness"] = found["keys"][first], found["likeness"][first]
        return {**{name: empty[name] for name in ("digests", "signs", "windows", "tells")}, **self.of_photos, **found}


@contextmanager
def open_memory(folder: Path, recipe: str) -> Iterator[SearchMemory]:
    """Yield what the last search left in a folder, and replace it by what this one found, if it succeeds.

    While another search has the folder open, it is read, and nothing is kept.

    Args:
        folder: of the cache.
        recipe: everything that decides what is kept, except the photos.

    Raises:
        DiskError: the disk is full, is read-only, or fails.
    """
    earlier, following = read(folder, recipe), name_following(folder)
    with ExitStack() as stack:
        if not enter_lock(stack, name_lock(folder)):
            yield SearchMemory(earlier)
            return
        stack.callback(shutil.rmtree, following, ignore_errors=True)
        shutil.rmtree(following, ignore_errors=True)  # of a search that was killed
        with files.full_disk(following):
            following.mkdir()
        with (following / VIEWS_FILE).open("wb") as views:
            memory = SearchMemory(earlier, views)
            yield memory
        if memory.of_photos:
            with files.full_disk(following):
                write(following, recipe, memory.list_arrays())
                shutil.rmtree(folder, ignore_errors=True)
                following.rename(folder)


def enter_lock(stack: ExitStack, path: Path) -> bool:
    """Hold a lock file as long as the stack, and return True, or False where another process holds it."""
    try:
        stack.enter_context(files.lock(path))
    except DiskError:
        raise
    except ImagesetError:
        return False
    return True


def name_lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def name_following(folder: Path) -> Path:
    """Return the folder that a search writes before it replaces that of the search before."""
    return folder.with_name(f".{folder.name}.tmp")


def remove(folder: Path) -> bool:
    """Remove what searches left, and return whether there was anything."""
    there = [path for path in (folder, name_following(folder)) if path.exists()]
    for path in there:
        shutil.rmtree(path)
    return bool(there)


def prune(folder: Path, days: int) -> int:
    """Remove what the last search left, if that is more than some days ago. Return the bytes removed."""
    files_there = [path for path in folder.glob("*") if path.is_file()]
    newest = max((path.stat().st_mtime for path in files_there), default=0)
    if not files_there or datetime.date.fromtimestamp(newest) >= datetime.date.today() - datetime.timedelta(days):
        return 0
    size = sum(path.stat().st_size for path in files_there)
    with ExitStack() as stack:
        if not enter_lock(stack, name_lock(folder)):  # a search is running
            return 0
        remove(folder)
    return size


def count_known(folder: Path, recipe: str) -> int:
    """Return of how many photos the last search left something for this recipe. One with a frame counts twice.

    It is not read, so it may turn out to be damaged.
    """
    try:
        if json.loads((folder / SUMS).read_bytes())["recipe"] != hash_recipe(recipe):
            return 0
        return len(np.load(folder / "digests.npy", mmap_mode="r"))
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def read(folder: Path, recipe: str) -> EarlierSearch:
    """Return what a search left in a folder, nothing if it had another recipe, or if a bit there is another one."""
    try:
        if (folder / SUMS).read_bytes() != sum_up(folder, recipe):
            return NOTHING
        arrays = {name: np.load(folder / f"{name}.npy") for name in NOTHING._fields if name != "views"}
    except FileNotFoundError:
        return NOTHING
    if not len(arrays["searched"]):
        return NOTHING._replace(**arrays)
    views = np.memmap(folder / VIEWS_FILE, np.uint64, "r", shape=(len(arrays["searched"]), len(VIEWS)))
    return EarlierSearch(**arrays, views=views)


def write(folder: Path, recipe: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays beside the hashes of views, and then the sums of all."""
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    files.write_bytes(folder / SUMS, sum_up(folder, recipe))


def sum_up(folder: Path, recipe: str) -> bytes:
    """Return the recipe and the CRC-32 of each array's file, as SUMS has them. Raises FileNotFoundError."""
    names = [*(f"{name}.npy" for name in NOTHING._fields if name != "views"), VIEWS_FILE]
    sums = {name: checksum(folder / name) for name in names}
    return json.dumps({"recipe": hash_recipe(recipe), "crc32": sums}).encode()


def hash_recipe(recipe: str) -> str:
    return hashlib.sha256(recipe.encode()).hexdigest()


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(CHECKED_AT_ONCE):
            found = crc32(block, found)
    return found


def make_keys(kind: str, one: Digests, other: Digests) -> Digests:
    """Return the keys of the likeness of P pairs, uint8 (P, DIGEST_BYTES).

    Args:
        kind: how they are compared.
        one, other: the digests of the photos of each pair, (P, DIGEST_BYTES).
    """
    both = np.concatenate([one, other], axis=1)
    keys = [hashlib.blake2b(pair, key=kind.encode(), digest_size=DIGEST_BYTES).digest() for pair in both]
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, DIGEST_BYTES)


def as_texts(digests: Digests) -> NDArray[np.bytes_]:
    """Return digests as values that sort: numpy compares texts of one length byte by byte, zeros at the end too."""
    texts: NDArray[np.bytes_] = np.ascontiguousarray(digests).view(f"S{DIGEST_BYTES}")[:, 0]
    return texts


def sort_texts(digests: Digests) -> tuple[NDArray[np.bytes_], Indices]:
    """Return digests sorted, and their places."""
    texts = as_texts(digests)
    order = np.argsort(texts, kind="stable")
    return texts[order], order


def find_sorted(texts: NDArray[np.bytes_], order: Indices, wanted: Digests) -> Indices:
    """Return the place of the first of each, -1 where there is none. texts, order: from `sort_texts`."""
    values = as_texts(wanted)
    if not len(texts):
        return np.full(len(values), -1)
    places = np.minimum(np.searchsorted(texts, values), len(texts) - 1)
    return np.where(texts[places] == values, order[places], -1)
