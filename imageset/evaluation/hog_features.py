"""Features for a linear classifier: the directions of edges in each cell of a photo, and a tiny thumbnail.

Histograms of oriented gradients (Dalal and Triggs, 2005), with signed directions, divided by the contrast around each
cell. All features are integers from 0 to 255. So sums of them and of their products are exact in float64, in any order
and with any number of threads.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imageset.formats.hdf5 import Pixels

SIDE, CELL, DIRECTIONS = 64, 8, 12  # the photo is shrunk to 64 pixels; a cell has 8 by 8; a histogram has 12 bins
CELLS = SIDE // CELL
THUMBNAIL = 8  # side, in pixels
FLAT = 2.0 * CELL * CELL  # the sum of a cell whose edges all have two levels of 255: fainter ones count little
WORKING_BYTES = 8 * SIDE * SIDE  # of one float64 array for a photo; decides how many photos are processed together


def features(images: Pixels) -> NDArray[np.uint8]:
    """Return the features of images, uint8 (N, S, S, C): uint8 (N, 768 + 64 C), edges first."""
    photos = [Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image) for image in images]
    grays = np.stack([shrunk(photo.convert("L"), SIDE) for photo in photos])
    thumbnails = np.stack([shrunk(photo, THUMBNAIL) for photo in photos])
    return np.hstack([edges(grays), thumbnails.reshape(len(images), -1)])


def shrunk(photo: Image.Image, side: int) -> NDArray[np.uint8]:
    return np.asarray(photo.resize((side, side), Image.Resampling.BOX))


def edges(grays: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return histograms of directions for 8 x 8 cells of images, uint8 (N, 64, 64): uint8 (N, 768)."""
    padded = np.pad(grays.astype(np.int32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    gradients = ((down + 255) * 511 + across + 255).reshape(-1)
    cells = np.arange(SIDE) // CELL
    places = np.arange(len(grays))[:, None, None] * CELLS**2 + cells[:, None] * CELLS + cells
    bins, room = places.reshape(-1) * DIRECTIONS, len(grays) * CELLS**2 * DIRECTIONS
    histograms = np.zeros(room)
    for directions, weights in directions_of_gradients():
        histograms += np.bincount(bins + directions[gradients], weights[gradients], room)
    return normalised(histograms.reshape(len(grays), CELLS, CELLS, DIRECTIONS)).reshape(len(grays), -1)


@cache
def directions_of_gradients() -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return the two directions nearest to each gradient, and the part of its length that each gets.

    Gradient (across, down), -255 to 255 each, is entry (down + 255) * 511 + across + 255. This is a table because an
    arctangent for every pixel would take most of the time.
    """
    down, across = np.mgrid[-255:256, -255:256].reshape(2, -1).astype(np.float64)
    lengths = np.hypot(down, across)
    position = np.arctan2(down, across) % (2 * np.pi) * (DIRECTIONS / (2 * np.pi))
    first = np.floor(position).astype(np.int64)
    beyond = position - first
    return [(first % DIRECTIONS, lengths * (1 - beyond)), ((first + 1) % DIRECTIONS, lengths * beyond)]


def normalised(histograms: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return histograms (N, cells, cells, directions), divided by the energy of the 3 x 3 cells around, 0 to 255."""
    energies = np.pad((histograms**2).sum(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = sum(
        (energies[:, row : row + CELLS, column : column + CELLS] for row in range(3) for column in range(3)),
        start=np.zeros(histograms.shape[:-1]),
    )
    shares = histograms / np.sqrt(around + FLAT**2)[..., None]
    return np.asarray(np.rint(255 * np.minimum(shares, 1)), np.uint8)
