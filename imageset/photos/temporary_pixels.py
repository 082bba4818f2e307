"""Keep images in a temporary file until their number is known, then write them as an HDF5 file.

An HDF5 file's images need their number at the start. How many photos have pixels is known only at the end.
"""

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from deflate import crc32

from imageset.formats import hdf5, row_checksums
from imageset.formats.hdf5 import Pixels
from imageset.runtime import files


@contextmanager
def open_temporary_pixels(folder: Path, image_shape: tuple[int, int, int]) -> Iterator["TemporaryPixels"]:
    """Yield room for images of one shape, (S, S, C), in a folder. It is gone afterwards."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield TemporaryPixels(file, image_shape)


class TemporaryPixels:
    """Images of one shape, (S, S, C), appended one by one to an open file."""

    def __init__(self, file: IO[bytes], image_shape: tuple[int, int, int]) -> None:
        self.file = file
        self.image_shape = image_shape
        self.checksums = array("I")

    def append(self, image: Pixels) -> None:
        """Append an image, uint8 (S, S, C)."""
        content = image.tobytes()
        self.file.write(content)
        self.checksums.append(crc32(content))

    def write(self, path: Path, kind: str, ids: Sequence[int], positions: Sequence[int], **attributes: Any) -> None:
        """Write all images as an HDF5 file, atomically.

        Args:
            path: the file to write.
            kind: its format, such as `hdf5.PROCESSED`.
            ids: the product id of each image, in the order of the images.
            positions: the position of each image.
            attributes: the file's attributes.
        """
        shape = (len(ids), *self.image_shape)
        with files.atomic(path) as temporary, hdf5.create(temporary, kind) as file:
            images = hdf5.add_images(file, "images", shape)
            self.file.seek(0)
            for block in hdf5.blocks(images):
                block_shape = (block.stop - block.start, *shape[1:])
                content = self.file.read(int(np.prod(block_shape)))
                images[block] = np.frombuffer(content, np.uint8).reshape(block_shape)
            hdf5.add(file, "ids", np.array(ids, np.int64))
            hdf5.add(file, "positions", np.array(positions, np.int16))
            row_checksums.finish(file, self.checksums, **attributes)
