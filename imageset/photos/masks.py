"""Turn a photo's bytes into a mask of the garment, or say why it has none. No files, no network.

This module and the modules that it uses are part of the cache's keys (imageset/photos/fingerprint.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

import deflate
import numpy as np
from PIL import Image
from scipy import ndimage

from imageset.errors import Undecodable
from imageset.formats.hdf5 import Pixels
from imageset.photos import background
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.photos.scaled_decodes import ScaledDecodes

# The same bytes on every machine: libdeflate is part of the package, zlib is whichever the system has. More than 6
# saves 3 % of the space for three times the time.
COMPRESSION_LEVEL = 6

FOREGROUND = 128  # a pixel of a mask with so much or more counts as garment
SMALLEST_PIECE = 0.01  # of the garment's pixels: less is a speck


class MaskRecipe(NamedTuple):
    """Everything that decides a mask except the photo."""

    network: Network
    limits: PhotoLimits


def mask_photos(bodies: Sequence[bytes], recipe: MaskRecipe) -> list[PhotoMask | Rejected]:
    """Make the masks of photos.

    Decoding or masking that hangs ends the process by SIGALRM, as `limits.deadline` does.

    Args:
        bodies: each photo's bytes, untrusted.
        recipe: the network and which photos are accepted.

    Returns:
        A mask, or the reason why there is none, for each photo.
    """
    decoded = [decode_to_mask(body, recipe.limits) for body in bodies]
    images = [each[0] for each in decoded if not isinstance(each, Rejected)]
    masks = iter(background.predict_masks(images, recipe.network))
    return [each if isinstance(each, Rejected) else describe_mask(next(masks), each[1]) for each in decoded]


def decode_to_mask(body: bytes, limits: PhotoLimits) -> tuple[Image.Image, int] | Rejected:
    """Return a photo, mode RGB, no larger than the network needs, and its number of pixels; or why it has none."""
    try:
        decodes = ScaledDecodes(body, limits)
        width, height = decodes.sides
        return decodes.decode_reduced(background.choose_reduction, "RGB"), width * height
    except Undecodable as error:
        return Rejected(error.reason)


def describe_mask(mask: Image.Image, photo_pixels: int) -> PhotoMask:
    """Measure a mask (mode L) and compress it. Shares are rounded to four decimals."""
    values = np.asarray(mask)
    edge = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    sureness = int(np.abs(values.astype(np.int64) * 2 - 255).sum()) / (255 * values.size)
    return PhotoMask(
        bytes(deflate.zlib_compress(values.tobytes(), COMPRESSION_LEVEL)),
        photo_pixels,
        round(float(values.mean()) / 255, 4),
        round(float(edge.mean()) / 255, 4),
        count_pieces(values),
        round(1 - sureness, 4),
    )


def count_pieces(values: Pixels) -> int:
    """Return how many connected parts the foreground of a mask, uint8 (S, S), has. Pixels touch at corners, too."""
    labels, _ = ndimage.label(values >= FOREGROUND, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    return int(np.count_nonzero(areas >= SMALLEST_PIECE * areas.sum()))
