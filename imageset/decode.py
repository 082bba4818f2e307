"""Bytes of strangers -> an upright RGB image, or a reason why not."""

import io
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")  # JPEG includes MPO, the two-picture files of some cameras

# What Pillow's decoders were seen to raise on broken files (its own Tests/images are full of them).
DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
                  MemoryError, RuntimeError, struct.error)


class Undecodable(Exception):
    """The bytes are not a photo; `reason` is one of empty, not_an_image, too_many_pixels, truncated, undecodable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(data: bytes, max_pixels: int) -> Image.Image:
    """Return the photo as mode RGB, its EXIF orientation applied, every pixel decoded.

    Of an animation, the first frame. Transparent pixels lie on white, 16-bit values are scaled to 8 bits.
    Raises Undecodable.
    """
    if not data:
        raise Undecodable("empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken metadata warns; what matters here is the pixels
        image = open_image(data)
        if image.width * image.height > max_pixels:
            raise Undecodable("too_many_pixels")
        try:
            image.load()
        except OSError:
            raise Undecodable("truncated") from None
        except DECODER_ERRORS:
            raise Undecodable("undecodable") from None
        return to_rgb(upright(image))


def open_image(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Undecodable("not_an_image") from None
    except Image.DecompressionBombError:
        raise Undecodable("too_many_pixels") from None
    except DECODER_ERRORS:
        raise Undecodable("undecodable") from None


def upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:  # EXIF that cannot be read orients nothing
        return image


def to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
