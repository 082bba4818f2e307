"""Decode untrusted image bytes to an upright RGB or grayscale image, or say why they cannot be decoded."""

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from imageset.errors import Undecodable
from imageset.photos import colors, png_colors, wholeness
from imageset.photos.colors import WHITE, Color, Colors, Layers
from imageset.photos.file_formats import BRANDS, FORMATS, PLUGINS, find_refusal, open_as, tell_format

Mode = Literal["RGB", "L"]

JPEG_FACTORS = (8, 4, 2, 1)  # libjpeg itself can divide the sides by these
CHECK_FACTOR = 8  # of a photo that is only checked: all coded data is read, and few pixels are made of it
BOX_PLUGINS = tuple(PLUGINS[name] for name in BRANDS)
MAX_EDGE_SHARE = 1 / 16  # of a side, that decoding at a scale may cut off
XMP = ("xmp", "XML:com.adobe.xmp")  # where Pillow's plugins put it

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
    formats: as params.yaml names them.
    """

    max_pixels: int
    formats: tuple[str, ...] = FORMATS


def decode(data: bytes, limits: PhotoLimits, factor: int = 1, mode: Mode = "RGB", ground: Color = WHITE) -> Image.Image:
    """Decode every pixel of a photo to sRGB, turn it upright by its EXIF orientation, and divide its sides.

    Of an animation, the first frame is taken. 16-bit values are scaled to 8 bits.

    Args:
        data: the photo's bytes, untrusted.
        limits: which photos are accepted.
        factor: by what to divide the sides. A JPEG's may be divided by less, if its colours need no conversion:
            libjpeg divides by 1, 2, 4 or 8 while it decodes, and a whole number divides what it returns.
        mode: "RGB", or "L" for the luma, which a JPEG holds as a channel of its own.
        ground: what transparent pixels are put on, RGB.

    Returns:
        The image in this mode.

    Raises:
        Undecodable: the bytes are no photo, or too large a one.
    """
    with translate_errors():
        return decode_opened(open_photo(data, limits), data, factor, mode, ground)


def open_photo(data: bytes, limits: PhotoLimits) -> Image.Image:
    """Read a photo's header, and make sure that the photo is whole. Raises Undecodable."""
    image = open_image(data, limits)
    wholeness.require_whole(data, tell_format(data), image.size)
    return image


def decode_opened(image: Image.Image, data: bytes, factor: int, mode: Mode, ground: Color) -> Image.Image:
    """Decode an image that was opened from data, as `decode` does. The image can be decoded once."""
    meant = colors.read_colors(image)
    if meant.is_plain:
        return decode_plain(image, factor, mode)
    return colors.compose(decode_layers(image, data, meant, factor), mode, ground)


def decode_plain(image: Image.Image, factor: int, mode: Mode) -> Image.Image:
    """Decode an image that was opened, as `decode` does, if its colours need no conversion.

    The image can be decoded once.
    """
    photo, divided = load_reduced(image, factor, mode)
    left = factor // divided
    photo = colors.convert(photo, mode)
    return photo if left == 1 else photo.reduce(left)


def decode_layers(image: Image.Image, data: bytes, meant: Colors, factor: int) -> Layers:
    """Decode an image that was opened from data, as `decode` does, but leave its transparency a layer of its own.

    The image can be decoded once. `meant` says what its values mean.
    """
    low = None
    png_colors.scale_transparency(image)
    if png_colors.needs_low_bytes(image, meant.gamma):
        low, _ = load_reduced(png_colors.open_low_bytes(data), 1, "RGB")
    photo, divided = load_reduced(image, factor, "RGB")
    return colors.separate(photo, low, meant, factor / divided)


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
    """Decode a photo, only to learn whether the later stages can. Made for worker processes: raises nothing.

    Args:
        data: the photo's bytes, untrusted.
        limits: which photos are accepted.

    Returns:
        "" and the sha256 of a photo; else the reason why it is none, as in Undecodable, and "".
    """
    try:
        with translate_errors():
            image = open_image(data, limits)
            was_decoded = wholeness.require_whole(data, tell_format(data), image.size)
            if not (was_decoded and colors.read_colors(image).is_plain):
                decode_opened(image, data, CHECK_FACTOR, "RGB", WHITE)
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
    if reason := find_refusal(data, limits.formats):
        raise Undecodable(reason)
    name = tell_format(data)
    if wholeness.is_cut(data, name):
        raise Undecodable("truncated")
    try:
        image = open_as(wholeness.mend(data, name), name)
    except UnidentifiedImageError:
        raise Undecodable("undecodable" if name in BRANDS else "not_an_image") from None
    except Image.DecompressionBombError:
        raise Undecodable("too_many_pixels") from None
    if image.width * image.height > limits.max_pixels:
        raise Undecodable("too_many_pixels")
    return image


def load_reduced(image: Image.Image, factor: int, mode: Mode) -> tuple[Image.Image, int]:
    """Decode every pixel of an image that was opened, and turn it upright.

    Returns:
        The image, and by what its sides were divided: a JPEG's by factor or less.
    """
    width, height = image.size
    divided = reduce_while_decoding(image, factor, mode)
    loaded = load_pixels(image)
    # Where the sides are no multiples, libjpeg makes the last row and column of what is beyond the picture, too.
    if loaded.size != (inner := (width // divided, height // divided)):
        loaded = loaded.crop((0, 0, *inner))
    return turn_upright(loaded), divided


def is_jpeg(image: Image.Image) -> bool:
    """Return whether libjpeg decodes an image that was opened. Pillow tells a file with two pictures from others."""
    return image.format in ("JPEG", "MPO")


def reduce_while_decoding(image: Image.Image, factor: int, mode: Mode) -> int:
    """Let a JPEG be decoded in a mode with its sides divided by factor or less; return by what they will be."""
    if not is_jpeg(image):
        return 1
    divided = next(
        number
        for number in JPEG_FACTORS
        if number <= factor and all(side % number <= side * MAX_EDGE_SHARE for side in image.size)
    )
    image.draft(mode, (image.width // divided, image.height // divided))
    return divided


def load_pixels(image: Image.Image) -> Image.Image:
    """Decode every pixel of an image that was opened."""
    try:
        image.load()
    except OSError as error:
        raise Undecodable("truncated" if "truncated" in str(error).lower() else "damaged") from None
    except (EOFError, RuntimeError, SyntaxError, ValueError) as error:
        if image.format not in BOX_PLUGINS:
            raise
        raise Undecodable("decoder_memory" if "memory" in str(error).lower() else "damaged") from None
    return image


def turn_upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, where it can be read.

    Where EXIF has none, Pillow takes that of XMP. Browsers do not (Chromium 156): a program that turned the pixels
    removed that of EXIF alone.
    """
    removed = [image.info.pop(name, None) for name in XMP]
    if any(removed):
        image._exif = None  # its plugin may have read it already, with that of XMP
    with suppress(*DECODER_ERRORS):
        ImageOps.exif_transpose(image, in_place=True)
    return image
