"""Write the rows of an HDF5 file straight to their place in it, before their number is known.

HDF5 takes the number of rows when an array is made, and puts the first array of a file at the same place for any number
of rows: behind the room for the file's header. So rows are written there as they come, by ordinary writes, and HDF5
does not know of them yet. At the end the array is made with their number: HDF5 gives it that place, and its content is
there already.
"""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import h5py
import numpy as np
from deflate import crc32

from imageset.formats import hdf5
from imageset.formats.row_checksums import ROWS
from imageset.runtime import files

BUFFER_BYTES = 1 << 20


class RowAppender:
    """The rows of a file that is being written: bytes of any length, or images of one shape.

    Attributes:
        checksums: the CRC-32 of each row.
        bytes: how many all rows have together.
    """

    def __init__(self, path: Path, content: IO[bytes], place: int) -> None:
        """Leave room for the header.

        Args:
            path: the file's final name, for messages.
            content: the file, opened for writing beside HDF5.
            place: where its rows begin.
        """
        self.path, self.content, self.place = path, content, place
        self.checksums = array("I")
        self.bytes = 0
        self.first = b""
        content.write(bytes(place))

    def append(self, row: bytes) -> None:
        """Write a row. Raises DiskError."""
        with files.full_disk(self.path):
            self.content.write(row)
        self.checksums.append(crc32(row))
        self.bytes += len(row)
        self.first = self.first or row

    def make_array(self, file: h5py.File, shape: tuple[int, ...]) -> None:
        """Make the array of all rows, before any other array.

        Args:
            file: from `appending`.
            shape: (N, S, S, C) for images, (B,) for rows that are bytes, one after another.
        """
        self.content.flush()
        rows = hdf5.add_images(file, ROWS[file.attrs["format"]], shape)
        if self.bytes:
            # HDF5 chooses an array's place when it is first written to. So the first row is written once more.
            first = np.frombuffer(self.first, np.uint8).reshape(-1, *shape[1:])
            rows[: len(first)] = first
            assert rows.id.get_offset() == self.place


@contextmanager
def appending(path: Path, kind: str, row_shape: tuple[int, ...] = ()) -> Iterator[tuple[h5py.File, RowAppender]]:
    """Yield a new HDF5 file, and what appends its rows. It is written atomically.

    The caller appends all rows, then calls `make_array`, adds the other arrays and calls `row_checksums.finish`.

    Args:
        path: the file.
        kind: its format, such as `hdf5.PROCESSED`.
        row_shape: of an image, (S, S, C); () where rows are bytes.
    """
    with files.atomic(path) as temporary:
        place = find_place(temporary, kind, row_shape)
        with hdf5.create(temporary, kind) as file, temporary.open("r+b", BUFFER_BYTES) as content:
            yield file, RowAppender(path, content, place)


def find_place(path: Path, kind: str, row_shape: tuple[int, ...]) -> int:
    """Return where HDF5 puts the rows of a file of a kind. A file with one row is written to see it."""
    with hdf5.create(path, kind) as file:
        rows = hdf5.add_images(file, ROWS[kind], (1, *row_shape))
        return int(rows.id.get_offset())
