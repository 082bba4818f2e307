"""Copy the images of a batch into one array, as they are or as normalised floats."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageset.formats.hdf5 import Pixels
from imageset.reader.block_shuffle import Piece

TILE_BYTES = 512 << 10  # of pixels converted at a time: with their floats they fit in a core's cache


def fill(out: NDArray[Any], batch: list[Piece], copy: Callable[[Piece, NDArray[Any]], None]) -> None:
    """Fill `out`, (B, H, W, C), with a batch's images, piece by piece."""
    start = 0
    for piece in batch:
        copy(piece, out[start : start + len(piece.rows)])
        start += len(piece.rows)


def gather(piece: Piece, out: Pixels) -> None:
    """Copy a piece's images, uint8 (n, H, W, C)."""
    piece.source.gather(piece.places, out)


def gather_floats(
    piece: Piece, out: NDArray[np.float32], scale: NDArray[np.float32], shift: NDArray[np.float32]
) -> None:
    """Copy a piece's images as floats, value * scale + shift.

    It converts a few images at a time, while their pixels are still in a core's cache.

    Args:
        piece: Which images.
        out: Filled, float32 (n, H, W, C).
        scale: Factor of each channel, float32 (C,).
        shift: Summand of each channel, float32 (C,).
    """
    step = max(1, TILE_BYTES // math.prod(out.shape[1:]))
    tile = np.empty((step, *out.shape[1:]), np.uint8)
    if len(scale) > 1:  # one value per pixel and channel: a loop over three channels would be slow
        scale, shift = (np.tile(values, math.prod(out.shape[1:3])) for values in (scale, shift))
    for start in range(0, len(out), step):
        floats, pixels = out[start : start + step], tile[: len(out) - start]
        piece.source.gather(piece.places[start : start + step], pixels)
        flat = floats.reshape(len(floats), -1)
        flat[...] = pixels.reshape(flat.shape)
        # Two operations: fused, the last bit would differ from what other devices compute.
        flat *= scale
        flat += shift
