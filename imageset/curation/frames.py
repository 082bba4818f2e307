"""A thumbnail -> the frame of one colour around its picture: bars that make a photo square, or a border. Pure."""

import numpy as np
from numpy.typing import NDArray

from imageset.curation.views import Boxes
from imageset.formats.hdf5 import Pixels

SPREAD = 12  # grey levels between the second brightest and the second darkest value of a line of one colour
DRIFT = 12  # grey levels between the means of two lines of one frame
MAX_FRAME = 0.75  # of a side, at both of its ends together; beyond that too little of the picture is left


def find_frames(thumbnails: Pixels) -> Boxes:
    """Return how much of each thumbnail's sides is frame, (N, 4): shares left, right, top and bottom, 0 without any.

    A frame ends within a line of the thumbnail, which then mixes both: its share is fitted by least squares.

    thumbnails: grey, uint8 (N, S, S).
    """
    images = thumbnails.astype(np.int16)
    columns = images.swapaxes(1, 2)
    ends = [measure_frame(lines) for lines in (columns, columns[:, ::-1], images, images[:, ::-1])]
    boxes = np.stack(ends, axis=1)
    for axis in (slice(0, 2), slice(2, 4)):
        boxes[boxes[:, axis].sum(1) > MAX_FRAME, axis] = 0
    return boxes


def measure_frame(lines: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the share of the lines, (N,), that are frame, from the first line on.

    lines: grey values, (N, S, S), the outermost line first.
    """
    count, side = lines.shape[:2]
    share = np.zeros(count)
    framed = np.flatnonzero(has_one_color(lines[:, :1])[:, 0])  # few photos: the rest is not looked at further
    lines = lines[framed]
    means = lines.mean(2)
    is_frame = has_one_color(lines) & (np.abs(means - means[:, :1]) <= DRIFT)
    full = np.where(is_frame.all(1), side, is_frame.argmin(1))
    number, ends = np.arange(len(lines)), np.minimum(full, side - 2)
    color = means[:, :1]
    mixed, inside = lines[number, ends] - color, lines[number, ends + 1] - color
    of_picture = np.clip((mixed * inside).sum(1) / np.maximum((inside * inside).sum(1), 1), 0, 1)
    share[framed] = np.round(np.where(full < side - 1, full + 1 - of_picture, side) / side, 6)
    return share


def has_one_color(lines: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return which lines have one colour, but for one value brighter and one darker: (N, L) of (N, L, S)."""
    ordered = np.sort(lines, axis=2)
    return np.asarray(ordered[..., -2] - ordered[..., 1] <= SPREAD)
