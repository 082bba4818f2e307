"""What a search leaves for the next one: the same pairs with it and without, for less work, and no bit of it wrong."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import idctn
from scipy.ndimage import zoom

from imageset.curation import candidates, duplicate_search, near_duplicates, search_cache
from imageset.curation.duplicate_search import KnownPhotos
from imageset.curation.near_duplicates import NearDuplicate
from imageset.curation.search_cache import NOTHING, SearchMemory, open_memory
from imageset.curation.views import VIEWS, hash_views, view_frequencies
from imageset.formats import tables
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import files
from imageset.runtime.sections import DuplicatesParams
from tests.project import ROOT

RECIPE = "a recipe"
DUPLICATES = DuplicatesParams(distance=6, likeness=0.86, max_products=20, max_rejected_share=1.0)
ORIGINALS = 50
COPIES = 2  # of each kind


@cache
def make_photos() -> Pixels:
    """Thumbnails, uint8 (N, 64, 64, 1): photos that share what all garments on a hanger do, their copies, plain walls.

    The copies are noisy, mirrored, with a border, and with a sticker.
    """
    draw = np.random.default_rng(5)
    decay = 1 / (1 + np.hypot(*np.indices((64, 64))))
    shared = draw.normal(0, 700, (64, 64)) * decay
    own = draw.normal(0, 300, (ORIGINALS, 64, 64)) * decay
    photos = np.clip(128 + idctn(shared + own, axes=(1, 2), norm="ortho"), 0, 255)
    noisy, mirrored, framed, stuck = (photos[start : start + COPIES].copy() for start in (0, 10, 20, 30))
    noisy += draw.normal(0, 2, noisy.shape)
    bordered = np.full_like(framed, 255.0)
    bordered[:, 6:58, 6:58] = [zoom(each, 52 / 64, order=1) for each in framed]
    stuck[:, 34:54, 34:54] = 255
    walls = np.full((3, 64, 64), 90.0) + np.arange(3).reshape(-1, 1, 1)
    made = np.concatenate([photos, noisy, mirrored[:, :, ::-1], bordered, stuck, walls])
    return np.asarray(np.clip(np.rint(made), 0, 255).astype(np.uint8)[..., np.newaxis])


@cache
def make_hashes() -> NDArray[np.uint64]:
    return hash_views(view_frequencies(make_photos()[..., 0]))[:, 0]


EVERY = np.arange(len(make_photos()))


def know(places: Indices, released: int = 0) -> KnownPhotos:
    """Return what a search knows of these photos, in this order. The first of them are released, in turn to both."""
    hashes = make_hashes()
    processed = [
        (number, 0, place, f"{number:064x}", f"{hashes[place]:016x}", f"{number:016x}")
        for number, place in enumerate(places.tolist())
    ]
    subsets = np.array([("train", "test")[number % 2] if number < released else "" for number in range(len(places))])
    photos = tables.frame(tables.PROCESSED, processed)
    return KnownPhotos(photos, make_photos(), tables.frame(tables.LISTING_GROUPS, []), subsets, subsets)


def search(folder: Path | None, known: KnownPhotos, recipe: str = RECIPE) -> tuple[list[NearDuplicate], SearchMemory]:
    """Return what is found with the cache in a folder, or without, and what was remembered."""
    if folder is None:
        return list(duplicate_search.search(known, DUPLICATES)), SearchMemory()
    with open_memory(folder, recipe) as memory:
        found = list(duplicate_search.search(known, DUPLICATES, memory, is_kept=True))
    return found, memory


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Count the photos that are hashed and the pairs whose details are compared, where it is done."""
    counts = {"views": 0, "windows": 0, "pairs": 0}

    def count(module: Any, name: str, what: str) -> None:
        function = getattr(module, name)

        def counting(images: Pixels, *others: Any) -> Any:
            counts[what] += len(images)
            return function(images, *others)

        monkeypatch.setattr(module, name, counting)

    with monkeypatch.context():
        count(candidates, "hash_with_signs", "views")
        count(candidates, "hash_windows", "windows")
        count(near_duplicates, "aligned_likeness", "pairs")
        yield counts
    monkeypatch.undo()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of a search of all photos but two: an original, and a copy of another."""
    folder = tmp_path_factory.mktemp("cache") / "near_duplicates"
    search(folder, know(np.delete(EVERY, [40, ORIGINALS + 1])))
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copy = tmp_path / "near_duplicates"
    copy.mkdir()
    for path in filled.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


CASES = {
    "the same photos": know(np.delete(EVERY, [40, ORIGINALS + 1])),
    "more photos": know(EVERY),
    "fewer photos": know(EVERY[::3]),
    "other photos": know(np.array([40, ORIGINALS + 1])),
    "no photos": know(EVERY[:0]),
    "another order": know(EVERY[::-1]),
    "equal photos": know(np.concatenate([EVERY[:20], EVERY[45:], EVERY[10:30]])),
    "released photos": know(np.random.default_rng(1).permutation(EVERY), released=30),
}


@pytest.mark.parametrize("case", CASES)
def test_the_pairs_are_those_of_a_search_that_remembers_nothing(case: str, folder: Path) -> None:
    expected, _ = search(None, CASES[case])

    assert search(folder, CASES[case])[0] == expected
    again, memory = search(folder, CASES[case])
    assert again == expected
    assert memory.compared == 0


def test_the_pairs_are_the_same_where_photos_are_searched_in_parts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "HASHES_AT_ONCE", 20 * len(VIEWS))
    expected, _ = search(None, know(EVERY))

    assert search(folder, know(EVERY))[0] == expected
    assert search(folder, know(EVERY))[0] == expected


def test_copies_of_every_kind_are_found() -> None:
    """Else the tests above would show little."""
    found, _ = search(None, know(EVERY))
    copies = {max(pair[:2]) for pair in found}

    assert copies >= set(range(ORIGINALS, ORIGINALS + 4 * COPIES))


def test_two_photos_more_cost_the_hashes_and_the_pairs_of_two(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch) as cold:
        search(None, know(EVERY))
    with counted(monkeypatch) as warm:
        _, memory = search(folder, know(EVERY))
    with counted(monkeypatch) as again:
        search(folder, know(EVERY))

    assert cold["views"] > ORIGINALS
    assert cold["pairs"] > 15
    assert (memory.new, warm["windows"]) == (2, 2)
    # One has its original's hash, which is enough. Photos with nearly the hash of the other are hashed once more.
    assert 1 <= warm["views"] <= 8
    assert 1 <= memory.compared == warm["pairs"] <= 4
    assert again == {"views": 0, "windows": 0, "pairs": 0}


def test_a_bit_that_is_another_one_is_noticed(folder: Path) -> None:
    whole = search_cache.read(folder, RECIPE)

    assert len(whole.digests) == len(whole.windows) > len(EVERY) - 2
    assert min(len(whole.views), len(whole.candidates), len(whole.likeness)) > 0
    draw = np.random.default_rng(1)
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for place in (0, len(content) - 1, *draw.integers(0, len(content), 5).tolist()):
            flipped = bytearray(content)
            flipped[place] ^= 1 << int(draw.integers(8))
            path.write_bytes(flipped)
            assert search_cache.read(folder, RECIPE) is NOTHING
        path.write_bytes(content[:-1])
        assert search_cache.read(folder, RECIPE) is NOTHING
        path.unlink()
        assert search_cache.read(folder, RECIPE) is NOTHING
        path.write_bytes(content)

    assert len(search_cache.read(folder, RECIPE).digests) == len(whole.digests)


def test_files_of_another_search_are_noticed(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    search(other, know(EVERY))
    (folder / "windows.npy").write_bytes((other / "windows.npy").read_bytes())

    assert search_cache.read(folder, RECIPE) is NOTHING


def test_another_recipe_knows_nothing(folder: Path) -> None:
    found, memory = search(folder, know(EVERY), "another recipe")

    assert found == search(None, know(EVERY))[0]
    assert memory.new == len(EVERY)
    assert search_cache.read(folder, RECIPE) is NOTHING


def test_a_search_that_fails_leaves_what_there_was(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    gone = know(EVERY)._replace(thumbnails=make_photos()[:40])
    with pytest.raises(IndexError):
        search(folder, gone)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["near_duplicates", "near_duplicates.lock"]


def test_a_search_that_is_killed_leaves_what_there_was(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    killed = (
        "import os, sys; from pathlib import Path; from imageset.curation.search_cache import open_memory\n"
        "with open_memory(Path(sys.argv[1]), 'a recipe') as memory: os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", killed, str(folder)], cwd=ROOT, env={**os.environ}, check=False)

    assert ended.returncode == -9
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (folder.parent / ".near_duplicates.tmp").is_dir()
    assert search(folder, know(EVERY))[1].new == 2
    assert not (folder.parent / ".near_duplicates.tmp").exists()


def test_while_another_search_runs_the_cache_is_read_and_not_replaced(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with files.lock(folder.with_name("near_duplicates.lock")):
        found, memory = search(folder, know(EVERY))

    assert found == search(None, know(EVERY))[0]
    assert memory.new == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(("age", "days", "stays"), [(0, 0, True), (30, 30, True), (31, 30, False), (1, 0, False)])
def test_what_no_search_has_used_for_some_days_is_removed(age: int, days: int, stays: bool, folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - age * 86400,) * 2)
    size = sum(path.stat().st_size for path in folder.iterdir())

    assert search_cache.prune(folder, days) == (0 if stays else size)
    assert folder.exists() == stays
    assert search_cache.prune(folder.with_name("nothing"), 0) == 0


def test_a_search_that_runs_keeps_its_folders(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    with search_cache.open_memory(folder, "a recipe"):
        assert search_cache.prune(folder, 30) == 0
        assert search_cache.name_following(folder).exists()
    assert search_cache.prune(folder, 30) > 0


def test_all_that_searches_left_is_removed(folder: Path) -> None:
    (folder.parent / ".near_duplicates.tmp").mkdir()

    assert search_cache.remove(folder)
    assert [path.name for path in folder.parent.iterdir()] == []
    assert not search_cache.remove(folder)
