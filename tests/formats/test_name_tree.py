"""A damaged tree of names is an error, and HDF5 never reads it: it would end the process."""

import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from imageset.errors import DamagedFile
from imageset.formats import name_tree
from imageset.formats.name_tree import require_sound_tree
from imageset.formats.text_heaps import require_sound_heaps
from tests.faults.dataset_bytes import write_dataset
from tests.faults.hdf5_bytes import find_parts, with_checksums
from tests.formats.test_text_heaps import OPEN
from tests.project import ROOT

RECORDS, TOTAL = 24, 26  # where a head has the number of records in its node, and of all


def write_arrays(path: Path, count: int) -> bytes:
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for number in range(count):
            file.create_dataset(f"column_{number}", data=np.arange(2))
    return path.read_bytes()


def require_sound(path: Path) -> None:
    with path.open("rb") as file:
        require_sound_tree(file, path.read_bytes().index(name_tree.HEAD))


@pytest.mark.parametrize(("count", "levels"), [(9, 0), (45, 0), (46, 1), (500, 1), (1200, 2)])
def test_trees_of_any_depth_are_taken(count: int, levels: int, tmp_path: Path) -> None:
    content = write_arrays(tmp_path / "arrays.h5", count)

    assert content[content.index(name_tree.HEAD) + 12] == levels
    require_sound(tmp_path / "arrays.h5")
    require_sound_heaps(tmp_path / "arrays.h5")


def test_wrong_numbers_are_found_at_each_level(tmp_path: Path) -> None:
    """Of a tree with two levels above its leaves: the numbers of records in a node, of all below it, and a loop."""
    path = tmp_path / "arrays.h5"
    content = write_arrays(path, 1200)
    root = content.index(name_tree.HEAD)
    (top,) = struct.unpack_from("<Q", content, root + 16)
    first = top + len(name_tree.INNER_HEAD) + name_tree.RECORD_BYTES  # the pointer behind the one record
    (inner,) = struct.unpack_from("<Q", content, first)
    count = content[first + 8]
    second = inner + len(name_tree.INNER_HEAD) + count * name_tree.RECORD_BYTES
    changes = [
        (root + 12, struct.pack("<H", 3)),
        (root + 12, struct.pack("<H", 1000)),
        (root + RECORDS, struct.pack("<H", 2)),
        (root + TOTAL, struct.pack("<Q", 1201)),
        (top + 5, b"\x06"),
        (first, struct.pack("<Q", top)),
        (first, struct.pack("<Q", 2**63)),
        (first, struct.pack("<Q", len(content))),
        (first + 8, struct.pack("B", count - 1)),
        (first + 9, struct.pack("<H", 1)),
        (second + 8, b"\xff"),
        (second, content[second + 9 : second + 17]),
    ]
    for place, value in changes:
        path.write_bytes(content[:place] + value + content[place + len(value) :])
        with pytest.raises(ValueError, match=r"node at|head at|records|bytes at"):
            require_sound(path)


def test_no_bit_of_a_head_is_another(tmp_path: Path) -> None:
    """Kind, sizes, levels and numbers of records. Fuzzing found the kind and the number of all records."""
    path = write_dataset(tmp_path / "dataset.h5")
    content = path.read_bytes()
    parts = find_parts(content)
    tree = content.index(name_tree.HEAD)
    places = [*range(tree + 5, tree + 14), *range(tree + RECORDS, tree + TOTAL + 8)]
    for place, bit in ((place, bit) for place in places for bit in range(8)):
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        path.write_bytes(with_checksums(bytes(changed), parts))
        with pytest.raises(DamagedFile, match="its attributes or names cannot be read"):
            require_sound_heaps(path)


@pytest.mark.parametrize(("offset", "value"), [(5, 1), (TOTAL, 245)])
def test_bytes_that_end_hdf5_are_an_error(offset: int, value: int, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "dataset.h5")
    content = bytearray(path.read_bytes())
    parts = find_parts(bytes(content))
    content[content.index(name_tree.HEAD) + offset] = value
    path.write_bytes(with_checksums(bytes(content), parts))

    done = subprocess.run([sys.executable, "-c", OPEN, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "is damaged (its attributes or names cannot be read)" in done.stdout
