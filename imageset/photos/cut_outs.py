"""Tell whether a photo's transparency cuts out what it shows, and so is its mask. No files, no network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

CLEAR, OPAQUE = 25, 230  # alpha of 255: so much at the most is transparent, so much at least is opaque

# Shares of the photo's edge and of its area. Of a cut-out most of the edge is transparent: a garment may touch one.
MIN_CLEAR_EDGE = 0.5
MIN_OPAQUE, MAX_OPAQUE = 0.02, 0.9
MAX_BETWEEN = 0.15  # is neither transparent nor opaque: soft edges, a shadow. A veil is all between

# A rectangle or an ellipse is the frame of a picture that has a background, or a badge.
MAX_LIKE_FRAME = 0.95


def is_cut_out(alpha: Image.Image) -> bool:
    """Return whether an alpha channel (mode L) is a cut-out: a shape on nothing, neither a frame nor a veil."""
    values = np.asarray(alpha)
    if (take_edge(values) <= CLEAR).mean() < MIN_CLEAR_EDGE:
        return False
    opaque = values >= OPAQUE
    if not MIN_OPAQUE <= opaque.mean() <= MAX_OPAQUE or (~opaque & (values > CLEAR)).mean() > MAX_BETWEEN:
        return False
    return max(measure_overlap(opaque, is_round) for is_round in (False, True)) <= MAX_LIKE_FRAME


def take_edge(values: NDArray[Any]) -> NDArray[Any]:
    """Return the outermost pixels of an image, (H, W)."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def measure_overlap(shape: NDArray[np.bool_], is_round: bool) -> float:
    """Return the intersection of a shape (bool, (H, W)) and its frame over their union: a rectangle or an ellipse."""
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
    frame = Image.new("L", (shape.shape[1], shape.shape[0]))
    draw = ImageDraw.Draw(frame)
    (draw.ellipse if is_round else draw.rectangle)(box, fill=255)
    drawn = np.asarray(frame) > 0
    return float((drawn & shape).sum() / (drawn | shape).sum())
