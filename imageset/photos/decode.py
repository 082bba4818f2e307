"""Bytes of strangers -> an upright RGB image, or a reason why not."""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from PIL import Image, ImageOps, UnidentifiedImageError

from imageset.errors import Undecodable

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")  # JPEG includes MPO, the two-picture files of some cameras

Mode = Literal["RGB", "L"]

JPEG_FACTORS = (1, 2, 4, 8)  # by which libjpeg itself can divide the sides

HEAD_BYTES = 16  # what Pillow itself looks at to tell formats apart

# What Pillow's decoders raise on broken files (its own Tests/images are full of them), and what they might.
DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def decode(data: bytes, max_pixels: int, factor: int = 1, mode: Mode = "RGB") -> Image.Image:
    """Return the photo in a mode, its EXIF orientation applied, every pixel decoded, its sides divided by factor.

    Mode L is the luma, which a JPEG holds by itself. A JPEG's sides may be divided by less: by 1, 2, 4 or 8 and a whole
    number, as libjpeg does the first while it decodes. Of an animation, the first frame. Transparent pixels lie on
    white, 16-bit values are scaled to 8 bits. Raises Undecodable.
    """
    with decoder_errors():
        image = open_image(data, max_pixels)
        left = factor // draft(image, factor, mode)
        photo = plain(upright(load(image)), mode)
        return photo if left == 1 else photo.reduce(left)


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
            load(open_image(data, max_pixels))
    except Undecodable as error:
        return error.reason, ""
    except Exception:  # at a process's edge: what no decoder was seen to raise yet is to cost one photo all the same
        return "undecodable", ""
    return "", hashlib.sha256(data).hexdigest()


def begins_like_photo(head: bytes) -> bool:
    """Tell by the first HEAD_BYTES whether this may be a file of FORMATS."""
    Image.init()
    return any(accept is None or accept(head) for _, accept in map(Image.OPEN.__getitem__, FORMATS))


def sides(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Return a photo's width and height as it was stored, by its header. Raises Undecodable."""
    with decoder_errors():
        return open_image(data, max_pixels).size


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise Undecodable("empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Undecodable("not_an_image") from None
    except Image.DecompressionBombError:
        raise Undecodable("too_many_pixels") from None
    if image.width * image.height > max_pixels:
        raise Undecodable("too_many_pixels")
    return image


def draft(image: Image.Image, factor: int, mode: Mode) -> int:
    """Let a JPEG be decoded in a mode, its sides divided by factor or by less; return by how much they will be."""
    width, height = image.size
    possible = max(number for number in JPEG_FACTORS if number <= factor)
    # Formats other than JPEG take no notice.
    image.draft(mode, (max(1, width // possible), max(1, height // possible)))
    return round(max(width, height) / max(image.size))


def load(image: Image.Image) -> Image.Image:
    """Return the photo with every pixel decoded."""
    try:
        image.load()
    except OSError:
        raise Undecodable("truncated") from None
    return image


def upright(image: Image.Image) -> Image.Image:
    with suppress(*DECODER_ERRORS):  # EXIF that cannot be read orients nothing
        ImageOps.exif_transpose(image, in_place=True)
    return image


def plain(image: Image.Image, mode: Mode) -> Image.Image:
    """Return the image as 8 bits a channel, without transparency."""
    if image.mode.startswith("I;16"):
        import numpy as np  # here, as processes that only check do without: 50 ms of their start

        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image if image.mode == mode else image.convert(mode)
