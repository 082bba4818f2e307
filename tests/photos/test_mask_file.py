"""masks.h5: any HDF5 reader reads it, rows are found again one by one, and damage is named."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import deflate
import h5py
import numpy as np
import pytest

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5, row_checksums
from imageset.formats.hdf5 import Pixels
from imageset.formats.mask_rows import MaskRows
from imageset.photos import mask_file, photo_file
from imageset.photos.mask_file import MaskRow, scan_masks, writing_masks
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.photos.photo_file import name_object
from imageset.storage.bucket import StoredObject
from tests.photos.test_cache import OBJECT

SIDE = 32
RECIPE = '{"made_by": []}'
# The longest reason of stages masks and preprocess.
REASONS = ("empty", "not_an_image", "too_many_pixels", "decoder_timeout")

Row = tuple[int, int, StoredObject, PhotoMask | Rejected]


def pixels(number: int, side: int = SIDE) -> Pixels:
    """The pixels of a mask: blurred noise."""
    noise = np.random.default_rng(number).integers(0, 2, (side // 8, side // 8), np.uint8) * 255
    return np.kron(noise, np.ones((8, 8), np.uint8)) // (1 + number % 3)


def make_mask(number: int, side: int = SIDE) -> PhotoMask:
    compressed = bytes(deflate.zlib_compress(pixels(number, side).tobytes(), 6))
    return PhotoMask(compressed, 1_000_000 + number, number / 16384, number / 32768, number % 5, 0.25, number % 2)


def make_rows(count: int) -> list[Row]:
    """Photos of which every fifth is rejected."""
    return [
        (
            7 + number // 2,
            number % 2,
            replace(OBJECT, bytes=number),
            Rejected(REASONS[number // 5 % 4]) if number % 5 == 2 else make_mask(number),
        )
        for number in range(count)
    ]


def write(path: Path, rows: Sequence[Row], photos: int | None = None, recipe: str = RECIPE) -> Path:
    with writing_masks(path, len(rows) if photos is None else photos, SIDE, recipe) as add:
        for row in rows:
            add(*row)
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file of 23 photos."""
    return write(tmp_path / "masks.h5", make_rows(23))


def test_any_hdf5_reader_reads_the_masks(written: Path) -> None:
    with h5py.File(written) as file:
        masks = file["masks"]

        assert (masks.shape, masks.dtype, masks.chunks, masks.compression) == (
            (23, 32, 32),
            "uint8",
            (1, 32, 32),
            "gzip",
        )
        for number, (_, _, _, outcome) in enumerate(make_rows(23)):
            expected = pixels(number) if isinstance(outcome, PhotoMask) else np.zeros((SIDE, SIDE), np.uint8)

            assert (masks[number] == expected).all()
        assert (masks[3:6] == np.stack([pixels(number) for number in (3, 4, 5)])).all()


def test_a_photo_without_a_mask_has_no_chunk_and_its_reason(written: Path) -> None:
    with h5py.File(written) as file:
        masks = file["masks"].id
        with_chunks = {masks.get_chunk_info(number).chunk_offset[0] for number in range(masks.get_num_chunks())}
        reasons = file["reasons"][:].tolist()

    assert with_chunks == {number for number in range(23) if number % 5 != 2}
    assert reasons == [REASONS[number // 5 % 4].encode() if number % 5 == 2 else b"" for number in range(23)]


def test_what_was_measured_stands_beside_each_mask(written: Path) -> None:
    rows = make_rows(23)
    with h5py.File(written) as file:
        columns = {name: file[name][:].tolist() for name in (*photo_file.COLUMNS, *mask_file.MEASURED)}

    assert columns["ids"] == [row[0] for row in rows]
    assert columns["positions"] == [row[1] for row in rows]
    assert [bytes(name) for name in columns["objects"]] == [name_object(row[2]) for row in rows]
    for place, name in enumerate(PhotoMask._fields[1:], 1):
        assert columns[name] == [row[3][place] if isinstance(row[3], PhotoMask) else 0 for row in rows]


def test_the_rows_come_back_in_order(written: Path) -> None:
    assert list(scan_masks(written)) == [
        MaskRow(product_id, position, name_object(stored), outcome.compressed, "", outcome.from_alpha == 1)
        if isinstance(outcome, PhotoMask)
        else MaskRow(product_id, position, name_object(stored), None, outcome.reason)
        for product_id, position, stored, outcome in make_rows(23)
    ]


def test_masks_are_read_one_by_one_in_any_order(written: Path) -> None:
    rows = make_rows(23)
    with row_checksums.open_file(written, hdf5.MASKS) as file:
        masks = MaskRows(file)
        for number in np.random.default_rng(3).permutation(23).tolist():
            outcome = rows[number][3]
            if isinstance(outcome, PhotoMask):
                assert masks.read_compressed(number) == outcome.compressed
                assert np.array_equal(masks.read(number), pixels(number))
        assert photo_file.read_recipe(file) == RECIPE


@pytest.mark.parametrize("count", [1, 7, 8, 14, 23])
def test_any_number_of_rows_is_written_a_few_at_a_time(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / "whole.h5", make_rows(count))
    monkeypatch.setattr(photo_file, "ROWS_AT_ONCE", 7)
    parts = write(tmp_path / "parts.h5", make_rows(count))

    with hdf5.open_file(whole, hdf5.MASKS) as one, hdf5.open_file(parts, hdf5.MASKS) as other:
        assert hdf5.content_digest(one) == hdf5.content_digest(other)
    assert [(row.product_id, row.position) for row in scan_masks(parts)] == [row[:2] for row in make_rows(count)]
    with hdf5.open_file(parts, hdf5.MASKS) as file:
        blocks = [(start, ids.tolist()) for start, (ids,) in photo_file.read_columns(file, "ids")]

    assert [start for start, _ in blocks] == list(range(0, count, 7))
    assert [one for _, ids in blocks for one in ids] == [row[0] for row in make_rows(count)]


def test_more_rows_than_are_held_at_once(tmp_path: Path) -> None:
    count = 2 * photo_file.ROWS_AT_ONCE + 1
    mask, name = make_mask(1), name_object(OBJECT)
    outcomes = (mask, Rejected("empty"))
    path = write(tmp_path / "masks.h5", [(number, 0, OBJECT, outcomes[number % 3 == 2]) for number in range(count)])
    for number, row in enumerate(scan_masks(path)):
        assert row == (
            MaskRow(number, 0, name, None, "empty")
            if number % 3 == 2
            else MaskRow(number, 0, name, mask.compressed, "", True)
        )

    assert number == count - 1


def test_no_photos_make_a_file_without_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "masks.h5", [], recipe="")

    assert list(scan_masks(path)) == []
    with hdf5.open_file(path, hdf5.MASKS) as file:
        assert (photo_file.read_recipe(file), file["masks"].shape) == ("", (0, SIDE, SIDE))
        assert list(photo_file.read_columns(file, "ids")) == []


def test_the_largest_ids_and_positions_come_back(tmp_path: Path) -> None:
    path = write(tmp_path / "masks.h5", [(2**63 - 1, 32_767, OBJECT, Rejected("decoder_timeout"))])

    assert list(scan_masks(path)) == [MaskRow(2**63 - 1, 32_767, name_object(OBJECT), None, "decoder_timeout")]


def test_the_same_rows_are_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again.h5", make_rows(23))
    other_recipe = write(tmp_path / "other.h5", make_rows(23), recipe=RECIPE.replace("[]", '["numpy 99"]'))

    assert again.read_bytes() == written.read_bytes()
    assert other_recipe.read_bytes() != written.read_bytes()


@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_an_interrupted_writer_leaves_what_was_there_and_nothing_else(
    error: type[BaseException], written: Path
) -> None:
    before = written.read_bytes()

    def fail() -> None:
        with writing_masks(written, 23, SIDE, RECIPE) as add:
            for row in make_rows(23)[:9]:
                add(*row)
            raise error

    with pytest.raises(error):
        fail()

    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_fewer_photos_than_were_announced_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        write(tmp_path / "masks.h5", make_rows(3), photos=4)

    assert list(tmp_path.iterdir()) == []


# Objects


@pytest.mark.parametrize("changes", [{"etag": "0" * 32}, {"etag": f"{OBJECT.etag}-2"}, {"bytes": 1001}], ids=repr)
def test_another_content_is_another_object(changes: dict[str, Any]) -> None:
    assert name_object(replace(OBJECT, **changes)) != name_object(OBJECT)
    assert len(name_object(OBJECT)) == photo_file.IDENTITY_BYTES


@pytest.mark.parametrize(
    ("etag", "by_content"),
    [(OBJECT.etag, True), (f"{OBJECT.etag}-12", True), ("my-own-etag-1", False), (f"{OBJECT.etag}-", False)],
)
def test_an_object_is_the_same_under_any_key_if_its_etag_is_of_its_content(etag: str, by_content: bool) -> None:
    stored = replace(OBJECT, etag=etag)

    assert (name_object(replace(stored, key="2.jpeg")) == name_object(stored)) is by_content
    assert (name_object(replace(stored, version_id="2")) == name_object(stored)) is by_content


# Damage


def test_a_missing_file_and_one_of_another_kind_are_named(written: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.h5 is missing"):
        list(scan_masks(tmp_path / "absent.h5"))
    with hdf5.create(tmp_path / "other.h5", hdf5.PROCESSED) as file:
        hdf5.finish(file)
    with pytest.raises(DataError, match=r"other\.h5 is not a file of format imageset-masks, but 'imageset-processed'"):
        list(scan_masks(tmp_path / "other.h5"))


@pytest.mark.parametrize("left", [0, 100, 0.2, 0.5, 0.9, -1])
def test_a_file_that_was_cut_is_damaged(left: float, written: Path) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(left * len(content)) if 0 < left < 1 else int(left)])

    with pytest.raises(DamagedFile, match=rf"^{re.escape(str(written))} .*`dvc pull "):
        list(scan_masks(written))


def test_a_file_whose_writer_was_killed_is_incomplete(written: Path) -> None:
    with h5py.File(written, "r+") as file:
        file.attrs["complete"] = False

    with pytest.raises(DamagedFile, match=r"masks\.h5 is incomplete"):
        list(scan_masks(written))


def test_a_flipped_byte_in_a_mask_is_no_other_mask_to_any_reader(written: Path) -> None:
    content = bytearray(written.read_bytes())
    with h5py.File(written) as file:
        chunk = file["masks"].id.get_chunk_info_by_coord((3, 0, 0))
    content[chunk.byte_offset + chunk.size // 2] ^= 4
    written.write_bytes(content)

    with pytest.raises(DamagedFile, match=r"masks\.h5 is damaged at row 3"):
        list(scan_masks(written))
    with h5py.File(written) as file, pytest.raises(OSError, match="filter returned failure"):
        file["masks"][3]


@pytest.mark.parametrize("name", ["masks", "ids", "reasons"])
def test_a_file_without_a_column_is_damaged(name: str, written: Path) -> None:
    with h5py.File(written, "r+") as file:
        del file[name]

    with pytest.raises(DamagedFile, match=r"masks\.h5 is (damaged|refused: its array masks lacks chunks)"):
        list(scan_masks(written))


def test_a_mask_that_is_gone_is_damage(written: Path) -> None:
    with h5py.File(written, "r+") as file:
        file["reasons"][2] = b""  # of a photo without a mask

    with pytest.raises(DamagedFile, match=r"masks\.h5 is damaged"):
        list(scan_masks(written))
