"""What no format of ours has is refused before anything is read: another superblock, attributes that are not plain."""

import struct
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import h5py
import numpy as np
import pytest

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5
from imageset.formats.plain_hdf5 import MOST_ATTRIBUTE_BYTES, MOST_ATTRIBUTES, require_plain_attributes
from tests.faults.dataset_bytes import write_dataset
from tests.faults.hdf5_bytes import find_parts, with_checksums

BASE, EXTENSION = 12, 20  # where a superblock of version 3 has these addresses


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (9, b"\x04"),
        (10, b"\x04"),
        (BASE, struct.pack("<Q", 512)),
        (EXTENSION, struct.pack("<Q", 48)),
    ],
    ids=["bytes of an address", "bytes of a length", "base", "extension"],
)
def test_another_superblock_is_refused(place: int, value: bytes, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "dataset.h5")
    content = path.read_bytes()
    changed = content[:place] + value + content[place + len(value) :]
    path.write_bytes(with_checksums(changed, find_parts(content)))

    with pytest.raises(DamagedFile, match="its superblock is not one that imageset writes"):
        hdf5.open_file(path, hdf5.DATASET)


def test_an_hdf5_file_of_another_program_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["images"] = np.zeros((2, 2))

    with pytest.raises(DataError, match=r"old\.h5 is not a file of format imageset-dataset, but another HDF5 file$"):
        hdf5.open_file(path, hdf5.DATASET)


def add_reference(attributes: h5py.AttributeManager, file: h5py.File) -> None:
    attributes["more"] = file["class_names"].ref


def add_compound(attributes: h5py.AttributeManager, file: h5py.File) -> None:
    attributes.create("more", np.zeros(1, [("a", "i4"), ("b", "S9")]))


def add_lists(attributes: h5py.AttributeManager, file: h5py.File) -> None:
    lists = np.empty(1, object)
    lists[0] = np.arange(3)
    attributes.create("more", lists, dtype=h5py.vlen_dtype("int64"))


def add_long(attributes: h5py.AttributeManager, file: h5py.File) -> None:
    attributes["more"] = np.zeros(MOST_ATTRIBUTE_BYTES // 8 + 1)


@pytest.mark.parametrize("add", [add_reference, add_compound, add_lists, add_long])
def test_an_attribute_that_is_not_plain_is_refused(
    add: Callable[[h5py.AttributeManager, h5py.File], None], tmp_path: Path
) -> None:
    path = write_dataset(tmp_path / "dataset.h5")
    with h5py.File(path, "r+") as file:
        add(file.attrs, file)

    with pytest.raises(
        DamagedFile, match=r"attribute \d+ is neither numbers nor text|attributes or names cannot be read"
    ):
        hdf5.open_file(path, hdf5.DATASET)


@pytest.mark.parametrize(("count", "is_taken"), [(MOST_ATTRIBUTES, True), (MOST_ATTRIBUTES + 1, False)])
def test_so_many_attributes_are_taken(count: int, is_taken: bool, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        for number in range(count):
            file.attrs[f"text-{number}"] = "text"
        with nullcontext() if is_taken else pytest.raises(DamagedFile, match="it has 65 attributes"):
            require_plain_attributes(file)
