"""embeddings.h5: any HDF5 reader reads it; what has the same recipe is found again by its object, and nothing else.

What both kinds of file have in common is tested in test_mask_file.py and test_earlier_masks.py.
"""

import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5, row_checksums
from imageset.photos import photo_file
from imageset.photos.earlier_embeddings import EARLIER_EMBEDDINGS
from imageset.photos.earlier_file import open_earlier
from imageset.photos.embedding_cache import EmbeddingCache
from imageset.photos.embedding_file import writing_embeddings
from imageset.photos.outcomes import PhotoEmbedding, Rejected
from imageset.photos.photo_file import name_object
from imageset.runtime import dvc, files
from imageset.storage.bucket import StoredObject
from tests.photos.test_cache import BUCKET, OBJECT, execute, flipped

RECIPE = '{"made_by": []}'
REASONS = ("empty", "not_an_image", "truncated", "decoder_timeout")

Row = tuple[int, int, StoredObject, PhotoEmbedding | Rejected]


def values(number: int) -> NDArray[np.float32]:
    return np.random.default_rng(number).random(1280, np.float32)


def make_rows(count: int) -> list[Row]:
    """Photos of which every fifth is rejected."""
    return [
        (
            7 + number // 2,
            number % 2,
            replace(OBJECT, bytes=number),
            Rejected(REASONS[number // 5 % 4]) if number % 5 == 2 else PhotoEmbedding(values(number).tobytes(), number),
        )
        for number in range(count)
    ]


def write(path: Path, rows: Sequence[Row], photos: int | None = None, recipe: str = RECIPE) -> Path:
    with writing_embeddings(path, len(rows) if photos is None else photos, recipe) as add:
        for row in rows:
            add(*row)
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file of 23 photos."""
    return write(tmp_path / "embeddings.h5", make_rows(23))


def test_any_hdf5_reader_reads_the_embeddings_and_the_reasons(written: Path) -> None:
    with h5py.File(written) as file:
        found = {name: file[name][:] for name in file}
        attributes = dict(file.attrs)

    rows = make_rows(23)
    assert (found["embeddings"].shape, found["embeddings"].dtype) == ((23, 1280), "<f4")
    assert found["ids"].tolist() == [row[0] for row in rows]
    assert found["positions"].tolist() == [row[1] for row in rows]
    assert [name.tobytes() for name in found["objects"]] == [name_object(row[2]) for row in rows]
    for number, (_, _, _, outcome) in enumerate(rows):
        done = isinstance(outcome, PhotoEmbedding)

        assert (found["embeddings"][number] == (values(number) if done else 0)).all()
        assert found["reasons"][number] == (b"" if isinstance(outcome, PhotoEmbedding) else outcome.reason.encode())
        assert found["photo_pixels"][number] == (number if done else 0)
    assert found["crc32"].tolist() == [zlib.crc32(row.tobytes()) for row in found["embeddings"]]
    assert attributes.pop("others_crc32") > 0
    assert attributes == {"complete": True, "format": "imageset-embeddings", "format_version": 2, "recipe": RECIPE}


@pytest.mark.parametrize("count", [1, 7, 14, 23])
def test_rows_are_written_a_few_at_a_time_with_the_same_bytes(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / "whole.h5", make_rows(count))
    again = write(tmp_path / "again.h5", make_rows(count))
    monkeypatch.setattr(photo_file, "ROWS_AT_ONCE", 7)
    parts = write(tmp_path / "parts.h5", make_rows(count))

    assert whole.read_bytes() == again.read_bytes()
    with hdf5.open_file(whole, hdf5.EMBEDDINGS) as one, hdf5.open_file(parts, hdf5.EMBEDDINGS) as other:
        assert hdf5.content_digest(one) == hdf5.content_digest(other)


def test_no_photos_make_a_file_without_rows(tmp_path: Path) -> None:
    with hdf5.open_file(write(tmp_path / "embeddings.h5", [], recipe=""), hdf5.EMBEDDINGS) as file:
        assert (photo_file.read_recipe(file), file["embeddings"].shape, len(file["ids"])) == ("", (0, 1280), 0)


def test_an_interrupted_writer_leaves_what_was_there_and_nothing_else(written: Path) -> None:
    before = written.read_bytes()

    with pytest.raises(AssertionError):
        write(written, make_rows(9), photos=10)
    with pytest.raises(KeyboardInterrupt), writing_embeddings(written, 1, RECIPE):
        raise KeyboardInterrupt

    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_a_damaged_file_is_named(written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file["embeddings"]
    with pytest.raises(DamagedFile, match=r"embeddings\.h5 is damaged"):
        row_checksums.open_file(written, hdf5.EMBEDDINGS)
    with pytest.raises(DataError, match="is not a file of format imageset-masks, but 'imageset-embeddings'"):
        row_checksums.open_file(written, hdf5.MASKS)


# An earlier file


def test_what_an_earlier_file_has_is_found_by_its_object(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc, "find_earlier_output", lambda path: dvc.EarlierOutput(files.md5(path), path))
    with open_earlier(EARLIER_EMBEDDINGS, written, RECIPE) as earlier:
        assert earlier
        for _, _, stored, outcome in make_rows(23):
            lasting = not isinstance(outcome, Rejected) or outcome.reason in ("empty", "not_an_image")

            assert earlier.find(stored) == (outcome if lasting else None)
        assert earlier.find(replace(OBJECT, bytes=1000)) is None


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("", "has embeddings of another recipe (embed.enabled was false)"),
        ('{"made_by": ["numpy 1"]}', "has embeddings of another recipe (numpy 1)"),
        ('{"made_by": [], "network": "b0"}', "has embeddings of another recipe (network b0, not None)"),
    ],
)
def test_a_file_of_another_recipe_is_not_used(
    recipe: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dvc, "find_earlier_output", lambda path: dvc.EarlierOutput(files.md5(path), path))
    path = write(tmp_path / "embeddings.h5", make_rows(3), recipe=recipe)
    with open_earlier(EARLIER_EMBEDDINGS, path, RECIPE) as earlier:
        assert earlier is None

    assert capsys.readouterr().out == f"embed: the {path} that dvc.lock names {said}\n"


def test_of_a_file_that_dvc_does_not_have_it_says_how_to_fetch_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "embeddings.h5"
    monkeypatch.setattr(dvc, "find_earlier_output", lambda path: dvc.EarlierOutput("0" * 32, path))
    with open_earlier(EARLIER_EMBEDDINGS, path, RECIPE) as earlier:
        assert earlier is None

    assert capsys.readouterr().out.endswith(
        f"is not in DVC's cache: to use its embeddings, stop, run `dvc fetch {path}`, and start again\n"
    )


# The cache

EMBEDDING = PhotoEmbedding(values(1).tobytes(), 1_000_000)


def open_cache(folder: Path, recipe: str = RECIPE, max_pixels: int = 2_000_000) -> "closing[EmbeddingCache]":
    return closing(EmbeddingCache(folder / "embeddings.sqlite", BUCKET, recipe, max_pixels))


def test_a_later_run_of_the_same_recipe_finds_the_embedding_whatever_max_pixels_is(tmp_path: Path) -> None:
    with open_cache(tmp_path) as cache:
        cache.add(OBJECT, EMBEDDING)
    with open_cache(tmp_path) as cache:
        assert cache.find(OBJECT) == EMBEDDING
        assert cache.find(replace(OBJECT, etag="0" * 32)) is None
    with open_cache(tmp_path, max_pixels=999_999) as cache:
        assert cache.find(OBJECT) == Rejected("too_many_pixels")
    with open_cache(tmp_path, recipe="another") as cache:
        assert cache.find(OBJECT) is None


def test_rejections_are_found_but_never_what_another_machine_might_decode(tmp_path: Path) -> None:
    objects = {reason: replace(OBJECT, bytes=number) for number, reason in enumerate(REASONS)}
    with open_cache(tmp_path) as cache:
        for reason, stored in objects.items():
            cache.add(stored, Rejected(reason))
    with open_cache(tmp_path) as cache:
        assert [cache.find(stored) for stored in objects.values()] == [*map(Rejected, REASONS[:3]), None]


def test_a_damaged_embedding_is_unknown(tmp_path: Path) -> None:
    with open_cache(tmp_path) as cache:
        cache.add(OBJECT, EMBEDDING)
    execute(tmp_path / "embeddings.sqlite", "UPDATE embeddings SET embedding = ?", flipped(EMBEDDING.values))
    with open_cache(tmp_path) as cache:
        assert cache.find(OBJECT) is None
