"""A thumbnail -> perceptual hashes of the photo as a copy may show it: whole or cropped, as it is or mirrored; pure.

The hash is that of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010: the signs of the
8 x 8 lowest frequencies of the discrete cosine transform, seen from their median. Cropping and the transform are both
linear, so a view's frequencies come from the thumbnail by two products with matrices, and mirroring changes the sign
of every other column.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.formats.hdf5 import Pixels

FREQUENCIES = 8
MOST_CROPPED = 0.05  # of a side, at each of its ends

# Where a view begins and ends along an axis, as shares cut off. A copy cropped by less lies between two of them.
CUTS = ((0.0, 0.0), (MOST_CROPPED, 0.0), (0.0, MOST_CROPPED), (MOST_CROPPED, MOST_CROPPED))
MIDDLE = (MOST_CROPPED / 2, MOST_CROPPED / 2)
MIRRORED = np.where(np.arange(FREQUENCIES) % 2, -1, 1)
STEPS = 1 << 16  # frequencies are rounded to so many parts of a grey level: what is 0 is 0 on every machine

Hashes = NDArray[np.uint64]


class View(NamedTuple):
    """Shares of the photo's sides that are cut off, and whether what is left is mirrored."""

    left: float
    right: float
    top: float
    bottom: float
    mirrored: bool


VIEWS = tuple(
    View(*across, *down, mirrored)
    for mirrored in (False, True)
    for down, across in [*product(CUTS, CUTS), (MIDDLE, MIDDLE)]
)


def cosines(low: float, high: float, side: int) -> NDArray[np.float64]:
    """Return (FREQUENCIES, side): what each of a row's values adds to the transform of the row between two cuts.

    A value is taken to fill its place in the row, so a cut may go through it.
    """
    begin, end = low * side, side - high * side
    edges = (np.clip(np.arange(side + 1), begin, end) - begin) / (end - begin)
    waves = np.pi * np.arange(1, FREQUENCIES)[:, np.newaxis]
    return np.vstack([np.diff(edges), np.diff(np.sin(waves * edges)) / waves])


def frequencies(thumbnails: Pixels) -> NDArray[np.float64]:
    """Return the lowest frequencies of each view of thumbnails, uint8 (N, S, S): (N, VIEWS, 8, 8), rounded."""
    side = thumbnails.shape[1]
    matrices = {cut: cosines(*cut, side) for cut in (*CUTS, MIDDLE)}
    across = {cut: thumbnails @ matrix.T for cut, matrix in matrices.items()}
    seen = [matrices[view.top, view.bottom] @ across[view.left, view.right] for view in VIEWS if not view.mirrored]
    plain = np.rint(np.stack(seen, axis=1) * STEPS)
    return np.concatenate([plain, plain * MIRRORED], axis=1)


def hashes(found: NDArray[np.float64]) -> Hashes:
    """Return the 64-bit hashes of views, (N, VIEWS), from their frequencies."""
    flat = found.reshape(*found.shape[:2], -1)
    bits = flat > np.median(flat, axis=-1, keepdims=True)
    return np.packbits(bits, axis=-1).view(">u8")[..., 0].astype(np.uint64)


def nearest(found: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return, for each of N pairs, which view of the one, (N, VIEWS, 8, 8), looks most like the other, (N, 8, 8).

    And how much: the cosine between their frequencies, but for the lowest, which is brightness.
    """
    seen, other = found.reshape(*found.shape[:2], -1)[..., 1:], others.reshape(len(others), 1, -1)[..., 1:]
    lengths = np.sqrt((seen * seen).sum(-1) * (other * other).sum(-1))
    cosines = np.round((seen * other).sum(-1) / np.maximum(lengths, 1), 9)
    return cosines.argmax(1), cosines.max(1)
