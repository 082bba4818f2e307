"""Two thumbnails that look alike -> whether they are of one photo: are their details in the same places? Pure.

Hashes know only the lowest frequencies, in which two garments on one hanger are the same. The one thumbnail is cropped
so that it fits the other best: Lucas and Kanade, An Iterative Image Registration Technique, 1981, with gain and bias,
over the four cuts, from coarse to fine. Then details alone are correlated.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Images = NDArray[np.float64]  # (N, S, S)
Boxes = NDArray[np.float64]  # (N, 4): shares of the sides cut off left, right, top, bottom

SIDES_AND_STEPS = ((16, 4), (32, 3), (64, 3))
LARGEST_STEP = 0.02
OUTERMOST, INNERMOST = -0.03, 0.09  # where a cut may come to lie
SMALLEST_GAIN = 0.1
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
NOISE = 0.1  # grey levels, after smoothing


def likeness(images: Images, others: Images, boxes: Boxes) -> NDArray[np.float64]:
    """Return by how much the details of N pairs agree, -1 to 1, when each image is cropped to fit the other.

    images, others: grey, (N, 64, 64); boxes: where to begin. Figures: benchmarks/near_duplicates/README.md.
    """
    for side, steps in SIDES_AND_STEPS:
        small, wanted = shrink(images, side), shrink(others, side)
        boxes = align(small, wanted, boxes, steps)
    cropped, _, _ = crop(small, boxes)
    agreed: NDArray[np.float64] = np.round(correlation(details(cropped), details(wanted)), 6)
    return agreed


def shrink(images: Images, side: int) -> Images:
    """Return images of side x side, each value the mean of those it stands for."""
    factor = images.shape[1] // side
    smaller: Images = images.reshape(len(images), side, factor, side, factor).mean((2, 4))
    return smaller


def align(images: Images, others: Images, boxes: Boxes, steps: int) -> Boxes:
    """Return boxes that make the cropped images fit the others better, by so many steps of Gauss and Newton."""
    count, side = images.shape[:2]
    place = (np.arange(side) + 0.5) / side
    for _ in range(steps):
        cropped, across, down = crop(images, boxes)
        moves = [across * (1 - place), -across * place, down * (1 - place)[:, np.newaxis], -down * place[:, np.newaxis]]
        columns = np.stack([*(side * move for move in moves), cropped, np.ones_like(cropped)], axis=-1)
        jacobian = columns.reshape(count, side * side, 6)
        transposed = jacobian.transpose(0, 2, 1)
        # A thumbnail without any detail says nothing of where it lies: a little of the identity, and it stays.
        normal = transposed @ jacobian + np.eye(6) * 1e-3
        solved = np.linalg.solve(normal, transposed @ others.reshape(count, side * side, 1))[..., 0]
        gain = np.maximum(solved[:, 4:5], SMALLEST_GAIN)
        boxes = np.clip(boxes + np.clip(solved[:, :4] / gain, -LARGEST_STEP, LARGEST_STEP), OUTERMOST, INNERMOST)
    return boxes


def crop(images: Images, boxes: Boxes) -> tuple[Images, Images, Images]:
    """Return what is inside the boxes, at the images' own sides, bilinear, and its slopes across and down."""
    left, right_share = places(boxes[:, 0], boxes[:, 1], images.shape[2])
    upper, lower_share = places(boxes[:, 2], boxes[:, 3], images.shape[1])
    number = np.arange(len(images))[:, np.newaxis]
    rows = images[number, upper], images[number, upper + 1]
    at_left, at_right = (
        [np.take_along_axis(row, np.broadcast_to(column[:, np.newaxis], row.shape), 2) for row in rows]
        for column in (left, left + 1)
    )
    across = [end - begin for begin, end in zip(at_left, at_right, strict=True)]
    share_across, share_down = right_share[:, np.newaxis], lower_share[..., np.newaxis]
    above, below = (begin + slope * share_across for begin, slope in zip(at_left, across, strict=True))
    return above + (below - above) * share_down, across[0] + (across[1] - across[0]) * share_down, below - above


def places(low: NDArray[np.float64], high: NDArray[np.float64], side: int) -> tuple[NDArray[np.intp], Images]:
    """Return, for each of `side` places between two cuts, the value before it and how far it is to the next, 0 to 1."""
    inside = low[:, np.newaxis] + (np.arange(side) + 0.5) / side * (1 - low - high)[:, np.newaxis]
    place = np.clip(inside * side - 0.5, 0, side - 1)
    before = np.minimum(place.astype(np.intp), side - 2)
    return before, place - before


def details(images: Images) -> Images:
    """Return where images are brighter and where darker than around, whatever by how much, but for noise; no rim.

    Signs, nearly: else the outline of a garment would outweigh all that is inside and around it, as it has by far the
    strongest contrast. After Zabih and Woodfill, Non-parametric Local Transforms for Computing Visual Correspondence,
    1994.
    """
    smooth = blurred(images)  # the finest details are those that resampling changes most
    rim = len(BINOMIAL) // 2
    fine = smooth[:, rim:-rim, rim:-rim] - blurred(smooth)
    return fine / (np.abs(fine) + NOISE)


def blurred(images: Images) -> Images:
    """Return images without their rim, blurred."""
    down = sliding_window_view(images, len(BINOMIAL), axis=1) @ BINOMIAL
    across: Images = sliding_window_view(down, len(BINOMIAL), axis=2) @ BINOMIAL
    return across


def correlation(images: Images, others: Images) -> NDArray[np.float64]:
    """Return the correlation of each pair's values, 0 where one of them has no detail at all."""
    one, other = (values.reshape(len(values), -1) - values.mean((1, 2))[:, np.newaxis] for values in (images, others))
    scale = np.sqrt((one * one).sum(1) * (other * other).sum(1))
    agreed: NDArray[np.float64] = (one * other).sum(1) / np.maximum(scale, 1e-9)
    return agreed
