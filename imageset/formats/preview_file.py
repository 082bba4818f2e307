"""Write and read previews.h5: a small JPEG in colour of every photo that can be decoded, in the inventory's order.

The JPEGs are one array of bytes, one after another, so that a page takes each as it is. They go through a temporary
file: an HDF5 array needs its length at the start, and no step holds all previews in memory.
"""

import io
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import h5py
import numpy as np
from deflate import crc32
from PIL import Image

from imageset.errors import DamagedFile
from imageset.formats import hdf5, row_checksums
from imageset.formats.hdf5 import Pixels
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
        self.ids, self.positions, self.ends, self.checksums = array("q"), array("h"), array("q"), array("I")

    def append(self, product_id: int, position: int, preview: bytes) -> None:
        """Append the preview of a photo, a JPEG."""
        self.file.write(preview)
        self.ids.append(product_id)
        self.positions.append(position)
        self.ends.append((self.ends[-1] if self.ends else 0) + len(preview))
        self.checksums.append(crc32(preview))

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
            row_checksums.finish(file, self.checksums)


class PreviewRows(row_checksums.Rows):
    """The previews of an open previews.h5."""

    def __init__(self, file: h5py.File) -> None:
        """Read where each begins; 12 bytes of memory for each.

        Args:
            file: opened with `row_checksums.open_file(path, hdf5.PREVIEWS)`.
        """
        super().__init__(file)
        with hdf5.reading(self.path):
            self.ends = file["ends"][:]

    def read(self, row: int) -> bytes:
        """Return the preview of a photo, a JPEG.

        Args:
            row: of the photo: its place among `ids` and `positions`, which is its row in photos.csv.

        Raises:
            DamagedFile: the file is damaged, or has no such row.
        """
        if not 0 <= row < len(self.ends):
            raise DamagedFile(self.path, f"has no preview at row {row}")
        start, end = int(self.ends[row - 1]) if row else 0, int(self.ends[row])
        with hdf5.reading(self.path):
            preview = bytes(self.array[start:end])
        self.require_row(row, preview)
        return preview


def decode_square(preview: bytes, side: int, mode: Literal["RGB", "YCbCr"] = "RGB") -> Pixels:
    """Return a preview, a JPEG, stretched to a square: uint8 (side, side, 3)."""
    with Image.open(io.BytesIO(preview)) as photo:
        return np.asarray(photo.convert(mode).resize((side, side), Image.Resampling.BOX))
