"""Masks of a masks.h5 that was made before, here or on another machine: those of the same recipe are used again."""

from typing import Any

from imageset.formats import hdf5
from imageset.formats.mask_rows import MaskRows
from imageset.photos.earlier_file import FileKind
from imageset.photos.mask_file import MEASURED
from imageset.photos.outcomes import PhotoMask


def read_result(masks: MaskRows, row: int, measured: list[Any]) -> PhotoMask:
    """Return a mask of an open masks.h5 with what was measured on it. Raises DamagedFile."""
    return PhotoMask(masks.read_compressed(row), *measured)


EARLIER_MASKS = FileKind("masks", "masks", hdf5.MASKS, tuple(MEASURED), MaskRows, read_result, "backgrounds were kept")
