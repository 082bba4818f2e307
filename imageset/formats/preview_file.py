"""Write and read previews.h5: a small JPEG in colour of every photo that can be decoded, in the inventory's order.

The JPEGs are one array of bytes, one after another, so that a page takes each as it is. They go through a temporary
file: an HDF5 array needs its length at the start, and no step holds all previews in memory.
"""

import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from imageset.errors import DamagedFile
from imageset.formats import hdf5
from imageset.runtime import files


@contextmanager
def open_temporary_previews(folder: Path) -> Iterator["TemporaryPreviews"]:
    """Yield room for previews in a folder. It is gone afterwards."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield TemporaryPreviews(file)


class TemporaryPreviews:
    """Previews, appended one by one to an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.ids, self.positions, self.ends = array("q"), array("h"), array("q")

    def append(self, product_id: int, position: int, preview: bytes) -> None:
        """Append the preview of a photo, a JPEG."""
        self.file.write(preview)
        self.ids.append(product_id)
        self.positions.append(position)
        self.ends.append((self.ends[-1] if self.ends else 0) + len(preview))

    def write(self, path: Path) -> None:
        """Write all previews as an HDF5 file, atomically."""
        total = self.ends[-1] if self.ends else 0
        with files.atomic(path) as temporary, hdf5.create(temporary, hdf5.PREVIEWS) as file:
            previews = file.create_dataset("previews", shape=(total,), dtype="uint8", track_times=False)
            self.file.seek(0)
            for block in hdf5.blocks(previews):
                previews[block] = np.frombuffer(self.file.read(block.stop - block.start), np.uint8)
            hdf5.add(file, "ends", np.array(self.ends, np.int64))
            hdf5.add(file, "ids", np.array(self.ids, np.int64))
            hdf5.add(file, "positions", np.array(self.positions, np.int16))
            hdf5.finish(file)


def read_preview(file: h5py.File, row: int) -> bytes:
    """Return the preview of a photo, a JPEG.

    Args:
        file: previews.h5, opened with `hdf5.open_file(path, hdf5.PREVIEWS)`.
        row: of the photo: its place among `ids` and `positions`, which is its row in photos.csv.

    Raises:
        DamagedFile: the file is damaged, or has no such row.
    """
    with hdf5.reading(file.filename):
        ends = file["ends"][max(row - 1, 0) : row + 1].tolist()
        start, end = (0, *ends)[-2:] if row < len(file["ends"]) else (0, 0)
        preview = bytes(file["previews"][start:end]) if 0 <= start < end <= len(file["previews"]) else b""
    if not preview:
        raise DamagedFile(file.filename, f"has no preview at row {row}")
    return preview
