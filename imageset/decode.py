"""Bytes of strangers -> an upright RGB image, or a reason why not."""

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")  # JPEG includes MPO, the two-picture files of some cameras

HEAD_BYTES = 16  # what Pillow itself looks at to tell formats apart

# What Pillow's decoders were seen to raise on broken files (its own Tests/images are full of them).
DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
                  RuntimeError, struct.error)


class Undecodable(Exception):
    """The bytes are not a photo; `reason` is empty, not_an_image, too_many_pixels, truncated, undecodable or
    decoder_memory."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(data: bytes, max_pixels: int) -> Image.Image:
    """Return the photo as mode RGB, its EXIF orientation applied, every pixel decoded.

    Of an animation, the first frame. Transparent pixels lie on white, 16-bit values are scaled to 8 bits.
    Raises Undecodable.
    """
    with decoder_errors():
        return to_rgb(upright(load(data, max_pixels)))


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Turn what decoders raise into Undecodable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken metadata warns; what matters here is the pixels
            yield
    except MemoryError:
        raise Undecodable("decoder_memory") from None
    except DECODER_ERRORS:
        raise Undecodable("undecodable") from None


def check(data: bytes, max_pixels: int) -> tuple[str, str]:
    """Return why the bytes are not a photo, "" when they are one, and their sha256. Made for worker processes."""
    try:
        with decoder_errors():
            load(data, max_pixels)
    except Undecodable as error:
        return error.reason, ""
    except Exception:  # at a process's edge: what no decoder was seen to raise yet is to cost one photo all the same
        return "undecodable", ""
    return "", hashlib.sha256(data).hexdigest()


def begins_like_photo(head: bytes) -> bool:
    """Tell by the first HEAD_BYTES whether this may be a file of FORMATS."""
    Image.init()
    return any(accept is None or accept(head) for _, accept in map(Image.OPEN.__getitem__, FORMATS))


def open_image(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Undecodable("not_an_image") from None
    except Image.DecompressionBombError:
        raise Undecodable("too_many_pixels") from None


def load(data: bytes, max_pixels: int) -> Image.Image:
    """Return the photo as it was stored, every pixel decoded."""
    if not data:
        raise Undecodable("empty")
    image = open_image(data)
    if image.width * image.height > max_pixels:
        raise Undecodable("too_many_pixels")
    try:
        image.load()
    except OSError:
        raise Undecodable("truncated") from None
    return image


def upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:  # EXIF that cannot be read orients nothing
        return image


def to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        import numpy as np  # here, as processes that only check do without: 50 ms of their start

        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
