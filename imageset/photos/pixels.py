"""Turn an upright photo into the dataset's pixels, its thumbnail and its hashes. No files, no network.

The order is: reduce to a working resolution, mask, composite, fit. Masking a thumbnail instead keeps halos and loses
hems (benchmarks/background/mask_order.py draws the two side by side).
"""

import imagehash
import numpy as np
from PIL import Image, ImageColor, ImageOps

from imageset.formats.hdf5 import Pixels
from imageset.runtime.sections import Fit

# Thumbnails are made of a photo whose longer side has at least this many pixels, if it had so many. The params do not
# change it, so they do not change which photos are near-duplicates.
HASHING_SIDE = 256
THUMBNAIL_SIDE = 64


def choose_fit_reduction(width: int, height: int, image_side: int, how: Fit) -> int:
    """Return by what to divide a photo's sides before it is made square, to leave twice the detail that is kept."""
    fitted = max(width, height) if how == "pad" else min(width, height)
    return max(1, fitted // (2 * image_side))


def choose_hash_reduction(width: int, height: int) -> int:
    """Return by what to divide a photo's sides before its thumbnail is made."""
    return max(1, max(width, height) // HASHING_SIDE)


def convert_fill(fill: tuple[int, int, int], image: Image.Image) -> int | tuple[int, ...]:
    """Return the fill colour, RGB, as a pixel of the image's mode."""
    return ImageColor.getcolor("#{:02x}{:02x}{:02x}".format(*fill), image.mode)


def composite(image: Image.Image, mask: Image.Image, fill: tuple[int, int, int]) -> Image.Image:
    """Put an image's foreground on the fill colour.

    Args:
        image: mode L or RGB.
        mask: mode L, of any size, 255 where the garment is.
        fill: RGB.

    Returns:
        The image in its own mode and size.
    """
    ground = Image.new(image.mode, image.size, convert_fill(fill, image))
    return Image.composite(image, ground, mask.resize(image.size, Image.Resampling.LANCZOS))


def fit(image: Image.Image, side: int, how: Fit, fill: tuple[int, int, int]) -> Image.Image:
    """Make an image square.

    Args:
        image: mode L or RGB.
        side: of the result, in pixels.
        how: "stretch" changes the photo's shape, "pad" adds bars of the fill colour, "crop" keeps the middle.
        fill: RGB.

    Returns:
        The image in its own mode, side x side.
    """
    if how == "stretch":
        return image.resize((side, side), Image.Resampling.LANCZOS)
    if how == "crop":
        return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    if not round(min(image.size) / max(image.size) * side):  # ImageOps.pad would leave the bars alone
        image = image.resize((1, side) if image.width < image.height else (side, 1), Image.Resampling.LANCZOS)
    return ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, color=convert_fill(fill, image))


def to_array(image: Image.Image) -> Pixels:
    """Return a square image as uint8: (S, S, 1) of mode L, (S, S, 3) of mode RGB."""
    return np.asarray(image).reshape(image.height, image.width, -1)


def measure_foreground(mask: Image.Image) -> float:
    """Return the share of the photo that a mask (mode L) keeps, 0 to 1."""
    return float(np.asarray(mask).mean()) / 255


def make_thumbnail(image: Image.Image) -> Image.Image:
    """Stretch a whole photo (mode L) to 64 x 64 pixels. Near-duplicates are found by these."""
    return image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)


def hash_thumbnail(small: Image.Image) -> tuple[str, str]:
    """Return the 64-bit DCT hashes of a thumbnail and of its mirror image, as 16 hexadecimal digits each.

    Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010; computed by ImageHash.
    """
    small = small.reduce(2)  # to the size that ImageHash takes: hash_size * highfreq_factor
    hashes = imagehash.phash(small), imagehash.phash(ImageOps.mirror(small))
    first, mirrored = (np.packbits(each.hash).tobytes().hex() for each in hashes)  # str(each), in a fifth of its time
    return first, mirrored
