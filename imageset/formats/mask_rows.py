"""Read the masks of masks.h5 one at a time. imageset/photos/mask_file.py writes the file."""

import zlib

import numpy as np

from imageset.errors import DamagedFile
from imageset.formats import hdf5
from imageset.formats.hdf5 import Pixels
from imageset.formats.row_checksums import Rows


class MaskRows(Rows):
    """The masks of an open masks.h5. A photo without a mask has none: `reasons` says which those are."""

    def read_compressed(self, row: int) -> bytes:
        """Return a mask in zlib's format, as PhotoMask has it. Raises DamagedFile."""
        with hdf5.reading(self.path):
            mask = bytes(self.array.id.read_direct_chunk((row, 0, 0))[1])
        self.require_row(row, mask)
        return mask

    def read(self, row: int) -> Pixels:
        """Return a mask, uint8 (S, S). Raises DamagedFile."""
        try:
            content = zlib.decompress(self.read_compressed(row))
            return np.frombuffer(content, np.uint8).reshape(self.shape[1:])
        except (zlib.error, ValueError):  # it was written so
            raise DamagedFile(self.path, f"has no mask at row {row}") from None
