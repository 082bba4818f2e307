"""A thumbnail -> perceptual hashes of all views of its photo: what a cropped or mirrored copy would show. Pure.

The hash is that of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010: the signs of the
8 x 8 lowest frequencies of the discrete cosine transform, compared with their median. Cropping and the transform are
both linear, so two matrix products give the frequencies of a view from the thumbnail. Mirroring changes the sign of
every other column.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.formats.hdf5 import Indices, Pixels

FREQUENCIES = 8
MAX_CROPPED = 0.05  # of a side, at each of its ends

# What a view cuts off at both ends of an axis, as shares. A copy that was cropped by less is between two of these.
CUTS = ((0.0, 0.0), (MAX_CROPPED, 0.0), (0.0, MAX_CROPPED), (MAX_CROPPED, MAX_CROPPED))
MIDDLE = (MAX_CROPPED / 2, MAX_CROPPED / 2)
MIRRORED = np.where(np.arange(FREQUENCIES) % 2, -1, 1)
STEPS = 1 << 16  # frequencies are rounded to 1 / STEPS of a grey level, so that a 0 is a 0 on every machine

Frequencies = NDArray[np.float64]  # of views (N, VIEWS, 8, 8), or of one view each (N, 8, 8): whole numbers of STEPS
Hashes = NDArray[np.uint64]


class View(NamedTuple):
    """The shares of the photo's sides that a copy cuts off, and whether it is mirrored after that."""

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


def cosine_matrix(low: float, high: float, side: int) -> NDArray[np.float64]:
    """Return the matrix (FREQUENCIES, side) that transforms the part of a row between two cuts.

    low, high: the shares of the row that are cut off at its ends. A cut may go through a value, which then counts by
    the share that is left of it.
    """
    begin, end = low * side, side - high * side
    edges = (np.clip(np.arange(side + 1), begin, end) - begin) / (end - begin)
    angles = np.pi * np.arange(1, FREQUENCIES)[:, np.newaxis]
    return np.vstack([np.diff(edges), np.diff(np.sin(angles * edges)) / angles])


def view_frequencies(thumbnails: Pixels) -> Frequencies:
    """Return the lowest frequencies of each view, rounded: float64 (N, VIEWS, 8, 8).

    thumbnails: grey, uint8 (N, S, S).
    """
    side = thumbnails.shape[1]
    matrices = {cut: cosine_matrix(*cut, side) for cut in (*CUTS, MIDDLE)}
    across = {cut: thumbnails @ matrix.T for cut, matrix in matrices.items()}
    views = [matrices[view.top, view.bottom] @ across[view.left, view.right] for view in VIEWS if not view.mirrored]
    plain = np.rint(np.stack(views, axis=1) * STEPS)
    return np.concatenate([plain, plain * MIRRORED], axis=1)


def hash_views(frequencies: Frequencies) -> Hashes:
    """Return the 64-bit hashes of views, uint64 (N, VIEWS), from their frequencies (N, VIEWS, 8, 8)."""
    flat = frequencies.reshape(*frequencies.shape[:2], -1)
    bits = flat > np.median(flat, axis=-1, keepdims=True)
    return np.packbits(bits, axis=-1).view(">u8")[..., 0].astype(np.uint64)


def nearest_views(frequencies: Frequencies, others: Frequencies) -> tuple[Indices, NDArray[np.float64]]:
    """Find, for each of N pairs, which view of the one photo looks most like the other photo.

    Args:
        frequencies: of all views of the one photo, (N, VIEWS, 8, 8).
        others: of the other photo as it is, (N, 8, 8).

    Returns:
        The number of the view, (N,), and the cosine between both frequencies, (N,), without the lowest one, which is
        brightness.
    """
    views, other = frequencies.reshape(*frequencies.shape[:2], -1)[..., 1:], others.reshape(len(others), 1, -1)[..., 1:]
    lengths = np.sqrt((views * views).sum(-1) * (other * other).sum(-1))
    cosines = np.round((views * other).sum(-1) / np.maximum(lengths, 1), 9)
    return cosines.argmax(1), cosines.max(1)
