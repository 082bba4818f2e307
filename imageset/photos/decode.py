"""Decode untrusted image bytes to an upright RGB or grayscale image, or say why they cannot be decoded."""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from imageset.errors import Undecodable
from imageset.photos.colors import convert
from imageset.photos.file_formats import FORMATS

Mode = Literal["RGB", "L"]

JPEG_FACTORS = (1, 2, 4, 8)  # libjpeg itself can divide the sides by these

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


class PhotoLimits(NamedTuple):
    """Which photos are accepted.

    max_pixels: the largest width times height.
    formats: names of FORMATS.
    """

    max_pixels: int
    formats: tuple[str, ...] = tuple(FORMATS)


def decode(data: bytes, limits: PhotoLimits, factor: int = 1, mode: Mode = "RGB") -> Image.Image:
    """Decode every pixel of a photo, turn it upright by its EXIF orientation, and divide its sides.

    Of an animation, the first frame is taken. Transparent pixels are put on white. 16-bit values are scaled to 8 bits.

    Args:
        data: the photo's bytes, untrusted.
        limits: which photos are accepted.
        factor: by what to divide the sides. A JPEG's may be divided by less: libjpeg divides by 1, 2, 4 or 8 while it
            decodes, and a whole number divides what it returns.
        mode: "RGB", or "L" for the luma, which a JPEG holds as a channel of its own.

    Returns:
        The image in this mode.

    Raises:
        Undecodable: the bytes are no photo, or too large a one.
    """
    with translate_errors():
        image = open_image(data, limits)
        left = factor // reduce_while_decoding(image, factor, mode)
        photo = convert(turn_upright(load_pixels(image)), mode)
        return photo if left == 1 else photo.reduce(left)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what decoders raise into Undecodable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken metadata warns; what matters here is the pixels
            yield
    except MemoryError:
        raise Undecodable("decoder_memory") from None
    except DECODER_ERRORS:
        raise Undecodable("undecodable") from None


def check(data: bytes, limits: PhotoLimits) -> tuple[str, str]:
    """Decode a photo fully, only to learn whether it is one. Made for worker processes: raises nothing.

    Args:
        data: the photo's bytes, untrusted.
        limits: which photos are accepted.

    Returns:
        "" and the sha256 of a photo; else the reason why it is none, as in Undecodable, and "".
    """
    try:
        with translate_errors():
            load_pixels(open_image(data, limits))
    except Undecodable as error:
        return error.reason, ""
    except Exception:  # at a process's edge: an error that no decoder is known to raise must cost one photo only
        return "undecodable", ""
    return "", hashlib.sha256(data).hexdigest()


def read_sides(data: bytes, limits: PhotoLimits) -> tuple[int, int]:
    """Return a photo's width and height as it is stored, read from its header. Raises Undecodable."""
    with translate_errors():
        return open_image(data, limits).size


def open_image(data: bytes, limits: PhotoLimits) -> Image.Image:
    """Read a photo's header."""
    if not data:
        raise Undecodable("empty")
    try:
        image = Image.open(io.BytesIO(data), formats=[FORMATS[name] for name in limits.formats])
    except UnidentifiedImageError:
        raise Undecodable("not_an_image") from None
    except Image.DecompressionBombError:
        raise Undecodable("too_many_pixels") from None
    if image.width * image.height > limits.max_pixels:
        raise Undecodable("too_many_pixels")
    return image


def reduce_while_decoding(image: Image.Image, factor: int, mode: Mode) -> int:
    """Let a JPEG be decoded in a mode with its sides divided by factor or less; return by how much they will be."""
    width, height = image.size
    possible = max(number for number in JPEG_FACTORS if number <= factor)
    # Formats other than JPEG ignore this.
    image.draft(mode, (max(1, width // possible), max(1, height // possible)))
    return round(max(width, height) / max(image.size))


def load_pixels(image: Image.Image) -> Image.Image:
    """Decode every pixel of an image that was opened."""
    try:
        image.load()
    except OSError:
        raise Undecodable("truncated") from None
    return image


def turn_upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, where it can be read."""
    with suppress(*DECODER_ERRORS):
        ImageOps.exif_transpose(image, in_place=True)
    return image
