"""A thumbnail -> perceptual hashes of all views of its photo: what a cropped, turned or halved copy would show. Pure.

The hash is that of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010: the signs of the
8 x 8 lowest frequencies of the discrete cosine transform, compared with their median. Cropping and the transform are
both linear, so two matrix products give the frequencies of a view from the thumbnail. Turning exchanges frequencies and
changes the signs of some, as in PDQ (Facebook, The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing
Algorithm, 2019).
"""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.formats.hdf5 import Indices, Pixels

FREQUENCIES = 8
STEPS = 1 << 16  # frequencies are rounded to 1 / STEPS of a grey level, so that a 0 is a 0 on every machine

# What a view cuts off at both ends of an axis, as shares. A copy that was cropped by less is between two of these.
# First up to 5 % at each end, then 10 % of the side in all: a copy with a tenth less, cut anywhere, is off by 1.25 %.
CUTS = ((0.0, 0.0), (0.05, 0.0), (0.0, 0.05), (0.05, 0.05))
MIDDLE = (0.025, 0.025)
CUTS_OF_A_TENTH = ((0.0125, 0.0875), (0.0375, 0.0625), (0.0625, 0.0375), (0.0875, 0.0125))
HALVES = ((0.5, 0.0, 0.0, 0.0), (0.0, 0.5, 0.0, 0.0), (0.0, 0.0, 0.5, 0.0), (0.0, 0.0, 0.0, 0.5))

# The eight turns of a square are sums of these: first rows and columns are exchanged, then each is reversed.
MIRROR, FLIP, TRANSPOSE = 1, 2, 4
TURNS = 8

Frequencies = NDArray[np.float64]  # of views (N, V, F, F), or of one view each (N, F, F): whole numbers of STEPS
Hashes = NDArray[np.uint64]
Box = tuple[float, float, float, float]  # the shares of the sides that are cut off left, right, top and bottom
Boxes = NDArray[np.float64]  # (N, 4): the shares of the sides that are cut off left, right, top and bottom


class View(NamedTuple):
    """The shares of the photo's sides that a copy cuts off, and how it is turned after that: a sum of MIRROR, ..."""

    left: float
    right: float
    top: float
    bottom: float
    turn: int


BOXES = (
    *((*across, *down) for down, across in product(CUTS, CUTS)),
    (*MIDDLE, *MIDDLE),
    *((*across, *down) for down, across in product(CUTS_OF_A_TENTH, CUTS_OF_A_TENTH)),
)
VIEWS = (
    *(View(*box, turn) for turn in (0, MIRROR) for box in (*BOXES, *HALVES)),
    *(View(0.0, 0.0, 0.0, 0.0, turn) for turn in range(FLIP, TURNS)),
)
ALL_BOXES, ALL_TURNS = np.array([view[:4] for view in VIEWS]), np.array([view.turn for view in VIEWS])


@lru_cache(maxsize=1024)  # the views of all photos have the same few cuts
def cosine_matrix(low: float, high: float, side: int, count: int = FREQUENCIES) -> NDArray[np.float64]:
    """Return the matrix (count, side) that transforms the part of a row between two cuts. It is read-only.

    low, high: the shares of the row that are cut off at its ends. A cut may go through a value, which then counts by
    the share that is left of it.
    """
    begin, end = low * side, side - high * side
    edges = (np.clip(np.arange(side + 1), begin, end) - begin) / (end - begin)
    angles = np.pi * np.arange(1, count)[:, np.newaxis]
    matrix = np.vstack([np.diff(edges), np.diff(np.sin(angles * edges)) / angles])
    matrix.flags.writeable = False
    return matrix


def box_frequencies(thumbnails: Pixels, boxes: tuple[Box, ...], count: int = FREQUENCIES) -> Frequencies:
    """Return the `count` lowest frequencies of each axis of the insides of B boxes, rounded: float64 (N, B, F, F).

    thumbnails: grey, uint8 (N, S, S).
    """
    number, side = thumbnails.shape[:2]
    rows = thumbnails.astype(np.float64).reshape(number * side, side)
    frequencies = np.empty((number, len(boxes), count, count))
    for cut in dict.fromkeys(box[:2] for box in boxes):
        inside = [place for place, box in enumerate(boxes) if box[:2] == cut]
        across = (rows @ cosine_matrix(*cut, side, count).T).reshape(number, side, count)
        down = np.vstack([cosine_matrix(*boxes[place][2:], side, count) for place in inside])
        frequencies[:, inside] = (down @ across).reshape(number, len(inside), count, count)
    frequencies *= STEPS
    return np.rint(frequencies, out=frequencies)


def view_frequencies(thumbnails: Pixels, count: int = FREQUENCIES) -> Frequencies:
    """Return the `count` lowest frequencies of each axis of each view, rounded: float64 (N, VIEWS, F, F).

    thumbnails: grey, uint8 (N, S, S).
    """
    plain = box_frequencies(thumbnails, (*BOXES, *HALVES), count)
    turned = [turn_frequencies(plain[:, :1], turn) for turn in range(FLIP, TURNS)]
    return np.concatenate([plain, turn_frequencies(plain, MIRROR), *turned], axis=1)


def turn_frequencies(frequencies: Frequencies, turn: int) -> Frequencies:
    """Return the frequencies, (..., F, F), of images that are turned."""
    odd = np.where(np.arange(frequencies.shape[-1]) % 2, -1, 1)  # the signs of the frequencies of a reversed axis
    turned = frequencies.swapaxes(-1, -2) if turn & TRANSPOSE else frequencies
    turned = turned * odd[:, np.newaxis] if turn & FLIP else turned
    return turned * odd if turn & MIRROR else turned


def turn_back(images: NDArray[np.float64], turns: Indices) -> NDArray[np.float64]:
    """Return square images, (N, S, S), before each was turned.

    turns: of each image, (N,), as in View.
    """
    mirrored, flipped, transposed = (
        ((turns & each) != 0)[:, np.newaxis, np.newaxis] for each in (MIRROR, FLIP, TRANSPOSE)
    )
    images = np.where(mirrored, images[:, :, ::-1], images)
    images = np.where(flipped, images[:, ::-1], images)
    return np.where(transposed, images.swapaxes(1, 2), images)


def hash_views(frequencies: Frequencies) -> Hashes:
    """Return the 64-bit hashes of V views, uint64 (N, V), from their frequencies (N, V, 8, 8)."""
    flat = frequencies.reshape(*frequencies.shape[:2], FREQUENCIES**2)
    ordered = np.sort(flat, axis=-1)  # ten times as fast as np.median
    middle = flat.shape[-1] // 2
    bits = flat > (ordered[..., middle - 1 : middle] + ordered[..., middle : middle + 1]) / 2
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


def choose_views(images: Pixels, others: Pixels) -> tuple[NDArray[np.bool_], Boxes, Indices]:
    """Choose, for each of P pairs, which photo has to be cropped, how, and how the other one is turned.

    The photo has to be cropped to fit its copy. A copy cropped once more may also have the hash of its photo, so the
    better of both directions counts.

    Args:
        images, others: the thumbnails of each pair, grey, uint8 (P, 64, 64).

    Returns:
        Whether it is the other one that is cropped, (P,), its box, (P, 4), and the turn of the one that is not, (P,).
    """
    frequencies, other_frequencies = view_frequencies(images), view_frequencies(others)
    number, cosine = nearest_views(frequencies, other_frequencies[:, 0])
    other_number, other_cosine = nearest_views(other_frequencies, frequencies[:, 0])
    is_swapped = other_cosine > cosine
    chosen = np.where(is_swapped, other_number, number)
    return is_swapped, ALL_BOXES[chosen], ALL_TURNS[chosen]
