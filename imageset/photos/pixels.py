"""An upright photo -> the dataset's pixels; pure.

The order is reduce to a working resolution, mask, composite, fit. Masking a thumbnail instead, as the article
did, keeps halos and loses hems (benchmarks/background/mask_order.py draws the two side by side).
"""

import imagehash
import numpy as np
from PIL import Image, ImageColor, ImageOps

from imageset.formats.hdf5 import Pixels
from imageset.runtime.sections import Fit

# The longer side to make thumbnails of, whatever the params: what near-duplicates are found by is to stay as it is.
HASHING_SIDE = 256
THUMBNAIL_SIDE = 64


def fitting_reduction(width: int, height: int, image_side: int, how: Fit) -> int:
    """Return by what to divide a photo's sides before it is made square: twice the detail that is kept is left."""
    fitted = max(width, height) if how == "pad" else min(width, height)
    return max(1, fitted // (2 * image_side))


def hashing_reduction(width: int, height: int) -> int:
    """Return by what to divide a photo's sides before its thumbnail is made."""
    return max(1, max(width, height) // HASHING_SIDE)


def paint(fill: tuple[int, int, int], image: Image.Image) -> int | tuple[int, ...]:
    """Return the fill colour as a pixel of the image's mode."""
    return ImageColor.getcolor("#{:02x}{:02x}{:02x}".format(*fill), image.mode)


def composite(image: Image.Image, mask: Image.Image, fill: tuple[int, int, int]) -> Image.Image:
    """Return the image (mode L or RGB) on the fill colour; mask (mode L, any sides) is 255 where the garment is."""
    return Image.composite(
        image, Image.new(image.mode, image.size, paint(fill, image)), mask.resize(image.size, Image.Resampling.LANCZOS)
    )


def fit(image: Image.Image, side: int, how: Fit, fill: tuple[int, int, int]) -> Image.Image:
    """Return a square image of side x side, in the image's mode."""
    if how == "stretch":
        return image.resize((side, side), Image.Resampling.LANCZOS)
    if how == "crop":
        return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    return ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, color=paint(fill, image))


def to_array(image: Image.Image) -> Pixels:
    """Return uint8 (S, S, 1) of mode L, (S, S, 3) of mode RGB."""
    return np.asarray(image).reshape(image.height, image.width, -1)


def foreground(mask: Image.Image) -> float:
    """Return the share of the photo that a mask (mode L) keeps, 0 to 1."""
    return float(np.asarray(mask).mean()) / 255


def thumbnail(image: Image.Image) -> Image.Image:
    """Return a photo (mode L) as near-duplicates are told by: 64 x 64, all of it, its shape lost."""
    return image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)


def perceptual_hashes(small: Image.Image) -> tuple[str, str]:
    """Return the 64-bit DCT hashes of a thumbnail and of its mirror image, as 16 hexadecimal digits each.

    Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010; computed by ImageHash.
    """
    small = small.reduce(2)  # to the sides that ImageHash takes: hash_size * highfreq_factor
    return str(imagehash.phash(small)), str(imagehash.phash(ImageOps.mirror(small)))
