"""tools.prune removes what no run has used for some time, and the files shrink."""

import datetime
import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from imageset.photos.embedding_cache import EmbeddingCache
from imageset.photos.facts import PhotoFacts
from imageset.photos.mask_cache import MaskCache
from imageset.photos.outcomes import PhotoEmbedding, PhotoMask
from imageset.photos.pixel_cache import PixelCache
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto
from imageset.runtime import command
from imageset.runtime.sections import PreprocessParams
from imageset.storage.bucket import Bucket, StoredObject
from tests.planted import SMALL_IMAGES
from tests.storage.test_object_cache import execute as execute_on_index
from tests.storage.test_object_cache import find, keep, photo
from tools import prune as tool

AGES = (0, 29, 30, 31)  # days since the last use of each object in the caches
LONG_AGO = 2000
TABLES = ("masks", "embeddings", "pixels")
CLIENT = SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://127.0.0.1:1"))
BUCKET = Bucket(None, CLIENT, "photos", "shop/")
OBJECT = StoredObject("1.jpeg", "d41d8cd98f00b204e9800998ecf8427e", 1000, "version 1")
MASK = b"a compressed mask"
LARGE: PreprocessParams = SMALL_IMAGES.model_copy(update={"image_side": 256})


def open_masks(folder: Path) -> "closing[MaskCache]":
    return closing(MaskCache(folder / "masks.sqlite", BUCKET, "a recipe", 10**6))


def open_embeddings(folder: Path) -> "closing[EmbeddingCache]":
    return closing(EmbeddingCache(folder / "embeddings.sqlite", BUCKET, "a recipe", 10**6))


def open_pixels(folder: Path, preprocess: PreprocessParams = SMALL_IMAGES) -> "closing[PixelCache]":
    return closing(PixelCache(folder / "pixels.sqlite", BUCKET, preprocess))


def of_age(days: int) -> StoredObject:
    return replace(OBJECT, bytes=days)


def made(side: int = SMALL_IMAGES.image_side) -> DecodedPhoto:
    random = np.random.default_rng(1)
    square, thumbnail = (random.integers(0, 256, shape, np.uint8) for shape in ((side, side, 1), (64, 64, 1)))
    prepared = PreparedPhoto(square, thumbnail, "b" * 64, "0123456789abcdef", "fedcba9876543210")
    return DecodedPhoto(PhotoFacts(400, 533, "JPEG", 0.6, 130.0, 57.5, 1.3325, ""), b"a preview", prepared)


def add(folder: Path, stored: StoredObject, large: bool = False) -> None:
    """Add an object's mask, embedding and pixels, some 64 kB each where they are to be large."""
    mask = os.urandom(1 << 16) if large else MASK
    with open_masks(folder) as cache:
        cache.add(stored, PhotoMask(mask, 1000, 0.5, 0.0, 1, 0.1))
    with open_embeddings(folder) as embeddings:
        embeddings.add(stored, PhotoEmbedding(mask, 1000))
    with open_pixels(folder, LARGE if large else SMALL_IMAGES) as pixels:
        pixels.add(stored, mask, made(256) if large else made())


def knows(folder: Path, stored: StoredObject) -> tuple[bool, bool, bool]:
    """Tell whether mask, embedding and pixels of an object are known, by a run that uses them."""
    with open_masks(folder) as masks, open_embeddings(folder) as embeddings, open_pixels(folder) as pixels:
        found = masks.find(stored), embeddings.find(stored), pixels.find(stored, MASK)
        return found[0] is not None, found[1] is not None, found[2] is not None


def kept_ages(folder: Path) -> list[int]:
    """Return the ages of the objects whose mask, embedding and pixels are in the caches."""
    known = {days: knows(folder, of_age(days)) for days in AGES}
    assert set(known.values()) <= {(True,) * 3, (False,) * 3}
    return [days for days in AGES if all(known[days])]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that IMAGESET_CACHE names."""
    monkeypatch.setenv("IMAGESET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def filled(folder: Path) -> Path:
    """Caches with an object for each of AGES, and a large object of long ago."""
    for days in (*AGES, LONG_AGO):
        add(folder, of_age(days), large=days == LONG_AGO)
        used = (datetime.date.today() - datetime.timedelta(days)).isoformat()
        for table in TABLES:
            with closing(sqlite3.connect(folder / f"{table}.sqlite")) as database, database:
                database.execute(f"UPDATE {table} SET used = ? WHERE rowid = (SELECT max(rowid) FROM {table})", (used,))
    return folder


def prune(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run the command as from a shell."""
    monkeypatch.setattr(sys, "argv", ["prune", *arguments])
    command.run("prune", tool.main)


def sizes(folder: Path) -> dict[str, int]:
    return {table: (folder / f"{table}.sqlite").stat().st_size for table in TABLES}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((), [0, 29, 30]), (("--days", "29"), [0, 29]), (("--days", "31"), [0, 29, 30, 31]), (("--days", "0"), [0])],
)
def test_what_was_used_within_the_days_is_kept_and_the_rest_removed(
    arguments: tuple[str, ...],
    expected: list[int],
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sizes(filled)
    prune(monkeypatch, *arguments)
    after, removed = sizes(filled), len(AGES) + 1 - len(expected)

    assert all(after[table] < before[table] for table in before)
    assert capsys.readouterr().out == "".join(
        f"prune: removed the {table} of {removed} photos; {filled / table}.sqlite shrank from "
        f"{before[table] / 1e6:.1f} to {after[table] / 1e6:.1f} MB\n"
        for table in TABLES
    )
    assert kept_ages(filled) == expected


def test_what_is_used_again_is_kept(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert knows(filled, of_age(31)) == (True, True, True)

    prune(monkeypatch)

    assert kept_ages(filled) == [0, 29, 30, 31]


def test_other_runs_continue_while_the_caches_are_pruned(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sizes(filled)
    with (
        open_masks(filled) as masks,
        open_embeddings(filled) as embeddings,
        open_pixels(filled) as pixels,
        closing(sqlite3.connect(filled / "masks.sqlite")) as reader,
    ):
        rows = reader.execute("SELECT key FROM masks")
        rows.fetchone()
        masks.add(of_age(7), PhotoMask(MASK, 1000, 0.5, 0.0, 1, 0.1))
        embeddings.add(of_age(7), PhotoEmbedding(MASK, 1000))
        pixels.add(of_age(7), MASK, made())
        prune(monkeypatch)

        assert len(rows.fetchall()) == len(AGES)
        assert (masks.find(of_age(31)), pixels.find(of_age(31), MASK)) == (None, None)

        masks.add(of_age(31), PhotoMask(MASK, 1000, 0.5, 0.0, 1, 0.1))
        embeddings.add(of_age(31), PhotoEmbedding(MASK, 1000))
        pixels.add(of_age(31), MASK, made())

    assert kept_ages(filled) == [0, 29, 30, 31]
    assert knows(filled, of_age(7)) == (True, True, True)
    assert all(size < before[table] for table, size in sizes(filled).items())


def test_photos_of_the_bucket_that_no_run_has_used_are_removed_as_well(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = filled / "objects"
    keep(objects, photo(1), photo(2))
    execute_on_index(objects, "UPDATE packs SET used = used - 40 * 86400")
    keep(objects, photo(3))
    prune(monkeypatch)

    assert capsys.readouterr().out.splitlines()[3:] == [
        f"prune: removed 2 photos of the bucket, 0.0 MB, from {objects}"
    ]
    assert find(objects, photo(1), photo(2), photo(3)) == [False, False, True]
    assert len(list(objects.glob("*.pack"))) == 1


def test_without_caches_there_is_nothing_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prune(monkeypatch)

    assert capsys.readouterr().out == "".join(
        f"prune: nothing to remove, {folder / table}.sqlite does not exist\n" for table in TABLES
    )
    assert not folder.exists()


def test_a_cache_alone_is_pruned(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where backgrounds are kept."""
    (filled / "masks.sqlite").unlink()
    prune(monkeypatch)
    said = capsys.readouterr().out.splitlines()

    assert said[0] == f"prune: nothing to remove, {filled / 'masks.sqlite'} does not exist"
    assert said[2].startswith("prune: removed the pixels of 2 photos; ")
    assert not (filled / "masks.sqlite").exists()


@pytest.mark.parametrize("there", [True, False])
def test_the_cache_of_an_earlier_version_is_named_and_left(
    there: bool, filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = filled / "photos.sqlite"
    if there:
        old.write_bytes(b"of an earlier version")
    prune(monkeypatch)

    assert capsys.readouterr().out.splitlines()[3:] == (
        [f"prune: {old} is an earlier version's and may be removed"] if there else []
    )
    assert old.exists() == there


@pytest.mark.parametrize("table", TABLES)
def test_a_file_that_is_no_cache_is_refused_in_one_line(
    table: str, filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (filled / f"{table}.sqlite").write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(SystemExit) as caught:
        prune(monkeypatch)
    printed = capsys.readouterr()

    assert (caught.value.code, printed.err.count("\n")) == (1, 1)
    assert printed.err.startswith(f"prune: {filled / table}.sqlite: ")
    assert "it may be removed" in printed.err


@pytest.mark.parametrize("days", ["-1", "many", "9999999", "1.5"])
def test_a_wrong_number_of_days_is_refused_before_anything_is_removed(
    days: str, filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        prune(monkeypatch, "--days", days)

    assert caught.value.code == 2
    assert f"--days: {days!r} is not a number of days from 0 to 9999" in capsys.readouterr().err
    assert kept_ages(filled) == list(AGES)
