"""Turn a photo's bytes into the dataset's pixels, or say why it has none. No files, no network.

This module and the modules that it uses are part of the cache's keys (imageset/photos/fingerprint.py).
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
SECONDS_TO_MASK = 300.0  # most networks take a part of a second, the largest about 30 s


class PreprocessRecipe(NamedTuple):
    """All that decides what a photo's bytes become; network is None where backgrounds are kept."""

    preprocess: PreprocessParams
    network: Network | None


class PreparedPhoto(NamedTuple):
    """A photo's pixels, uint8 (S, S, C), its thumbnail, uint8 (64, 64, 1), and what identifies its source.

    sha256 is of the photo's bytes. phash and phash_mirrored are of the thumbnail and of its mirror image.
    """

    pixels: Pixels
    thumbnail: Pixels
    sha256: str
    phash: str
    phash_mirrored: str


class Rejected(NamedTuple):
    """Why a photo has no pixels."""

    reason: str


class PhotoResult(NamedTuple):
    """What a photo became, and the mask if one was predicted for it: mode L, in the network's side."""

    outcome: PreparedPhoto | Rejected
    mask: Image.Image | None = None


def get_image_mode(preprocess: PreprocessParams) -> decode.Mode:
    """Return Pillow's mode of the dataset's images."""
    return "L" if preprocess.color == "grayscale" else "RGB"


def get_image_shape(preprocess: PreprocessParams) -> tuple[int, int, int]:
    """Return the shape of the dataset's images, (S, S, C)."""
    return preprocess.image_side, preprocess.image_side, len(get_image_mode(preprocess))


def count_image_bytes(preprocess: PreprocessParams) -> int:
    """Return how many bytes one of the dataset's images has."""
    return math.prod(get_image_shape(preprocess))


def preprocess_photo(body: bytes, recipe: PreprocessRecipe, mask: Image.Image | None = None) -> PhotoResult:
    """Turn one photo into pixels: decode, remove the background, make it square, make its thumbnail and hashes.

    Decoding or masking that hangs ends the process by SIGALRM, as `limits.deadline` does.

    Args:
        body: the photo's bytes, untrusted.
        recipe: the params and the network.
        mask: the mask (mode L) that an earlier run predicted for these bytes by this network, None to predict one.

    Returns:
        The pixels, or the reason why there are none. Its mask is None where none was predicted here.
    """
    preprocess = recipe.preprocess
    choose_fit = partial(pixels.choose_fit_reduction, image_side=preprocess.image_side, how=preprocess.fit)
    try:
        decodes = ScaledDecodes(body, preprocess.max_pixels)
        whole = decodes.decode_reduced(pixels.choose_hash_reduction, "L")
        photo = decodes.decode_reduced(choose_fit, get_image_mode(preprocess))
        needs_mask = recipe.network is not None and mask is None
        to_mask = decodes.decode_reduced(background.choose_reduction, "RGB") if needs_mask else None
    except Undecodable as error:
        return PhotoResult(Rejected(error.reason))
    predicted = None
    if recipe.network is not None and to_mask is not None:
        background.open_session(recipe.network)  # outside the deadline: a process's first session takes longer
        with limits.deadline(SECONDS_TO_MASK):
            mask = predicted = background.predict_mask(to_mask, recipe.network)
    if mask is not None and (reason := check_mask(mask, preprocess)):
        return PhotoResult(Rejected(reason), predicted)
    if mask is not None:
        photo = pixels.composite(photo, mask, preprocess.fill)
    square = pixels.to_array(pixels.fit(photo, preprocess.image_side, preprocess.fit, preprocess.fill))
    small = pixels.make_thumbnail(whole)
    sha256 = hashlib.sha256(body).hexdigest()
    return PhotoResult(
        PreparedPhoto(square, pixels.to_array(small), sha256, *pixels.hash_thumbnail(small)),
        predicted,
    )


def check_mask(mask: Image.Image, preprocess: PreprocessParams) -> str:
    """Return why a mask shows no garment: mask_empty or mask_full, "" when it shows one."""
    share = pixels.measure_foreground(mask)
    if share < preprocess.min_foreground:
        return "mask_empty"
    return "mask_full" if share > preprocess.max_foreground else ""


class ScaledDecodes:
    """A photo decoded in the sizes that its uses need. Two uses of the same size and mode share one decode."""

    def __init__(self, body: bytes, max_pixels: int) -> None:
        """Read the header alone. Raises Undecodable."""
        self.body = body
        self.max_pixels = max_pixels
        with limits.deadline(SECONDS_TO_DECODE), limits.memory_limit(BYTES_TO_DECODE):
            self.sides = decode.read_sides(body, max_pixels)
        self.decoded: dict[tuple[int, decode.Mode], Image.Image] = {}

    def decode_reduced(self, choose_reduction: Callable[[int, int], int], mode: decode.Mode) -> Image.Image:
        """Decode the photo in a mode, its sides divided by a factor.

        Args:
            choose_reduction: from width and height to the factor.
            mode: "RGB" or "L".

        Raises:
            Undecodable: the bytes are no photo, or too large a one.
        """
        view = choose_reduction(*self.sides), mode
        if view not in self.decoded:
            with limits.deadline(SECONDS_TO_DECODE), limits.memory_limit(BYTES_TO_DECODE):
                self.decoded[view] = decode.decode(self.body, self.max_pixels, *view)
        return self.decoded[view]
