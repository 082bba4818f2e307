"""Two near-duplicates -> whether they show nearly the same pixels, in colour. Pure.

Near-duplicates agree in most details. A T-shirt with two prints does, and one in two colours: these are two pictures.
So both are laid on each other once more, and every place has to agree, in brightness and in colour.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imageset.curation.alignment import Images, crop, find_boxes
from imageset.curation.views import choose_views, turn_back
from imageset.formats.hdf5 import Pixels

TILE = 8  # values, the side of a place
MOST_LIGHT, MOST_COLOR = 5.0, 4.0  # of 255: how much a place may differ, in Y and in Cb or Cr
GAIN = 0.7, 1.43  # how much darker or brighter the whole may be
SMOOTH, REACH = 2, 3  # values: an edge may be off by one of them


def show_same(images: Pixels, others: Pixels) -> NDArray[np.bool_]:
    """Return which of P pairs show nearly the same pixels, (P,), one cropped and turned to fit the other.

    images, others: the photos of each pair, YCbCr, uint8 (P, 64, 64, 3).
    """
    is_swapped, boxes, turns = choose_views(images[..., 0], others[..., 0])
    swapped = is_swapped[:, np.newaxis, np.newaxis, np.newaxis]
    cut, kept = (np.where(swapped, *pair).astype(np.float64) for pair in ((others, images), (images, others)))
    kept = np.stack([turn_back(kept[..., plane], turns) for plane in range(3)], axis=-1)
    boxes = find_boxes(cut[..., 0], kept[..., 0], boxes)
    cut = np.stack([crop(cut[..., plane], boxes)[0] for plane in range(3)], axis=-1)
    cut[..., 0] = fit_light(cut[..., 0], kept[..., 0])
    most = [np.round(measure_difference(cut[..., plane], kept[..., plane]), 6) for plane in range(3)]
    return np.asarray((most[0] <= MOST_LIGHT) & (np.maximum(most[1], most[2]) <= MOST_COLOR))


def fit_light(images: Images, others: Images) -> Images:
    """Return images as bright as the others and with the same contrast, within GAIN."""
    centred, target = (each - each.mean((1, 2), keepdims=True) for each in (images, others))
    variance = (centred * centred).sum((1, 2), keepdims=True)
    gain = np.clip((centred * target).sum((1, 2), keepdims=True) / np.maximum(variance, 1), *GAIN)
    fitted: Images = centred * gain + others.mean((1, 2), keepdims=True)
    return fitted


def measure_difference(images: Images, others: Images) -> NDArray[np.float64]:
    """Return how much the tile that differs most differs, (N,): the mean of its values' distances.

    A value's distance is that from the least and the greatest value around its place in the other image, so that an
    edge that is off by one value is no difference.
    """
    smooth = [ndimage.uniform_filter(each, (0, SMOOTH, SMOOTH)) for each in (images, others)]
    distances = [beyond(one, other) for one, other in (smooth, smooth[::-1])]
    count, side = images.shape[:2]
    tiles = ((distances[0] + distances[1]) / 2).reshape(count, side // TILE, TILE, side // TILE, TILE).mean((2, 4))
    most: NDArray[np.float64] = tiles.max((1, 2))
    return most


def beyond(images: Images, others: Images) -> Images:
    """Return how far each value is from the values around its place in the other image, 0 if it is between them."""
    size = (1, REACH, REACH)
    low, high = ndimage.minimum_filter(others, size), ndimage.maximum_filter(others, size)
    distance: Images = np.maximum(0, np.maximum(low - images, images - high))
    return distance
