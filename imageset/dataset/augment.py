"""A training photo -> its augmented copies; a pure function of photo, params, seed, id, position and copy.

Every copy draws from a random generator of its own, so order, neighbours and the number of workers never matter.
"""

import math
from collections.abc import Mapping
from functools import cache
from statistics import NormalDist, median_low
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, Strict

from imageset.formats import stable_hash
from imageset.formats.hdf5 import Pixels
from imageset.runtime.sections import AugmentParams

NOISE = 1  # sets the noise's generator apart from the steps' own
PART_BITS = 5  # OpenCV interpolates by parts of a pixel, 32
SPARE_BITS = 5  # in which the parts are added up
BLUR_REACH = 3  # standard deviations
QUANTILE_BITS = 12

cv2.setNumThreads(1)  # the workers take the cores, a photo each

Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], Strict(False)]
Terms = tuple[NDArray[np.int32], NDArray[np.int32]]


def copies_of(photos: Mapping[int, int], chosen: AugmentParams) -> dict[int, int]:
    """Return how many copies each training photo of a label gets; photos: how many there are of each label.

    Every label gets `copies`. With balance, a label with fewer photos than the median label (of two in the middle the
    smaller), or than the largest, gets as many as bring its rows nearest to that label's, up to `max_copies`.

    >>> chosen = AugmentParams.model_construct(copies=5, balance="to_max", max_copies=20)
    >>> copies_of({0: 100, 1: 40, 2: 3}, chosen)
    {0: 5, 1: 13, 2: 20}
    """
    if chosen.balance == "none" or not photos:
        return dict.fromkeys(photos, chosen.copies)
    rows = chosen.copies * (max(photos.values()) if chosen.balance == "to_max" else median_low(photos.values()))
    most = max(chosen.copies, chosen.max_copies)
    return {label: min(most, max(chosen.copies, (2 * rows + count) // (2 * count))) for label, count in photos.items()}


def augment(
    photo: Pixels, product_id: int, position: int, copy: int, chosen: AugmentParams, fill: tuple[int, int, int]
) -> Pixels:
    """Return copy number `copy` of a photo, uint8 (S, S, C); copy 0 is the photo itself.

    What comes in from outside the photo when it turns or moves has the fill colour. Each step draws whether or not it
    then happens, so that a change of one probability leaves the other steps' draws as they were.
    """
    if copy == 0:
        return photo
    random = np.random.Generator(np.random.PCG64(stable_hash.rank(chosen.seed, product_id, position, copy)))
    flip = random.random() < chosen.flip_probability
    degrees = draw(random, chosen.rotate_probability, chosen.rotate_degrees)
    together = random.random() < chosen.translate_probability
    right, down = (draw(random, float(together), chosen.translate_share) for _ in "xy")
    radius = draw(random, chosen.blur_probability, chosen.blur_radius)
    stddev = draw(random, chosen.noise_probability, chosen.noise_stddev)

    side = len(photo)
    pixels = photo.squeeze(-1) if photo.shape[-1] == 1 else photo
    if degrees or right or down:
        pixels = warp(pixels, affine(side, flip, degrees, right * side, down * side), fill)
    elif flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    if radius:
        reach = 2 * math.ceil(BLUR_REACH * radius) + 1
        pixels = np.asarray(cv2.GaussianBlur(pixels, (reach, reach), radius, borderType=cv2.BORDER_REPLICATE), np.uint8)
    # A generator of its own: another step before it would otherwise change every noisy copy, even a step that is off.
    grain = np.random.Generator(np.random.PCG64(stable_hash.rank(chosen.seed, product_id, position, copy, NOISE)))
    return (add_noise(pixels, stddev, grain) if stddev else pixels).reshape(photo.shape)


def draw(random: np.random.Generator, probability: float, bounds: tuple[float, float]) -> float:
    """Return a uniform draw from the bounds with the given probability, else 0."""
    happens, value = random.random() < probability, random.uniform(*bounds)
    return value if happens else 0.0


def luma(color: tuple[int, int, int]) -> int:
    """Return the grey value that Pillow gives a colour (ITU-R 601-2)."""
    red, green, blue = color
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def affine(side: int, flip: bool, degrees: float, right: float, down: float) -> tuple[Terms, Terms]:
    """Return where each pixel of the result lies in a photo of side x side: for x and for y, what its column adds and
    what its row adds, in parts of a pixel, whole numbers.

    The photo is mirrored, turned clockwise about its centre, then moved by so many pixels.
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
    """Return pixels, (S, S) or (S, S, 3), from where they lie, bilinear; outside there is the fill."""
    # In whole numbers: cv2.warpAffine computes the places in floats, which come out otherwise without FMA.
    x, y = ((columns + rows[:, np.newaxis] + (1 << SPARE_BITS >> 1)) >> SPARE_BITS for columns, rows in places)
    whole = np.empty((*x.shape, 2), np.int16)
    whole[..., 0], whole[..., 1] = x >> PART_BITS, y >> PART_BITS
    last = (1 << PART_BITS) - 1
    fraction = ((x & last) | (y & last) << PART_BITS).astype(np.uint16)
    background = fill if pixels.ndim == 3 else luma(fill)
    return np.asarray(
        cv2.remap(pixels, whole, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=background),
        np.uint8,
    )


def add_noise(pixels: Pixels, stddev: float, random: np.random.Generator) -> Pixels:
    """Return the pixels with Gaussian noise, each value on its own, rounded and clipped to 0..255.

    By inverse transform sampling from 4,096 quantiles: a tenth of the time of exact normal draws.
    """
    noise = np.rint(quantiles() * stddev).astype(np.int16)
    drawn = np.frombuffer(random.bytes(2 * pixels.size), "<u2") >> (16 - QUANTILE_BITS)
    return np.asarray(cv2.add(pixels, noise.take(drawn).reshape(pixels.shape), dtype=cv2.CV_8U), np.uint8)


@cache
def quantiles() -> NDArray[np.float64]:
    """Return the middles of equally likely parts of the standard normal distribution, in whole millionths."""
    count = 1 << QUANTILE_BITS
    return np.array([round(NormalDist().inv_cdf((number + 0.5) / count), 6) for number in range(count)])
