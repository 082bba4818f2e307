"""Masks of a masks.h5 that was made before, here or on another machine: those of the same recipe are used again."""

from typing import Any

import h5py

from imageset.formats import hdf5
from imageset.photos import mask_file
from imageset.photos.earlier_file import FileKind
from imageset.photos.outcomes import PhotoMask


def read_result(file: h5py.File, row: int, measured: list[Any]) -> PhotoMask:
    """Return a mask of an open masks.h5 with what was measured on it. Raises DamagedFile."""
    return PhotoMask(mask_file.read_mask(file, row), *measured)


EARLIER_MASKS = FileKind("masks", "masks", hdf5.MASKS, tuple(mask_file.MEASURED), read_result, "backgrounds were kept")
