"""Turn a photo's bytes into a mask of the garment, or say why it has none. No files, no network.

This module and the modules that it uses are part of the cache's keys (imageset/runtime/fingerprint.py).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import deflate
import numpy as np
from PIL import Image
from scipy import ndimage

from imageset.errors import Undecodable
from imageset.formats.hdf5 import Pixels
from imageset.photos import background, cut_outs
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
    """Everything that decides a mask except the photo.

    use_alpha: whether a photo's transparency is its mask where it is a cut-out.
    """

    network: Network
    limits: PhotoLimits
    use_alpha: bool = False


class PhotoToMask(NamedTuple):
    """A photo, mode RGB, no larger than the network needs.

    photo_pixels: width times height of the photo as it is stored.
    cut_out: its mask, mode L, in the network's side, where its transparency serves as one.
    """

    image: Image.Image
    photo_pixels: int
    cut_out: Image.Image | None


def mask_photos(bodies: Sequence[bytes], recipe: MaskRecipe) -> list[PhotoMask | Rejected]:
    """Make the masks of photos.

    Decoding or masking that hangs ends the process by SIGALRM, as `limits.deadline` does.

    Args:
        bodies: each photo's bytes, untrusted.
        recipe: the network, which photos are accepted, and whether cut-outs are masks.

    Returns:
        A mask, or the reason why there is none, for each photo.
    """
    decoded = [decode_to_mask(body, recipe) for body in bodies]
    images = [each.image for each in decoded if isinstance(each, PhotoToMask) and each.cut_out is None]
    masks = iter(background.predict_masks(images, recipe.network) if images else ())
    return [each if isinstance(each, Rejected) else finish_mask(each, masks) for each in decoded]


def decode_to_mask(body: bytes, recipe: MaskRecipe) -> PhotoToMask | Rejected:
    """Decode a photo for the network; return why that is not possible where it is not."""
    try:
        decodes = ScaledDecodes(body, recipe.limits)
        width, height = decodes.sides
        image = decodes.decode_reduced(background.choose_reduction, "RGB")
        cut_out = find_cut_out(decodes, recipe.network.side) if recipe.use_alpha else None
        return PhotoToMask(image, width * height, cut_out)
    except Undecodable as error:
        return Rejected(error.reason)


def find_cut_out(decodes: ScaledDecodes, side: int) -> Image.Image | None:
    """Return a photo's transparency as a mask, mode L, side x side; None where it is no cut-out. Raises Undecodable."""
    if decodes.colors.is_plain:
        return None
    alpha = decodes.decode_layers(background.choose_reduction).alpha
    if alpha is None or not cut_outs.is_cut_out(alpha):
        return None
    return alpha.resize((side, side), Image.Resampling.LANCZOS)


def finish_mask(photo: PhotoToMask, predicted: Iterator[Image.Image]) -> PhotoMask:
    """Return a photo's own mask, or the next one that the network predicted."""
    if photo.cut_out is None:
        return describe_mask(next(predicted), photo.photo_pixels)
    return describe_mask(photo.cut_out, photo.photo_pixels)._replace(from_alpha=1)


def describe_mask(mask: Image.Image, photo_pixels: int) -> PhotoMask:
    """Measure a mask (mode L) and compress it. Shares are rounded to four decimals."""
    values = np.asarray(mask)
    sureness = int(np.abs(values.astype(np.int64) * 2 - 255).sum()) / (255 * values.size)
    return PhotoMask(
        bytes(deflate.zlib_compress(values.tobytes(), COMPRESSION_LEVEL)),
        photo_pixels,
        round(float(values.mean()) / 255, 4),
        round(float(cut_outs.take_edge(values).mean()) / 255, 4),
        count_pieces(values),
        round(1 - sureness, 4),
    )


def count_pieces(values: Pixels) -> int:
    """Return how many connected parts the foreground of a mask, uint8 (S, S), has. Pixels touch at corners, too."""
    labels, _ = ndimage.label(values >= FOREGROUND, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    return int(np.count_nonzero(areas >= SMALLEST_PIECE * areas.sum()))
