"""What is planted: masks that lost a part of the garment, and photos that are blurred, dark, bright or flat."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from scipy import ndimage

from imageset.formats.hdf5 import Pixels

FOREGROUND = 128
REFERENCE_SIDE = 256  # of the photo's longer side: blur is so many of its pixels
LARGEST_SIDE = 512  # of a photo that is damaged
GRAY = 128
FAINT = 0.3  # of the differences that a bright, a dark or a flat photo keeps

Random = np.random.Generator


def keep_half(mask: Pixels, random: Random) -> Pixels:
    """Keep the left, right, upper or lower half of the garment."""
    return cut(mask, np.pi / 2 * int(random.integers(4)))


def keep_half_of_line(mask: Pixels, random: Random) -> Pixels:
    """Keep the half of the garment on one side of a line of any direction."""
    return cut(mask, random.uniform(0, 2 * np.pi))


def cut(mask: Pixels, angle: float) -> Pixels:
    """Keep half of the garment's pixels: the least far ones in a direction, given by an angle."""
    rows, columns = np.indices(mask.shape)
    distance = np.cos(angle) * columns + np.sin(angle) * rows
    kept: Pixels = np.where(distance <= np.median(distance[mask >= FOREGROUND]), mask, 0).astype(np.uint8)
    return kept


def keep_wedge(mask: Pixels, random: Random) -> Pixels:
    """Keep a triangle that begins anywhere on the garment, and is 5 to 50 % of it."""
    rows, columns = np.indices(mask.shape)
    inside = np.argwhere(mask >= FOREGROUND)
    while True:
        row, column = inside[random.integers(len(inside))]
        turned = np.arctan2(rows - row, columns - column) - random.uniform(0, 2 * np.pi)
        width = random.uniform(0.35, 0.6)
        kept = np.where(np.abs((turned + np.pi) % (2 * np.pi) - np.pi) < width, mask, 0).astype(np.uint8)
        if 0.05 <= (kept >= FOREGROUND).sum() / len(inside) <= 0.5:
            return kept


def keep_smear(mask: Pixels, random: Random) -> Pixels:
    """Keep a faint blob of the garment."""
    rows, columns = np.indices(mask.shape)
    row, column = random.permutation(np.argwhere(mask >= FOREGROUND))[0]
    heights, widths = random.uniform(0.06, 0.19, 2) * len(mask)
    blob = np.exp(-(((rows - row) / heights) ** 2 + ((columns - column) / widths) ** 2) / 2)
    faint: Pixels = np.rint(mask * blob * random.uniform(0.4, 0.9)).astype(np.uint8)
    return faint


def keep_print(mask: Pixels, random: Random) -> Pixels:
    """Keep a disc in the middle of the garment, as where the network took the print of a shirt for the garment."""
    rows, columns = np.indices(mask.shape)
    inside = mask >= FOREGROUND
    depth = ndimage.distance_transform_edt(inside)
    row, column = random.permutation(np.argwhere(depth >= 0.7 * depth.max()))[0]
    square = inside.sum() * random.uniform(0.03, 0.15) / np.pi
    return np.where((rows - row) ** 2 + (columns - column) ** 2 < square, mask, 0).astype(np.uint8)


OF_MASKS: dict[str, Callable[[Pixels, Random], Pixels]] = {
    "half, upright or across": keep_half,
    "half, any direction": keep_half_of_line,
    "wedge": keep_wedge,
    "smear": keep_smear,
    "print alone": keep_print,
}


def blur(photo: Image.Image, radius: float) -> Image.Image:
    """Blur a photo by a Gaussian of `radius` pixels (standard deviation) where the longer side has 256."""
    return photo.filter(ImageFilter.GaussianBlur(radius * max(photo.size) / REFERENCE_SIDE))


def fade(photo: Image.Image, towards: int, share: float) -> Image.Image:
    """Keep a share of the differences from a gray value."""
    return photo.point(lambda value: round(towards + (value - towards) * share))


OF_PHOTOS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blurred by 2 pixels of 256": lambda photo: blur(photo, 2),
    "blurred by 4 pixels of 256": lambda photo: blur(photo, 4),
    "darkened to 0.3": lambda photo: fade(photo, 0, FAINT),
    "lightened to 0.3": lambda photo: fade(photo, 255, FAINT),
    "contrast of 0.3": lambda photo: fade(photo, GRAY, FAINT),
}


def damage_photo(body: bytes, kind: str) -> bytes:
    """Return a photo, upright, with damage of a kind of OF_PHOTOS, as a JPEG."""
    photo = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB")
    photo.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    file = io.BytesIO()
    OF_PHOTOS[kind](photo).save(file, "JPEG", quality=90)
    return file.getvalue()
