"""What is measured on a photo as it was: its sides, format, sharpness, brightness and contrast. No files, no network.

All sums are of whole numbers, and what is computed of them is rounded, so every processor gives the same values.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imageset.photos.file_formats import tell_format
from imageset.photos.scaled_decodes import ScaledDecodes

# Photos are measured with their longer side reduced to this many pixels, so that two resolutions of a photo give about
# the same. Smaller photos are measured as they are: enlarged, all would count as blurred.
MEASURING_SIDE = 256

# A quarter of a squared gray level for each pixel is added to what `measure_sharpness` divides by. In a photo without
# edges it outweighs the rounding of gray values, which would count as sharp edges.
NOISE_DIVISOR = 4

# So many rows are measured at a time. The arrays of a whole photo are so large that the C library takes their memory
# from the system each time: that takes as long as the sums.
ROWS_AT_ONCE = 64


class PhotoFacts(NamedTuple):
    """Facts of a photo, upright.

    width, height: in pixels.
    format: of the file, as ingest.formats names it, in capitals, such as JPEG.
    sharpness: 0 where blurring changes nothing, near 1 where every edge is as sharp as pixels can show it.
    brightness: mean of the gray values, 0 to 255.
    contrast: standard deviation of the gray values, 0 to 127.5.
    aspect_ratio: the longer side divided by the shorter one.
    profile: what the file says of its colours: "" nothing, "srgb", "converted" by its ICC profile, "gamma" of a PNG,
        "broken": nothing that can be used.
    """

    width: int
    height: int
    format: str
    sharpness: float
    brightness: float
    contrast: float
    aspect_ratio: float
    profile: str


def measure_photo(body: bytes, gray: Image.Image, decodes: ScaledDecodes) -> PhotoFacts:
    """Measure a photo.

    Args:
        body: the photo's bytes, which were decoded already.
        gray: the same photo, mode L, upright. Its longer side has MEASURING_SIDE pixels at least, if it had so many.
        decodes: of the same photo. One more decode is made of a nearly square photo alone.

    Raises:
        Undecodable: the photo cannot be decoded whole.
    """
    width, height = find_upright_sides(gray, decodes)
    small = reduce_to_measure(gray)
    brightness, contrast = measure_grays(small)
    ratio = round(max(width, height) / min(width, height), 4)
    name = tell_format(body).upper()
    sharpness, profile = measure_sharpness(small), decodes.colors.profile
    return PhotoFacts(width, height, name, sharpness, brightness, contrast, ratio, profile)


def find_upright_sides(upright: Image.Image, decodes: ScaledDecodes) -> tuple[int, int]:
    """Return the width and height that a photo has when it is turned upright by its EXIF orientation.

    Which side of the decoded photo is the longer one says whether it was turned. A nearly square photo may be reduced
    to a square, which says nothing. Then it is decoded whole.
    """
    width, height = decodes.sides
    if width == height:
        return width, height
    if upright.width == upright.height:
        return decodes.decode_reduced(lambda *_: 1, "L").size
    return (width, height) if (width > height) == (upright.width > upright.height) else (height, width)


def reduce_to_measure(gray: Image.Image) -> Image.Image:
    """Return a photo (mode L) with a longer side of MEASURING_SIDE pixels, or as it is if that is shorter."""
    longer = max(gray.size)
    if longer <= MEASURING_SIDE:
        return gray
    width, height = (max(1, (2 * side * MEASURING_SIDE + longer) // (2 * longer)) for side in gray.size)
    return gray.resize((width, height), Image.Resampling.BOX)


def measure_grays(gray: Image.Image) -> tuple[float, float]:
    """Return the mean and the standard deviation of a photo's gray values (mode L), rounded to two decimals.

    The standard deviation is the RMS contrast of Peli, Contrast in complex images, 1990, in gray levels.
    """
    counts, values = np.array(gray.histogram(), np.int64), np.arange(256)
    pixels, total, squares = int(counts.sum()), int(counts @ values), int(counts @ values**2)
    return round(total / pixels, 2), round(math.sqrt(pixels * squares - total**2) / pixels, 2)


def measure_sharpness(gray: Image.Image) -> float:
    """Return which share of the differences between neighbours a slight blur takes away, 0 to 1, four decimals.

    A blurred photo loses little by another blur. The idea is that of Crete et al., The blur effect: perception and
    estimation with a new no-reference perceptual blur metric, 2007; here with squared differences (the Tenengrad's, of
    neighbours) and a binomial blur of 3 x 3 pixels. A share, unlike the variance of the Laplacian (Pech-Pacheco et al.,
    2000), depends little on contrast: a pale garment on white is as sharp as a black one.

    Args:
        gray: mode L, from `reduce_to_measure`.
    """
    values = np.pad(np.asarray(gray), 1, mode="edge").astype(np.int16)
    before = after = 0
    for start in range(0, gray.height, ROWS_AT_ONCE):
        padded = values[start : start + ROWS_AT_ONCE + 3]
        rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        blurred = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]  # times 16
        before += 256 * sum_squared_differences(padded[1:-1, 1:-1])
        after += sum_squared_differences(blurred)
    return round((before - after) / (before + 256 * gray.width * gray.height // NOISE_DIVISOR), 4)


def sum_squared_differences(values: NDArray[np.int16]) -> int:
    """Return the sum of the squared differences of neighbours, in columns and in rows.

    Args:
        values: (H, W); below ROWS_AT_ONCE rows there may be one more, for the differences in columns.
    """
    differences = values[1:] - values[:-1], values[:ROWS_AT_ONCE, 1:] - values[:ROWS_AT_ONCE, :-1]
    return sum(int(np.square(each, dtype=np.int32).sum(dtype=np.int64)) for each in differences)
