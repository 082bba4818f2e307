"""A damaged heap of texts is an error, and HDF5 never reads it: it would do so for ever."""

import struct
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from imageset.errors import DamagedFile
from imageset.formats import hdf5
from imageset.formats.text_heaps import require_sound_heaps
from tests.faults.dataset_bytes import write_dataset
from tests.faults.hdf5_bytes import find_parts, with_checksums
from tests.project import ROOT

OPEN = """
import sys
from pathlib import Path
from imageset.errors import DamagedFile
from imageset.formats import hdf5
try:
    hdf5.open_file(Path(sys.argv[1]), hdf5.DATASET)
except DamagedFile as error:
    print(error)
"""


def heads(heap: int, content: bytes) -> list[int]:
    """Return where the heap and each of its objects begin."""
    found, place = [heap], heap + 16
    while content[place : place + 2] != b"\0\0":
        found.append(place)
        length = int.from_bytes(content[place + 8 : place + 16], "little")
        place += 16 + -(-length // 8) * 8
    return [*found, place]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dataset.h5")


def test_whole_files_are_taken(dataset: Path, tmp_path: Path) -> None:
    require_sound_heaps(dataset)
    large = tmp_path / "large.h5"
    with h5py.File(large, "w", libver=("v110", "v110")) as file:
        for number in range(8):
            file.attrs[f"text-{number}"] = "letters " * 1000 * number
    require_sound_heaps(large)


def test_every_wrong_size_is_found(dataset: Path) -> None:
    content = dataset.read_bytes()
    (heap,) = [place for place in range(len(content)) if content[place : place + 4] == b"GCOL"]
    found = heads(heap, content)
    assert len(found) == 5  # the heap, format, content_digest, params, what is free
    silent = []
    for place in (start + offset for start in found for offset in range(8, 16)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            dataset.write_bytes(changed)
            try:
                require_sound_heaps(dataset)
            except DamagedFile:
                continue
            silent.append((place - heap, bit))
    # A length that is padded to the same place: the text gets another end, and the format or the digest is wrong.
    assert all(bit < 3 and offset % 8 == 0 for offset, bit in silent), silent


def test_a_heap_that_hdf5_reads_for_ever_is_an_error(dataset: Path) -> None:
    content = bytearray(dataset.read_bytes())
    content[content.find(b"GCOL") + 8] = 0x21
    dataset.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(dataset)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "is damaged (its attributes or names cannot be read)" in done.stdout


@pytest.mark.parametrize("length", [3, 40, 60, 300, 2050, 2070, 3000])
def test_a_file_that_ends_early_is_an_error(dataset: Path, length: int) -> None:
    dataset.write_bytes(dataset.read_bytes()[:length])
    with pytest.raises(DamagedFile):
        require_sound_heaps(dataset)


def test_a_file_that_another_program_changed_is_taken(dataset: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        file.attrs["params"] = "other " * 900
        file.attrs["count"] = 3
    require_sound_heaps(dataset)


def test_a_text_that_is_longer_than_its_object_is_found(dataset: Path) -> None:
    """Of an attribute that says gigabytes, HDF5 reads them. Fuzzing found the highest byte of a length."""
    content = dataset.read_bytes()
    parts = find_parts(content)
    place = content.index(b"format\0") + 31  # behind the name, its type and its shape
    length, heap, number = struct.unpack_from("<IQI", content, place)
    assert (length, content[heap : heap + 4], number) == (len(hdf5.DATASET), b"GCOL", 1)
    for wrong in (struct.pack("<I", length + 1), struct.pack("<I", length | 0xF5 << 24)):
        dataset.write_bytes(with_checksums(content[:place] + wrong + content[place + 4 :], parts))
        with pytest.raises(DamagedFile, match="its attributes or names cannot be read"):
            require_sound_heaps(dataset)
    wrong = struct.pack("<I", 99)
    dataset.write_bytes(with_checksums(content[: place + 12] + wrong + content[place + 16 :], parts))
    with pytest.raises(DamagedFile, match="its attributes or names cannot be read"):
        require_sound_heaps(dataset)


def test_a_letter_of_more_than_a_byte_is_found(dataset: Path) -> None:
    """HDF5 asks for the length of a text times the size of a letter. Fuzzing found the highest byte of that size."""
    content = dataset.read_bytes()
    place = content.index(b"format\0") + 19  # behind the type of any length, in the type of its letters
    assert content[place : place + 4] == struct.pack("<I", 1)
    for wrong in (0, 2, 0x28000001):
        changed = content[:place] + struct.pack("<I", wrong) + content[place + 4 :]
        dataset.write_bytes(with_checksums(changed, find_parts(content)))
        with pytest.raises(DamagedFile, match="its attributes or names cannot be read"):
            require_sound_heaps(dataset)


def test_an_empty_text_is_taken(dataset: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        file.attrs["params"] = ""
    require_sound_heaps(dataset)
