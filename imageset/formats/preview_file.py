"""Write and read previews.h5: a small JPEG in colour of every photo that can be decoded, in the inventory's order.

The JPEGs are one array of bytes, one after another, so that a page takes each as it is. Each is written at its place as
it comes.
"""

import io
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from PIL import Image

from imageset.errors import DamagedFile
from imageset.formats import hdf5, row_checksums
from imageset.formats.hdf5 import Pixels
from imageset.formats.row_appender import appending

AddPreview = Callable[[int, int, bytes], None]


@contextmanager
def writing_previews(path: Path) -> Iterator[AddPreview]:
    """Yield a function that adds one preview at a time: product id, position, JPEG. All are written atomically."""
    ids, positions, ends = array("q"), array("h"), array("q")
    with appending(path, hdf5.PREVIEWS) as (file, rows):

        def add(product_id: int, position: int, preview: bytes) -> None:
            rows.append(preview)
            ids.append(product_id)
            positions.append(position)
            ends.append(rows.bytes)

        yield add
        rows.make_array(file, (rows.bytes,))
        hdf5.add(file, "ends", np.array(ends, np.int64))
        hdf5.add(file, "ids", np.array(ids, np.int64))
        hdf5.add(file, "positions", np.array(positions, np.int16))
        row_checksums.finish(file, rows.checksums)


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
