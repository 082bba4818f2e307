"""An upright photo -> the dataset's pixels; pure.

The order is shrink to a working resolution, mask, composite, fit, colour. Masking a thumbnail instead, as the article
did, keeps halos and loses hems (benchmarks/mask_order.py draws the two side by side).
"""

from typing import Literal

import imagehash
import numpy as np
from PIL import Image, ImageOps

from imageset.layout import Pixels

# The network sees 320 pixels whatever comes in, and the usual result is 128: working at more than 512 cost time and
# changed nothing that could be seen.
WORKING_SIDE = 512


def working_side(image_side: int) -> int:
    """Return the longer side at which to mask and composite photos that become image_side x image_side."""
    return max(WORKING_SIDE, 2 * image_side)


def shrink(image: Image.Image, most: int) -> Image.Image:
    """Return the photo with its longer side at `most` pixels at the most; small ones as they are."""
    longer = max(image.size)
    if longer <= most:
        return image
    width, height = (max(1, round(side * most / longer)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def composite(image: Image.Image, mask: Image.Image, fill: tuple[int, int, int]) -> Image.Image:
    """Return the image on the fill colour; mask (mode L, same sides) is 255 where the garment is."""
    return Image.composite(image, Image.new("RGB", image.size, fill), mask)


def fit(image: Image.Image, side: int, how: Literal["stretch", "pad", "crop"],
        fill: tuple[int, int, int]) -> Image.Image:
    """Return a square image of side x side."""
    if how == "stretch":
        return image.resize((side, side), Image.Resampling.LANCZOS)
    if how == "crop":
        return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    return ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, color=fill)


def to_array(image: Image.Image, color: Literal["grayscale", "rgb"]) -> Pixels:
    """Return uint8 (S, S, 1), the ITU-R 601 luma, or (S, S, 3)."""
    if color == "rgb":
        return np.asarray(image)
    return np.asarray(image.convert("L"))[:, :, np.newaxis]


def foreground(mask: Image.Image) -> float:
    """Return the share of the photo that a mask (mode L) keeps, 0 to 1."""
    return float(np.asarray(mask).mean()) / 255


def perceptual_hashes(image: Image.Image) -> tuple[str, str]:
    """Return the 64-bit DCT hashes of a photo and of its mirror image, as 16 hexadecimal digits each.

    Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010; computed by ImageHash.
    """
    return str(imagehash.phash(image)), str(imagehash.phash(ImageOps.mirror(image)))
