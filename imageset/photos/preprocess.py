"""A photo's bytes -> its pixels in the dataset, or why it has none; pure.

What this and the modules under it do is part of the cache's keys (imageset/photos/cache.py).
"""

import hashlib
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from PIL import Image

from imageset.errors import Undecodable
from imageset.formats.hdf5 import Pixels
from imageset.photos import background, decode, pixels
from imageset.photos.background import Network
from imageset.runtime.sections import PreprocessParams
from imageset.workers import limits

SECONDS_TO_DECODE = 30.0
BYTES_TO_DECODE = 2 << 30
SECONDS_TO_MASK = 300.0  # of a part of one, or of some 30 with the largest networks


def color_mode(params: PreprocessParams) -> decode.Mode:
    """Return Pillow's mode of the dataset's images."""
    return "L" if params.color == "grayscale" else "RGB"


def image_shape(params: PreprocessParams) -> tuple[int, int, int]:
    """Return the shape of the dataset's images, (S, S, C)."""
    return params.image_side, params.image_side, len(color_mode(params))


def image_bytes(params: PreprocessParams) -> int:
    """Return the bytes of one of the dataset's images."""
    return math.prod(image_shape(params))


class Recipe(NamedTuple):
    """All that decides what becomes of a photo's bytes; network: None where backgrounds are kept."""

    preprocess: PreprocessParams
    network: Network | None


class Prepared(NamedTuple):
    """A photo's pixels, uint8 (S, S, C), its thumbnail, uint8 (64, 64, 1), and what identifies its source."""

    pixels: Pixels
    thumbnail: Pixels
    sha256: str
    phash: str
    phash_mirrored: str


class Rejected(NamedTuple):
    """Why a photo has no pixels."""

    reason: str


class Made(NamedTuple):
    """What became of a photo, and the mask that was predicted for it, mode L in the network's side, if one was."""

    outcome: Prepared | Rejected
    mask: Image.Image | None = None


def preprocess_photo(body: bytes, recipe: Recipe, mask: Image.Image | None = None) -> Made:
    """Return what becomes of a photo; mask: the one that an earlier run predicted for these bytes and this network.

    Decoding or masking that hangs ends the process, as limits.deadline says.
    """
    chosen = recipe.preprocess
    try:
        views = Views(body, chosen.max_pixels)
        whole = views.reduced(pixels.hashing_reduction, "L")
        photo = views.reduced(
            partial(pixels.fitting_reduction, image_side=chosen.image_side, how=chosen.fit), color_mode(chosen)
        )
        seen = views.reduced(background.reduction, "RGB") if recipe.network and mask is None else None
    except Undecodable as error:
        return Made(Rejected(error.reason))
    predicted = None
    if recipe.network is not None and seen is not None:
        background.session(recipe.network)  # the first one of a process takes its time
        with limits.deadline(SECONDS_TO_MASK):
            mask = predicted = background.predict_mask(seen, recipe.network)
    if mask is not None and (reason := refusal(mask, chosen)):
        return Made(Rejected(reason), predicted)
    if mask is not None:
        photo = pixels.composite(photo, mask, chosen.fill)
    square = pixels.to_array(pixels.fit(photo, chosen.image_side, chosen.fit, chosen.fill))
    small = pixels.thumbnail(whole)
    return Made(
        Prepared(square, pixels.to_array(small), hashlib.sha256(body).hexdigest(), *pixels.perceptual_hashes(small)),
        predicted,
    )


def refusal(mask: Image.Image, chosen: PreprocessParams) -> str:
    """Return why a mask has found no garment, "" when it has."""
    share = pixels.foreground(mask)
    if share < chosen.min_foreground:
        return "mask_empty"
    return "mask_full" if share > chosen.max_foreground else ""


class Views:
    """A photo as large as each of its uses wants it; decoding for two uses of one size happens once."""

    def __init__(self, body: bytes, max_pixels: int) -> None:
        """Raises Undecodable by what the header says."""
        self.body = body
        self.max_pixels = max_pixels
        with limits.deadline(SECONDS_TO_DECODE), limits.memory_limit(BYTES_TO_DECODE):
            self.sides = decode.sides(body, max_pixels)
        self.decoded: dict[tuple[int, decode.Mode], Image.Image] = {}

    def reduced(self, reduction: Callable[[int, int], int], mode: decode.Mode) -> Image.Image:
        """Return the photo in a mode, its sides divided by what reduction says of them. Raises Undecodable."""
        view = reduction(*self.sides), mode
        if view not in self.decoded:
            with limits.deadline(SECONDS_TO_DECODE), limits.memory_limit(BYTES_TO_DECODE):
                self.decoded[view] = decode.decode(self.body, self.max_pixels, *view)
        return self.decoded[view]
