"""Photos with near hashes -> those that may show the same: the signs of more frequencies are nearly the same. Pure.

A hash has 64 bits, and of a million photos some 77 million pairs have nearly the same one by chance. The signs of the
16 x 16 lowest frequencies are 256 bits. Two photos of one garment have nearly all of them in common, two garments on
one hanger two thirds. benchmarks/near_duplicates/README.md has the figures.
"""

import numpy as np
from numpy.typing import NDArray

from imageset.curation.views import (
    FREQUENCIES,
    HALVES,
    VIEWS,
    Box,
    Frequencies,
    Hashes,
    box_frequencies,
    hash_views,
    view_frequencies,
)
from imageset.formats.hdf5 import Indices, Pixels

LOWEST = 16  # frequencies of each axis, a multiple of 8
WORDS = LOWEST * LOWEST // 64
WHOLE: Box = (0.0, 0.0, 0.0, 0.0)
# The most signs that differ, of 256.
OF_ANY_VIEW = 48
OF_A_HALF = 96  # halves have no views that are cropped, so the view that fits best is not among them
OF_A_WINDOW = 40
OF_EQUAL_HASHES = 80

IS_HALF = np.array([view[:4] in HALVES for view in VIEWS])

Signs = NDArray[np.uint64]  # (..., WORDS)


def hash_with_signs(thumbnails: Pixels) -> tuple[Hashes, Signs]:
    """Return the hashes of all views, uint64 (N, VIEWS), and their signs, (N, VIEWS, WORDS).

    thumbnails: grey, uint8 (N, S, S).
    """
    frequencies = view_frequencies(thumbnails, LOWEST)
    return hash_views(frequencies[..., :FREQUENCIES, :FREQUENCIES]), pack_signs(frequencies)


def box_signs(thumbnails: Pixels, box: Box = WHOLE) -> Signs:
    """Return the signs of the inside of one box, (N, WORDS). thumbnails: grey, uint8 (N, S, S)."""
    return pack_signs(box_frequencies(thumbnails, (box,), LOWEST))[:, 0]


def pack_signs(frequencies: Frequencies) -> Signs:
    flat = frequencies.reshape(*frequencies.shape[:2], LOWEST * LOWEST)
    return np.packbits(flat > 0, axis=-1).view(np.uint64)


def count_differing(one: Signs, other: Signs) -> NDArray[np.int64]:
    """Return how many signs differ, (...)."""
    bits = np.bitwise_count(one ^ other)
    # The sum over the last axis, which has few values, would take five times as long.
    differing: NDArray[np.int64] = sum(bits[..., word].astype(np.int64) for word in range(WORDS))
    return differing


def may_agree(signs: Signs, others: Signs, views: Indices) -> NDArray[np.bool_]:
    """Return which of P pairs may show the same, (P,).

    Args:
        signs: of all views of the one photo, (P, VIEWS, WORDS).
        others: of the other photo as it is, (P, WORDS).
        views: which view has nearly the hash of the other photo, (P,).
    """
    differing = count_differing(signs, others[:, np.newaxis])
    of_view = differing[np.arange(len(views)), views]
    agree: NDArray[np.bool_] = (differing.min(axis=1) <= OF_ANY_VIEW) | (IS_HALF[views] & (of_view <= OF_A_HALF))
    return agree
