"""processed.h5 and thumbnails.h5: images written at their place one by one are the bytes that HDF5 writes of all."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from imageset.errors import DiskError
from imageset.formats import hdf5, row_checksums
from imageset.formats.hdf5 import Pixels
from imageset.formats.preview_file import writing_previews
from imageset.photos.pixel_file import writing_images
from tests.faults.disks import needs_mount, small_disk

FILL = np.array([1, 2, 3], np.uint8)


def draw(rows: int, shape: tuple[int, int, int]) -> Pixels:
    return np.random.default_rng(rows).integers(0, 256, (rows, *shape), np.uint8)


def write_whole(path: Path, images: Pixels) -> bytes:
    """Write images as one array, with no code of writing_images, and return the file's bytes."""
    with hdf5.create(path, hdf5.PROCESSED) as file:
        hdf5.add_images(file, "images", images.shape)[...] = images
        hdf5.add(file, "ids", np.arange(len(images), dtype=np.int64))
        hdf5.add(file, "positions", np.zeros(len(images), np.int16))
        row_checksums.finish(file, fill=FILL)
    return path.read_bytes()


@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 64, 1), (128, 128, 3), (200, 200, 3)])
@pytest.mark.parametrize("rows", [0, 1, 2, 40])
def test_images_one_by_one_are_the_bytes_of_all_at_once(shape: tuple[int, int, int], rows: int, tmp_path: Path) -> None:
    """Small and large ones: HDF5 writes an array below 64 KiB in another way than a larger one."""
    images = draw(rows, shape)
    path = tmp_path / "processed.h5"
    with writing_images(path, hdf5.PROCESSED, shape, fill=FILL) as add:
        for row, image in enumerate(images):
            add(row, 0, image)

    assert path.read_bytes() == write_whole(tmp_path / "whole.h5", images)
    assert {each.name for each in tmp_path.iterdir()} == {"processed.h5", "whole.h5"}


def test_the_largest_ids_and_positions_that_tables_allow_are_held(tmp_path: Path) -> None:
    limits = [(0, 0), (2**63 - 1, 32_767)]
    with writing_images(tmp_path / "processed.h5", hdf5.PROCESSED, (8, 8, 1)) as add:
        for photo, image in zip(limits, draw(2, (8, 8, 1)), strict=True):
            add(*photo, image)

    with row_checksums.open_file(tmp_path / "processed.h5", hdf5.PROCESSED) as file:
        assert list(zip(file["ids"][:].tolist(), file["positions"][:].tolist(), strict=True)) == limits


def write(path: Path, images: Iterable[Pixels]) -> None:
    with writing_images(path, hdf5.PROCESSED, (64, 64, 1)) as add:
        for row, image in enumerate(images):
            add(row, 0, image)


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "processed.h5"
    before = write_whole(path, draw(3, (8, 8, 1)))
    with pytest.raises(ValueError, match="no number"):
        write(path, (np.full((64, 64, 1), int(value), np.uint8) for value in ("1", "no number")))

    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["processed.h5"]


@needs_mount
def test_a_full_disk_is_named_by_the_file_that_it_did_not_take(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", megabytes=4) as disk:
        disk.leave(1 << 20)
        with writing_previews(disk.folder / "previews.h5") as add_preview:
            add_preview(1, 0, b"a preview")
            with pytest.raises(DiskError, match=r"/processed\.h5: its disk is full"):
                write(disk.folder / "processed.h5", draw(1000, (64, 64, 1)))

        assert sorted(each.name for each in disk.folder.iterdir()) == [disk.ballast.name, "previews.h5"]
