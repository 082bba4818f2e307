"""Checksums of the HDF5 files between stages: a bit that flips on a disk is found where it is read.

The array `crc32`, uint32 (N,), has a CRC-32 of each row's image, mask, embedding, preview or components. The attribute
`others_crc32` covers all other arrays, `crc32` among them, and the attributes. It is checked when a file is opened, a
row when it is read. HDF5 itself checks what says where things are. dataset.h5 has a digest of its content instead.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from deflate import crc32
from numpy.typing import NDArray

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5

# The array that has a row's content, by the file's format. In masks.h5 a row is a chunk, in previews.h5 some bytes.
ROWS = {
    hdf5.PROCESSED: "images",
    hdf5.THUMBNAILS: "images",
    hdf5.MASKS: "masks",
    hdf5.EMBEDDINGS: "embeddings",
    hdf5.PREVIEWS: "previews",
    hdf5.COMPONENTS: "components",
}
FIRST_VERSION = 2  # that has checksums, of every format
CHECKSUMS, OTHERS = "crc32", "others_crc32"

Checksums = NDArray[np.uint32]


def checksum_rows(rows: NDArray[Any]) -> Checksums:
    """Return the CRC-32 of each row of an array (N, ...), uint32 (N,)."""
    whole = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8) if rows.size else np.zeros((len(rows), 0))
    return np.fromiter((crc32(row.data) for row in whole), np.uint32, len(rows))


def checksum_others(file: h5py.File) -> int:
    """Return the CRC-32 of an open file's arrays and attributes, without the rows' content."""
    found = 0
    for name in sorted(file):
        array = file[name]
        found = crc32(f"{name} {array.dtype.str} {array.shape}\n".encode(), found)
        if name != ROWS[file.attrs["format"]]:
            for block in hdf5.blocks(array):
                found = crc32(np.ascontiguousarray(array[block]).tobytes(), found)
    for name in sorted({*file.attrs} - {OTHERS, "complete"}):
        value = np.asarray(file.attrs[name])
        found = crc32(f"{name} {value.dtype.str} {value.shape} {value.tolist()}\n".encode(), found)
    return found


def finish(file: h5py.File, checksums: Iterable[int] | None = None, **attributes: Any) -> None:
    """Write the checksums and the attributes of a file, and mark it complete.

    Args:
        file: from `hdf5.create`, with all its arrays.
        checksums: the CRC-32 of each row; None to compute them from the rows, all in memory.
        attributes: of the file.
    """
    rows = checksum_rows(file[ROWS[file.attrs["format"]]][...]) if checksums is None else checksums
    hdf5.add(file, CHECKSUMS, np.array(rows, np.uint32))
    for name in sorted(attributes):
        file.attrs[name] = attributes[name]
    hdf5.finish(file, **{OTHERS: np.uint32(checksum_others(file))})


def open_file(path: Path, kind: str) -> h5py.File:
    """Open a file of a kind for reading, and check all but its rows, which `Rows` checks.

    Raises:
        DataError: as `hdf5.open_file` says, or it is of a version without checksums.
        DamagedFile: as `hdf5.open_file` says, or a checksum is wrong.
    """
    file = hdf5.open_file(path, kind)
    try:
        version = file.attrs["format_version"]
        if version < FIRST_VERSION:
            raise DataError(f"{path} has format version {version}, which has no checksums: run `dvc repro`")
        require_others(file)
    except DataError:
        file.close()
        raise
    return file


def require_others(file: h5py.File) -> None:
    """Raise DamagedFile if the arrays and attributes of an open file are not as they were written."""
    with hdf5.reading(file.filename):
        is_right = checksum_others(file) == file.attrs[OTHERS]
    if not is_right:
        raise DamagedFile(file.filename, "is damaged (a checksum is wrong)")


class Rows:
    """The rows of an open file, each checked as it is read. A file of version 1 has no checksums: see earlier_file.py.

    Attributes:
        path: of the file.
        array: what `ROWS` names.
        checksums: uint32 (N,), None for a file of version 1.
    """

    def __init__(self, file: h5py.File) -> None:
        self.path = Path(file.filename)
        with hdf5.reading(self.path):
            self.array = file[ROWS[file.attrs["format"]]]
            has_checksums = file.attrs["format_version"] >= FIRST_VERSION
            self.checksums: Checksums | None = file[CHECKSUMS][:] if has_checksums else None
        self.shape: tuple[int, ...] = self.array.shape
        self.dtype: np.dtype[Any] = self.array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: int | slice) -> NDArray[Any]:
        """Return a row, or consecutive ones. Raises DamagedFile."""
        with hdf5.reading(self.path):
            found = np.asarray(self.array[which])
        if isinstance(which, slice):
            self.require(which, found)
        else:
            self.require_row(which, found.tobytes())
        return found

    def require(self, block: slice, rows: NDArray[Any]) -> None:
        """Raise DamagedFile if consecutive rows, which somebody has read, are not as they were written."""
        if self.checksums is not None:
            wrong = np.flatnonzero(checksum_rows(rows) != self.checksums[block])
            if len(wrong):
                raise damaged_row(self.path, (block.start or 0) + int(wrong[0]))

    def require_row(self, row: int, content: bytes) -> None:
        """Raise DamagedFile if a row's content, which somebody has read, is not as it was written."""
        if self.checksums is not None and crc32(content) != self.checksums[row]:
            raise damaged_row(self.path, row)


def damaged_row(path: Path, row: int) -> DamagedFile:
    return DamagedFile(path, f"is damaged at row {row}")


def map_images(file: h5py.File) -> hdf5.Pixels:
    """Return all images of an open file as `hdf5.mapped` does, all of them checked. Raises DamagedFile."""
    rows = Rows(file)
    for block in hdf5.blocks(rows.array):
        rows[block]
    return hdf5.mapped(file, rows.array.name)
