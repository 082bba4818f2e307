"""What a photo's values mean: from the numbers that a file has to sRGB, 8 bits a channel, without transparency.

LittleCMS converts by ICC profiles, relative colorimetric and without black point compensation. A PNG without a profile
may name its gamma and its primaries.
"""

from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image, ImageChops, ImageCms

from imageset.errors import Undecodable
from imageset.photos import png_colors

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
MAX_PROFILE_BYTES = 4 << 20  # printers' profiles have 0.5 to 3 MB, those of cameras and screens a few hundred bytes
PROFILES_KEPT = 32

# A profile's class and colour space are in its header (ICC.1:2022, 7.2). Links and abstract profiles convert no photo.
HEADER_BYTES, CLASS, SPACE, SIGNATURE = 128, slice(12, 16), slice(16, 20), slice(36, 40)
CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
MODES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}  # that a profile of this colour space is for
GRAY_MODES = ("1", "L", "LA", "I;16")

ROUNDING = 1  # levels by which conversion may change the colours of a profile that is sRGB
GRID = 17  # values a channel that say whether it is


class Conversion(NamedTuple):
    """How values become sRGB.

    kind: "srgb": they are. "converted": by the transform, or by the table. "broken": the profile is of no use.
    transform: of colours.
    table: 256 values, of grays.
    """

    kind: str
    transform: ImageCms.ImageCmsTransform | None = None
    table: tuple[int, ...] | None = None


class Colors(NamedTuple):
    """What the values of an image mean, by its header.

    profile: as in photos.csv: "", "srgb", "converted", "gamma" or "broken".
    conversion: None where the values are taken for sRGB.
    gamma: of a PNG's gAMA, None where the values have about sRGB's curve.
    is_plain: whether neither conversion, gamma, transparency nor 16 bits are in the way.
    """

    profile: str
    conversion: Conversion | None
    gamma: float | None
    is_plain: bool


class Layers(NamedTuple):
    """A photo's colours, mode L or RGB, sRGB, and where they are seen (mode L), None: everywhere."""

    color: Image.Image
    alpha: Image.Image | None


def read_colors(image: Image.Image) -> Colors:
    """Return what the values of an image mean. It was opened, and its pixels were not decoded."""
    profile, conversion, gamma = name_colors(image)
    is_plain = (conversion, gamma) == (None, None) and not image.has_transparency_data and image.mode != "I;16"
    return Colors(profile, conversion, gamma, is_plain)


def name_colors(image: Image.Image) -> tuple[str, Conversion | None, float | None]:
    """Return the first three fields of Colors. A profile wins over sRGB, sRGB over gamma and primaries."""
    is_gray = image.mode in GRAY_MODES or png_colors.get_raw_mode(image) == "LA;16B"
    if "icc_profile" in image.info:
        # Pillow found one that it could not put together where this is None.
        found = open_profile(image.info["icc_profile"] or b"", "L" if is_gray else image.mode)
        return found.kind, found if found.kind == "converted" else None, None
    if "srgb" in image.info:
        return "srgb", None, None
    if "gamma" not in image.info and "chromaticity" not in image.info:
        return "", None, None
    try:
        gamma = png_colors.find_gamma(image.info)
        primaries = b"" if is_gray else png_colors.make_profile(image.info)
    except ValueError:
        return "broken", None, None
    found = open_profile(primaries, "RGB") if primaries else Conversion("srgb")
    if found.kind == "broken" or (gamma is None and found.kind == "srgb"):
        return found.kind, None, None
    return "gamma", found if found.kind == "converted" else None, gamma


@lru_cache(PROFILES_KEPT)
def open_profile(profile: bytes, mode: str) -> Conversion:
    """Return how the values of an image become sRGB.

    Args:
        profile: ICC's, untrusted.
        mode: of the image. Modes of colours other than CMYK are RGB. A gray image may have a profile of RGB.
    """
    space = MODES.get(profile[SPACE], "")
    wanted = mode if mode in ("L", "CMYK") else "RGB"
    fitting = ("L", "RGB") if wanted == "L" else (wanted,)
    is_whole = HEADER_BYTES < len(profile) <= MAX_PROFILE_BYTES and profile[SIGNATURE] == b"acsp"
    if not is_whole or profile[CLASS] not in CLASSES or space not in fitting:
        return Conversion("broken")
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(
            source, make_srgb(), space, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.NOCACHE
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return Conversion("broken")
    if wanted == "L":
        grays = Image.frombytes("L", (256, 1), bytes(range(256)))
        table = tuple(apply(transform, grays.convert(space)).convert("L").tobytes())
        is_srgb = all(abs(value - gray) <= ROUNDING for gray, value in enumerate(table))
        return Conversion("srgb") if is_srgb else Conversion("converted", table=table)
    if wanted == "RGB" and is_identity(transform):
        return Conversion("srgb")
    return Conversion("converted", transform)


@lru_cache(1)
def make_srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache(1)
def make_grid() -> Image.Image:
    """Return all grays and a grid of colours, mode RGB."""
    steps = [round(255 * number / (GRID - 1)) for number in range(GRID)]
    colors = [(red, green, blue) for red in steps for green in steps for blue in steps]
    colors += [(gray, gray, gray) for gray in range(256)]
    return Image.frombytes("RGB", (len(colors), 1), bytes(value for color in colors for value in color))


def is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether a transform from RGB to sRGB changes no colour but by rounding."""
    apart: Any = ImageChops.difference(make_grid(), apply(transform, make_grid().copy())).getextrema()
    return all(most <= ROUNDING for _, most in apart)


def apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    """Return an image in sRGB, mode RGB, without metadata. One of mode RGB is converted in place: a fifth faster."""
    converted = transform.apply_in_place(image) if image.mode == "RGB" else transform.apply(image)
    converted.info = {}  # sRGB's profile
    return converted


def convert(image: Image.Image, mode: str) -> Image.Image:
    """Return an image that is_plain in a mode."""
    return image if image.mode == mode else image.convert(mode)


def separate(image: Image.Image, low: Image.Image | None, colors: Colors, factor: float) -> Layers:
    """Return a photo's colours in sRGB and its transparency, its sides divided.

    Both are divided before colours are converted, which costs by the pixel. What transparent pixels have for a colour
    does not count (`Image.reduce` multiplies by the alpha).

    Args:
        image: of any mode, its pixels decoded.
        low: the low bytes of 16 bits, from `png_colors.open_low_bytes`; None where image has all that counts.
        colors: of the image.
        factor: by what to divide the sides. No whole number where libjpeg divided them by a part of one.

    Raises:
        Undecodable: empty, where all of the photo is transparent.
    """
    is_deep = low is not None or image.mode == "I;16"
    image = unfold(png_colors.reduce_depth(image, low, colors.gamma) if is_deep else image)
    if colors.gamma is not None and not is_deep:
        image = png_colors.bend(image, colors.gamma)
    if is_unseen(image):
        raise Undecodable("empty")
    if factor == int(factor):
        image = image.reduce(int(factor)) if factor > 1 else image
    else:
        sides = max(1, round(image.width / factor)), max(1, round(image.height / factor))
        image = image.resize(sides, Image.Resampling.BOX)
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    color = image if alpha is None else image.convert(image.mode.removesuffix("A"))
    if colors.conversion is None:
        return Layers(color if color.mode != "CMYK" else color.convert("RGB"), alpha)
    if colors.conversion.transform is not None:
        return Layers(apply(colors.conversion.transform, color), alpha)
    return Layers(color.point((colors.conversion.table or ()) * len(color.getbands())), alpha)


def is_unseen(image: Image.Image) -> bool:
    """Return whether all of an image is transparent, as of those that shops put where a photo will be."""
    return image.mode in ("LA", "RGBA") and not image.getchannel("A").getbbox()


def unfold(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits as mode L, LA, RGB, RGBA or CMYK: palettes and transparent colours unfolded."""
    is_gray = image.mode in GRAY_MODES
    if image.has_transparency_data:
        return convert(image, "LA" if is_gray else "RGBA")
    return image if image.mode == "CMYK" else convert(image, "L" if is_gray else "RGB")


def compose(layers: Layers, mode: str, ground: Color) -> Image.Image:
    """Return a photo in a mode, L or RGB, on a ground of one colour."""
    if layers.alpha is None:
        return convert(layers.color, mode)
    image = Image.new("RGB", layers.color.size, ground)
    image.paste(layers.color.convert("RGB"), mask=layers.alpha)
    return convert(image, mode)
