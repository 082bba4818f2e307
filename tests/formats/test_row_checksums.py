"""Files between stages: one bit that flips anywhere is either an error that names the file, or changes nothing."""

import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5, row_checksums
from imageset.formats.mask_rows import MaskRows
from imageset.formats.preview_file import PreviewRows, writing_previews
from imageset.photos.embedding_file import writing_embeddings
from imageset.photos.mask_file import writing_masks
from imageset.photos.outcomes import PhotoEmbedding, PhotoMask, Rejected
from imageset.storage.bucket import StoredObject

OBJECT = StoredObject("1.jpeg", "0" * 32, 1, "")
ROWS = 5


def numbers(*shape: int) -> hdf5.Pixels:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def write_arrays(path: Path, kind: str, **attributes: Any) -> None:
    with hdf5.create(path, kind) as file:
        rows = numbers(ROWS, 9).astype(np.int16) if kind == hdf5.COMPONENTS else numbers(ROWS, 8, 8, 1)
        hdf5.add(file, row_checksums.ROWS[kind], rows)
        hdf5.add(file, "ids", np.arange(ROWS))
        hdf5.add(file, "positions", np.zeros(ROWS, np.int16))
        row_checksums.finish(file, **attributes)


def write_masks(path: Path) -> None:
    with writing_masks(path, ROWS, 8, '{"side": 8}') as add:
        for row, mask in enumerate(numbers(ROWS, 64)):
            masked = PhotoMask(zlib.compress(mask.tobytes()), 64, 0.5, 0.1, 1, 0.1)
            add(row, 0, OBJECT, Rejected("empty") if row == 2 else masked)


def write_embeddings(path: Path) -> None:
    with writing_embeddings(path, 2, '{"side": 8}') as add:
        add(1, 0, OBJECT, PhotoEmbedding(numbers(1280).astype("<f4").tobytes(), 64))
        add(2, 0, OBJECT, Rejected("empty"))


def write_previews(path: Path) -> None:
    with writing_previews(path) as add:
        for row in range(ROWS):
            add(row, 0, numbers(40 + row).tobytes())


WRITERS: dict[str, Callable[[Path], None]] = {
    hdf5.PROCESSED: lambda path: write_arrays(path, hdf5.PROCESSED, fill=np.array([1, 2, 3], np.uint8)),
    hdf5.THUMBNAILS: lambda path: write_arrays(path, hdf5.THUMBNAILS),
    hdf5.COMPONENTS: lambda path: write_arrays(path, hdf5.COMPONENTS),
    hdf5.MASKS: write_masks,
    hdf5.EMBEDDINGS: write_embeddings,
    hdf5.PREVIEWS: write_previews,
}


def read_all(path: Path, kind: str) -> tuple[Any, ...]:
    """Return all that a file has, read as the stages read it."""
    with row_checksums.open_file(path, kind) as file:
        with hdf5.reading(path):
            columns = {name: file[name][:].tobytes() for name in file if name != row_checksums.ROWS[kind]}
            attributes = {name: str(value) for name, value in file.attrs.items()}
        if kind == hdf5.MASKS:
            masks = MaskRows(file)
            rows = [masks.read(row).tobytes() for row, reason in enumerate(file["reasons"][:]) if not reason]
        elif kind == hdf5.PREVIEWS:
            previews = PreviewRows(file)
            rows = [previews.read(row) for row in range(ROWS)]
        else:
            rows = [row.tobytes() for row in row_checksums.Rows(file)[:]]
    return columns, attributes, rows


def flip(path: Path, place: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def test_every_file_between_stages_has_a_writer_here() -> None:
    assert WRITERS.keys() == row_checksums.ROWS.keys() == hdf5.VERSIONS.keys() - {hdf5.DATASET}


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_one_flipped_bit_is_an_error_or_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Bits over the whole file: in its superblock, headers, chunk index, heap, attributes, columns and rows."""
    whole, path = tmp_path / "whole.h5", tmp_path / "file.h5"
    WRITERS[kind](whole)
    content, written = whole.read_bytes(), read_all(whole, kind)
    harmless = 0
    for number, place in enumerate(range(0, len(content), len(content) // 97)):
        path.write_bytes(content)
        flip(path, place, number % 8)
        with suppress(DataError):
            assert read_all(path, kind) == written, f"byte {place}, bit {number % 8}"
            harmless += 1

    assert 0 < harmless < number - 10


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_every_bit_of_a_row_counts(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    WRITERS[kind](path)
    with h5py.File(path) as file:
        array = file[row_checksums.ROWS[kind]]
        start = array.id.get_chunk_info(1).byte_offset if array.chunks else array.id.get_offset()
    for bit in range(8):
        flip(path, start + 7, bit)
        with pytest.raises(DamagedFile, match=r"file\.h5 is damaged at row \d: remove it, then `dvc checkout "):
            read_all(path, kind)
        flip(path, start + 7, bit)
    read_all(path, kind)


def test_mapped_images_are_checked_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    WRITERS[hdf5.THUMBNAILS](path)
    with row_checksums.open_file(path, hdf5.THUMBNAILS) as file:
        assert (row_checksums.map_images(file) == numbers(ROWS, 8, 8, 1)).all()
        last = file["images"].id.get_offset() + ROWS * 64 - 1
    flip(path, last, 0)
    with (
        row_checksums.open_file(path, hdf5.THUMBNAILS) as file,
        pytest.raises(DamagedFile, match=r"file\.h5 is damaged at row 4"),
    ):
        row_checksums.map_images(file)


def test_checksums_come_from_rows_in_memory_as_from_rows_one_by_one(tmp_path: Path) -> None:
    images = numbers(ROWS, 8, 8, 1)

    for rows in (images, images[:, ::2]):
        assert row_checksums.checksum_rows(rows).tolist() == [zlib.crc32(row.tobytes()) for row in rows]
    assert row_checksums.checksum_rows(images[:0]).tolist() == []
    assert row_checksums.checksum_rows(images[:, :0]).tolist() == [0] * ROWS


def test_a_file_of_the_first_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "masks.h5"
    write_masks(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 1
        del file[row_checksums.CHECKSUMS], file.attrs[row_checksums.OTHERS]

    with pytest.raises(DataError, match=r"masks\.h5 has format version 1, which has no checksums: run `dvc repro`"):
        row_checksums.open_file(path, hdf5.MASKS)
    with hdf5.open_file(path, hdf5.MASKS) as file:  # as earlier_file.py does once it has compared the md5
        assert MaskRows(file).read(1).tobytes() == numbers(ROWS, 64)[1].tobytes()
