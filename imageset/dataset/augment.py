"""Make augmented copies of training photos: a pure function of photo, params, seed, id, position and copy.

Every copy has a random generator of its own, so order, neighbours and the number of workers never matter.
"""

import math
from collections.abc import Mapping
from functools import cache
from statistics import NormalDist, median_low

import cv2
import numpy as np
from numpy.typing import NDArray

from imageset.formats import stable_hash
from imageset.formats.hdf5 import Pixels
from imageset.runtime.sections import AugmentParams

NOISE = 1  # gives the noise another generator than the steps have
PART_BITS = 5  # OpenCV interpolates between pixels in steps of 1/32
SPARE_BITS = 5  # more precision for sums of such steps
BLUR_REACH = 3  # standard deviations
QUANTILE_BITS = 12

cv2.setNumThreads(1)  # each worker process has one core

Terms = tuple[NDArray[np.int32], NDArray[np.int32]]


def copies_of(photos: Mapping[int, int], augment: AugmentParams) -> dict[int, int]:
    """Return how many rows each training photo of a label gets, the photo itself included.

    Every label gets `copies`. With balance, a label that has fewer photos than the largest label (or than the median
    label; of two in the middle, the smaller) gets more: the number that brings its rows nearest to that label's rows,
    up to `max_copies`.

    Args:
        photos: the number of photos, by label.
        augment: the section of params.yaml.

    >>> augment = AugmentParams.model_construct(copies=5, balance="to_max", max_copies=20)
    >>> copies_of({0: 100, 1: 40, 2: 3}, augment)
    {0: 5, 1: 13, 2: 20}
    """
    if augment.balance == "none" or not photos:
        return dict.fromkeys(photos, augment.copies)
    rows = augment.copies * (max(photos.values()) if augment.balance == "to_max" else median_low(photos.values()))
    most = max(augment.copies, augment.max_copies)
    return {label: min(most, max(augment.copies, (2 * rows + count) // (2 * count))) for label, count in photos.items()}


def augment_photo(
    photo: Pixels, product_id: int, position: int, copy: int, augment: AugmentParams, fill: tuple[int, int, int]
) -> Pixels:
    """Return an augmented copy of a photo.

    Each step draws its random numbers even if it does not happen. So a change of one probability leaves the draws of
    the other steps as they were.

    Args:
        photo: uint8 (S, S, C).
        product_id: the product of the photo; it decides the draws, as position and copy do.
        position: which of the product's photos this is.
        copy: the number of the copy; 0 is the photo itself.
        augment: the section of params.yaml.
        fill: the colour, RGB, of what turning or moving the photo uncovers.

    Returns:
        uint8 (S, S, C).
    """
    if copy == 0:
        return photo
    random = np.random.Generator(np.random.PCG64(stable_hash.rank(augment.seed, product_id, position, copy)))
    flip = random.random() < augment.flip_probability
    degrees = draw(random, augment.rotate_probability, augment.rotate_degrees)
    together = random.random() < augment.translate_probability
    right, down = (draw(random, float(together), augment.translate_share) for _ in "xy")
    radius = draw(random, augment.blur_probability, augment.blur_radius)
    stddev = draw(random, augment.noise_probability, augment.noise_stddev)

    side = len(photo)
    pixels = photo.squeeze(-1) if photo.shape[-1] == 1 else photo
    if degrees or right or down:
        pixels = warp(pixels, source_places(side, flip, degrees, right * side, down * side), fill)
    elif flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    if radius:
        reach = 2 * math.ceil(BLUR_REACH * radius) + 1
        pixels = np.asarray(cv2.GaussianBlur(pixels, (reach, reach), radius, borderType=cv2.BORDER_REPLICATE), np.uint8)
    # A generator of its own: otherwise a change of any step before it would change the noise.
    grain = np.random.Generator(np.random.PCG64(stable_hash.rank(augment.seed, product_id, position, copy, NOISE)))
    return (add_noise(pixels, stddev, grain) if stddev else pixels).reshape(photo.shape)


def draw(random: np.random.Generator, probability: float, bounds: tuple[float, float]) -> float:
    """Return a uniform draw from the bounds with the given probability, else 0."""
    happens, value = random.random() < probability, random.uniform(*bounds)
    return value if happens else 0.0


def luma(color: tuple[int, int, int]) -> int:
    """Return the grey value that Pillow gives a colour (ITU-R 601-2)."""
    red, green, blue = color
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def source_places(side: int, flip: bool, degrees: float, right: float, down: float) -> tuple[Terms, Terms]:
    """Return where in the photo each pixel of the result comes from.

    The photo is mirrored, turned clockwise about its centre, then moved right and down by so many pixels.

    Returns:
        For x and for y: what the column of the result adds and what its row adds, int32 (side,) each, in steps of
        1 / 2**(PART_BITS + SPARE_BITS) of a pixel.
    """
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    centre = (side - 1) / 2
    across, along = np.arange(side) - centre - right, np.arange(side) - centre - down
    sign = -1.0 if flip else 1.0
    x = parts(sign * cosine * across + centre), parts(sign * sine * along)
    y = parts(-sine * across + centre), parts(cosine * along)
    return x, y


def parts(values: NDArray[np.floating]) -> NDArray[np.int32]:
    numbers: NDArray[np.int32] = np.rint(values * (1 << PART_BITS << SPARE_BITS)).astype(np.int32)
    return numbers


def warp(pixels: Pixels, places: tuple[Terms, Terms], fill: tuple[int, int, int]) -> Pixels:
    """Return the pixels at `places`, bilinear, (S, S) or (S, S, 3); outside the photo, the fill."""
    # In integers: cv2.warpAffine computes places in floats, which differ on processors without FMA.
    x, y = ((columns + rows[:, np.newaxis] + (1 << SPARE_BITS >> 1)) >> SPARE_BITS for columns, rows in places)
    pixel = np.empty((*x.shape, 2), np.int16)
    pixel[..., 0], pixel[..., 1] = x >> PART_BITS, y >> PART_BITS
    last = (1 << PART_BITS) - 1
    fraction = ((x & last) | (y & last) << PART_BITS).astype(np.uint16)
    background = fill if pixels.ndim == 3 else luma(fill)
    return np.asarray(
        cv2.remap(pixels, pixel, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=background),
        np.uint8,
    )


def add_noise(pixels: Pixels, stddev: float, random: np.random.Generator) -> Pixels:
    """Return the pixels with Gaussian noise on each value, rounded and clipped to 0..255.

    Inverse transform sampling from 4,096 quantiles takes a tenth of the time of exact normal draws.
    """
    noise = np.rint(quantiles() * stddev).astype(np.int16)
    drawn = np.frombuffer(random.bytes(2 * pixels.size), "<u2") >> (16 - QUANTILE_BITS)
    return np.asarray(cv2.add(pixels, noise.take(drawn).reshape(pixels.shape), dtype=cv2.CV_8U), np.uint8)


@cache
def quantiles() -> NDArray[np.float64]:
    """Return the middle of each of 4,096 equally likely parts of the standard normal distribution, to six decimals."""
    count = 1 << QUANTILE_BITS
    return np.array([round(NormalDist().inv_cdf((number + 0.5) / count), 6) for number in range(count)])
