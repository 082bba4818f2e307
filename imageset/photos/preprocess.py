"""Turn a photo's bytes and its mask into the dataset's pixels, or say why it has none. No files, no network.

This module and the modules that it uses are part of the cache's keys (imageset/runtime/fingerprint.py).
"""

import hashlib
import math
from functools import partial
from typing import NamedTuple

from PIL import Image

from imageset.errors import Undecodable
from imageset.formats.hdf5 import Pixels
from imageset.photos import decode, facts, pixels, previews
from imageset.photos.facts import PhotoFacts
from imageset.photos.file_formats import FORMATS
from imageset.photos.gray_and_color import decode_gray_and_color
from imageset.photos.outcomes import Rejected
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.runtime.sections import PreprocessParams


class PreparedPhoto(NamedTuple):
    """A photo's pixels, uint8 (S, S, C), its thumbnail, uint8 (64, 64, 1), and what identifies its source.

    sha256 is of the photo's bytes. phash and phash_mirrored are of the thumbnail and of its mirror image.
    """

    pixels: Pixels
    thumbnail: Pixels
    sha256: str
    phash: str
    phash_mirrored: str


class DecodedPhoto(NamedTuple):
    """A photo that can be decoded: its facts, its preview (a JPEG), and its pixels or why its mask rejects it.

    Facts and preview depend on the photo's bytes alone.
    """

    facts: PhotoFacts
    preview: bytes
    prepared: PreparedPhoto | Rejected


def get_image_mode(preprocess: PreprocessParams) -> decode.Mode:
    """Return Pillow's mode of the dataset's images."""
    return "L" if preprocess.color == "grayscale" else "RGB"


def get_image_shape(preprocess: PreprocessParams) -> tuple[int, int, int]:
    """Return the shape of the dataset's images, (S, S, C)."""
    return preprocess.image_side, preprocess.image_side, len(get_image_mode(preprocess))


def count_image_bytes(preprocess: PreprocessParams) -> int:
    """Return how many bytes one of the dataset's images has."""
    return math.prod(get_image_shape(preprocess))


def preprocess_photo(
    body: bytes,
    preprocess: PreprocessParams,
    mask: Image.Image | None = None,
    formats: tuple[str, ...] = FORMATS,
    from_alpha: bool = False,
) -> DecodedPhoto | Rejected:
    """Turn one photo into pixels: decode, remove the background, make it square, make its thumbnail and hashes.

    Measure it and make its preview, too.

    Decoding that hangs ends the process by SIGALRM, as `limits.deadline` does.

    Args:
        body: the photo's bytes, untrusted.
        preprocess: the params.
        mask: the photo's mask (mode L), stretched over it; None to keep the background. A photo that has one is whole:
            stage masks made sure of that.
        formats: of photos that are decoded, as params.yaml names them.
        from_alpha: whether the mask is the photo's own transparency, which decoding applies already, in more detail.

    Returns:
        The photo as it was and its pixels, or the reason why it cannot be decoded.
    """
    choose_fit = partial(pixels.choose_fit_reduction, image_side=preprocess.image_side, how=preprocess.fit)
    try:
        photo_limits = decode.PhotoLimits(preprocess.max_pixels, formats)
        decodes = ScaledDecodes(body, photo_limits, known_whole=mask is not None)
        whole, colored = decode_gray_and_color(decodes, pixels.choose_hash_reduction, previews.choose_preview_reduction)
        photo = decodes.decode_reduced(choose_fit, get_image_mode(preprocess), preprocess.fill)
        measured = facts.measure_photo(body, whole, decodes)
    except Undecodable as error:
        return Rejected(error.reason)
    preview = previews.make_preview(colored)
    if mask is not None:
        if reason := check_mask(mask, preprocess):
            return DecodedPhoto(measured, preview, Rejected(reason))
        if not from_alpha:
            photo = pixels.composite(photo, mask, preprocess.fill)
    square = pixels.to_array(pixels.fit(photo, preprocess.image_side, preprocess.fit, preprocess.fill))
    small = pixels.make_thumbnail(whole)
    sha256 = hashlib.sha256(body).hexdigest()
    prepared = PreparedPhoto(square, pixels.to_array(small), sha256, *pixels.hash_thumbnail(small))
    return DecodedPhoto(measured, preview, prepared)


def check_mask(mask: Image.Image, preprocess: PreprocessParams) -> str:
    """Return why a mask shows no garment: mask_empty or mask_full, "" when it shows one."""
    share = pixels.measure_foreground(mask)
    if share < preprocess.min_foreground:
        return "mask_empty"
    return "mask_full" if share > preprocess.max_foreground else ""
