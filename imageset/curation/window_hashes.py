"""A thumbnail -> hashes of parts of it: a sticker or a line of text leaves some of them as they were. Pure."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from imageset.curation.views import FREQUENCIES, HALVES, STEPS, Hashes, box_frequencies, hash_views
from imageset.formats.hdf5 import Pixels

QUARTERS = tuple((left, 0.5 - left, top, 0.5 - top) for top, left in product((0.0, 0.5), (0.0, 0.5)))
# At the four sides: what covers the middle of a photo covers a part of each half and each quarter.
THIRDS = ((0.0, 2 / 3, 0.0, 0.0), (2 / 3, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 2 / 3), (0.0, 0.0, 2 / 3, 0.0))
WINDOWS = (*HALVES, *QUARTERS, *THIRDS)
LEAST_DETAIL = 3.0  # grey levels: the hash of a plain wall is that of its noise


def hash_windows(thumbnails: Pixels) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return the hashes of the windows, uint64 (N, WINDOWS), and which of them show enough to be told from others.

    thumbnails: grey, uint8 (N, S, S).
    """
    frequencies = box_frequencies(thumbnails, WINDOWS)
    details = frequencies.reshape(*frequencies.shape[:2], FREQUENCIES**2)[..., 1:]
    strength = np.sqrt((details * details).sum(-1))
    return hash_views(frequencies), strength >= LEAST_DETAIL * STEPS
