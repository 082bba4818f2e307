"""Two thumbnails with near hashes -> whether they are of one photo: are their details in the same places? Pure.

A hash holds only the lowest frequencies, and two garments on one hanger have the same. So one thumbnail is cropped to
fit the other best. The method is that of Lucas and Kanade, An Iterative Image Registration Technique, 1981, with gain
and bias, over the four cuts, from coarse to fine. What differs most counts least in it (the weights are Cauchy's), so
that a sticker does not pull the rest away. Then only the details are correlated, without the places that differ most.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from imageset.curation.views import Boxes
from imageset.formats.hdf5 import Indices

Images = NDArray[np.float64]  # (N, S, S)
Values = NDArray[np.float64]  # (N,), or (N, S)

SIDES_AND_STEPS = ((16, 4), (32, 3), (64, 3))
MAX_STEP = 0.02
REACH = 0.06  # how far a cut may go from where it begins, as a share of a side
MIN_CUT = -0.03  # a negative cut begins outside of the image
MIN_GAIN = 0.1
LEAST_SCALE = 2.0  # grey levels; differences below count fully
TILE = 8  # values, the side of the places that may differ
COVERED = 0.15  # of these places, which may show a sticker, a text or a finger
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
NOISE = 0.1  # grey levels, after smoothing


def aligned_likeness(images: Images, others: Images, boxes: Boxes) -> Values:
    """Return how much the details of N pairs agree, -1 to 1, (N,), when each image is cropped to fit the other.

    benchmarks/near_duplicates/README.md has the figures.

    Args:
        images: grey values 0 to 255, float64 (N, 64, 64); these are cropped.
        others: the images to fit, float64 (N, 64, 64).
        boxes: the cuts to begin with, float64 (N, 4).
    """
    cropped, _, _ = crop(images, find_boxes(images, others, boxes))
    likeness: Values = np.round(correlation(details(cropped), details(others)), 6)
    return likeness


def find_boxes(images: Images, others: Images, boxes: Boxes) -> Boxes:
    """Return the boxes that make each image fit the other best, (N, 4). The arguments are those of aligned_likeness."""
    limits = np.maximum(boxes - REACH, MIN_CUT), boxes + REACH
    for side, steps in SIDES_AND_STEPS:
        boxes = align(shrink(images, side), shrink(others, side), boxes, steps, limits)
    return boxes


def shrink(images: Images, side: int) -> Images:
    """Return images of side x side, each value the mean of a square of values."""
    factor = images.shape[1] // side
    smaller: Images = images.reshape(len(images), side, factor, side, factor).mean((2, 4))
    return smaller


def align(images: Images, others: Images, boxes: Boxes, steps: int, limits: tuple[Boxes, Boxes]) -> Boxes:
    """Return boxes that make the cropped images fit the others better, after some Gauss-Newton steps.

    limits: the least and the greatest cuts, as boxes.
    """
    count, side = images.shape[:2]
    place = (np.arange(side) + 0.5) / side
    target = others.reshape(count, side * side, 1)
    weights = np.ones((count, side * side))
    for _ in range(steps):
        cropped, across, down = crop(images, boxes)
        weights = weigh(cropped.reshape(weights.shape), target[..., 0], weights)
        moves = [across * (1 - place), -across * place, down * (1 - place)[:, np.newaxis], -down * place[:, np.newaxis]]
        columns = np.stack([*(side * move for move in moves), cropped, np.ones_like(cropped)], axis=-1)
        jacobian = columns.reshape(count, side * side, 6)
        transposed = (jacobian * weights[..., np.newaxis]).transpose(0, 2, 1)
        # The matrix of a thumbnail without any detail is singular: a little of the identity keeps its box as it is.
        normal = transposed @ jacobian + np.eye(6) * 1e-3
        solved = np.linalg.solve(normal, transposed @ target)[..., 0]
        gain = np.maximum(solved[:, 4:5], MIN_GAIN)
        boxes = np.clip(boxes + np.clip(solved[:, :4] / gain, -MAX_STEP, MAX_STEP), *limits)
    return boxes


def weigh(values: Values, others: Values, weights: Values) -> Values:
    """Return what each value counts, 0 to 1, by how far it is from the line that fits the others best.

    Args:
        values, others: of N images, (N, V).
        weights: what each counts in that fit, (N, V).
    """
    total = weights.sum(1, keepdims=True)
    centred, target = (each - (weights * each).sum(1, keepdims=True) / total for each in (values, others))
    variance = (weights * centred * centred).sum(1, keepdims=True)
    gain = (weights * centred * target).sum(1, keepdims=True) / np.maximum(variance, 1e-9)
    rest = np.abs(target - gain * centred)
    scale = 2 * np.median(rest, axis=1, keepdims=True) + LEAST_SCALE
    weighed: Values = 1 / (1 + (rest / scale) ** 2)
    return weighed


def crop(images: Images, boxes: Boxes) -> tuple[Images, Images, Images]:
    """Return the inside of the boxes, enlarged to the images' sides (bilinear), and its slopes across and down."""
    left, right_share = sample_places(boxes[:, 0], boxes[:, 1], images.shape[2])
    upper, lower_share = sample_places(boxes[:, 2], boxes[:, 3], images.shape[1])
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


def sample_places(low: Values, high: Values, side: int) -> tuple[Indices, Values]:
    """Return, for `side` places between two cuts, the index of the value before each, and its distance from it, 0 to 1.

    low, high: the shares that are cut off at both ends, (N,).
    """
    inside = low[:, np.newaxis] + (np.arange(side) + 0.5) / side * (1 - low - high)[:, np.newaxis]
    place = np.clip(inside * side - 0.5, 0, side - 1)
    before = np.minimum(place.astype(np.intp), side - 2)
    return before, place - before


def details(images: Images) -> Images:
    """Return where images are brighter (near 1) and darker (near -1) than their surroundings, without the rim.

    The contrast hardly counts, only its sign: the outline of a garment has by far the strongest contrast, and would
    outweigh everything else. Differences much smaller than NOISE are near 0.

    After Zabih and Woodfill, Non-parametric Local Transforms for Computing Visual Correspondence, 1994.
    """
    smooth = blur(images)  # resampling changes the finest details most
    rim = len(BINOMIAL) // 2
    fine = smooth[:, rim:-rim, rim:-rim] - blur(smooth)
    return fine / (np.abs(fine) + NOISE)


def blur(images: Images) -> Images:
    """Return blurred images, without their rim."""
    down = sliding_window_view(images, len(BINOMIAL), axis=1) @ BINOMIAL
    across: Images = sliding_window_view(down, len(BINOMIAL), axis=2) @ BINOMIAL
    return across


def correlation(images: Images, others: Images) -> Values:
    """Return the correlation of each pair's values, (N,), without the share COVERED of the tiles that differ most.

    It is 0 where one of the two has no detail at all.
    """
    one, other = cut_tiles(images), cut_tiles(others)
    differences = np.round(((one - other) ** 2).sum(2), 6)
    count = differences.shape[1]
    kept = np.argsort(differences, axis=1, kind="stable")[:, : count - round(COVERED * count), np.newaxis]
    one, other = (np.take_along_axis(each, kept, 1).reshape(len(each), -1) for each in (one, other))
    one, other = (values - values.mean(1, keepdims=True) for values in (one, other))
    scale = np.sqrt((one * one).sum(1) * (other * other).sum(1))
    correlations: Values = (one * other).sum(1) / np.maximum(scale, 1e-9)
    return correlations


def cut_tiles(images: Images) -> Images:
    """Return the tiles of images, (N, tiles, TILE * TILE). What is left over at the right and below is left out."""
    count, number = len(images), images.shape[1] // TILE
    images = images[:, : number * TILE, : number * TILE].reshape(count, number, TILE, number, TILE)
    return images.swapaxes(2, 3).reshape(count, number * number, TILE * TILE)
