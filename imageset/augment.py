"""A training photo -> its augmented copies; a pure function of photo, params, seed, id, position and copy.

Every copy draws from a random generator of its own, so order, neighbours and the number of workers never matter.
"""

import math
from collections.abc import Mapping
from statistics import median_low
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydantic import Field, Strict, model_validator

from imageset import keys
from imageset.layout import Pixels
from imageset.params import Section

NOISE = 1  # sets the noise's generator apart from the steps' own

Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], Strict(False)]


class AugmentParams(Section):
    """Section `augment`."""

    copies: int = Field(ge=1, le=32_767)
    balance: Literal["none", "to_median", "to_max"]
    max_copies: int = Field(ge=1, le=32_767)
    seed: int
    flip_probability: Share
    rotate_probability: Share
    rotate_degrees: Range
    translate_probability: Share
    translate_share: Range
    blur_probability: Share
    blur_radius: Range
    noise_probability: Share
    noise_stddev: Range

    @model_validator(mode="after")
    def ranges_ascend(self) -> Self:
        for name in ("rotate_degrees", "translate_share", "blur_radius", "noise_stddev"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the first number has to be the lower one")
        if min(self.blur_radius[0], self.noise_stddev[0]) < 0:
            raise ValueError("blur_radius and noise_stddev have to be 0 or more")
        return self


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


def augment(photo: Pixels, product_id: int, position: int, copy: int, chosen: AugmentParams,
            fill: tuple[int, int, int]) -> Pixels:
    """Return copy number `copy` of a photo, uint8 (S, S, C); copy 0 is the photo itself.

    What comes in from outside the photo when it turns or moves has the fill colour. Each step draws whether or not it
    then happens, so that a change of one probability leaves the other steps' draws as they were.
    """
    if copy == 0:
        return photo
    random = np.random.Generator(np.random.PCG64(keys.rank(chosen.seed, product_id, position, copy)))
    flip = random.random() < chosen.flip_probability
    degrees = draw(random, chosen.rotate_probability, chosen.rotate_degrees)
    together = random.random() < chosen.translate_probability
    right, down = (draw(random, float(together), chosen.translate_share) for _ in "xy")
    radius = draw(random, chosen.blur_probability, chosen.blur_radius)
    stddev = draw(random, chosen.noise_probability, chosen.noise_stddev)

    image = Image.fromarray(photo.squeeze(-1) if photo.shape[-1] == 1 else photo)
    if flip or degrees or right or down:
        background = luma(fill) if image.mode == "L" else fill
        coefficients = inverse_affine(image.width, flip, degrees, right, down)
        image = image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR,
                                fillcolor=background)
    if radius:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    pixels: Pixels = np.asarray(image).reshape(photo.shape)
    # A generator of its own: another step before it would otherwise change every noisy copy, even a step that is off.
    grain = np.random.Generator(np.random.PCG64(keys.rank(chosen.seed, product_id, position, copy, NOISE)))
    return add_noise(pixels, stddev, grain) if stddev else pixels


def draw(random: np.random.Generator, probability: float, bounds: tuple[float, float]) -> float:
    """Return a uniform draw from the bounds with the given probability, else 0."""
    happens, value = random.random() < probability, random.uniform(*bounds)
    return value if happens else 0.0


def luma(color: tuple[int, int, int]) -> int:
    """Return the grey value that Pillow gives a colour."""
    value = Image.new("RGB", (1, 1), color).convert("L").getpixel((0, 0))
    assert isinstance(value, int)
    return value


def inverse_affine(side: int, flip: bool, degrees: float, right: float, down: float) -> tuple[float, ...]:
    """Return the six numbers that map a pixel of the result to its place in a photo of side x side.

    The photo is mirrored, turned clockwise about its centre, then moved by shares of its side.
    """
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    sign = -1.0 if flip else 1.0
    centre = side / 2
    back_x, back_y = -centre - right * side, -centre - down * side
    return (sign * cosine, sign * sine, centre + sign * (cosine * back_x + sine * back_y),
            -sine, cosine, centre - sine * back_x + cosine * back_y)


def add_noise(pixels: Pixels, stddev: float, random: np.random.Generator) -> Pixels:
    """Return the pixels with Gaussian noise, each value on its own, rounded and clipped to 0..255."""
    noise: NDArray[np.float32] = random.standard_normal(pixels.shape, dtype=np.float32)
    noisy = np.rint(pixels + noise * np.float32(stddev))
    return np.clip(noisy, 0, 255).astype(np.uint8)
