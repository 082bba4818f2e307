"""Make a small picture in colour of a photo as it was, for people to look at. No files, no network."""

import io

from PIL import Image

PREVIEW_SIDE = 128  # longest side, in pixels

# Of the JPEG that Pillow writes. Colours at half the resolution (4:2:0).
QUALITY = 80
SUBSAMPLING = 2


def choose_preview_reduction(width: int, height: int) -> int:
    """Return by what a photo's sides may be divided before its preview is made."""
    return max(1, max(width, height) // PREVIEW_SIDE)


def make_preview(photo: Image.Image) -> bytes:
    """Return the whole photo as a JPEG of at most PREVIEW_SIDE x PREVIEW_SIDE pixels, without metadata.

    Args:
        photo: mode RGB or YCbCr, upright. A smaller one keeps its size.
    """
    small = photo.reduce(choose_preview_reduction(*photo.size))
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.HAMMING, reducing_gap=None)
    small.info = {}  # Pillow would write the photo's own colour profile and comment
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY, subsampling=SUBSAMPLING)
    return file.getvalue()
