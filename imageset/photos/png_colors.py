"""What a PNG says of its values beside ICC profiles: gAMA, cHRM, tRNS, and 16 bits a channel."""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from PIL import Image, ImageFile

from imageset.photos import png_chunks
from imageset.photos.file_formats import open_as

# gAMA is the exponent by which values were encoded. Screens decode by 2.2, about sRGB's curve.
SCREEN_EXPONENT = 2.2
GAMMA_TOLERANCE = 0.05  # libpng's: a smaller difference from the screen's is none
GAMMAS = (0.2, 2.5)  # what is beyond is an error
CURVES_KEPT = 16

D50 = (0.9642, 1.0, 0.8249)  # the white of ICC profiles
BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
LEAST_DETERMINANT = 1e-3  # of primaries that span colours; sRGB's have 0.2

# Pillow's names for the byte that it keeps of each two: the high one, and the low one.
LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
DEPTHS = {"L;2": 3, "L;4": 15}  # the largest value that is stored

Matrix = Sequence[Sequence[float]]


def get_raw_mode(image: Image.Image) -> str:
    """Return Pillow's name for how a PNG's values are stored; "" for other formats and for decoded images."""
    if not isinstance(image, ImageFile.ImageFile) or image.format != "PNG" or not image.tile:
        return ""
    stored = image.tile[0].args
    return stored if isinstance(stored, str) else ""


def find_gamma(info: Mapping[Any, Any]) -> float | None:
    """Return a PNG's gAMA, None where it says no other curve than sRGB's. Raises ValueError for one that is none."""
    gamma = float(info.get("gamma", 1 / SCREEN_EXPONENT))
    if not GAMMAS[0] <= gamma <= GAMMAS[1]:
        raise ValueError("gAMA")
    return None if abs(gamma * SCREEN_EXPONENT - 1) < GAMMA_TOLERANCE else gamma


def make_profile(info: Mapping[Any, Any]) -> bytes:
    """Return a profile with a PNG's cHRM for primaries and sRGB's curve; b"" where there is no cHRM.

    Raises:
        ValueError: they are no primaries.
    """
    if "chromaticity" not in info:
        return b""
    flat = info["chromaticity"]
    white, *primaries = [(flat[at], flat[at + 1]) for at in range(0, 8, 2)]
    if not all(0 <= x <= 1 and 0 < y <= 1 and x + y <= 1 for x, y in (white, *primaries)):
        raise ValueError("cHRM")
    columns = transpose([to_xyz(*point) for point in primaries])
    white_xyz = to_xyz(*white)
    scales = multiply(invert(columns), white_xyz)
    cones = [d50 / own for d50, own in zip(multiply(BRADFORD, D50), multiply(BRADFORD, white_xyz), strict=True)]
    colorants = []
    for scale, column in zip(scales, transpose(columns), strict=True):
        seen = multiply(BRADFORD, [scale * value for value in column])
        colorants.append(multiply(invert(BRADFORD), [own * cone for own, cone in zip(seen, cones, strict=True)]))
    if not all(abs(value) < 4 for colorant in colorants for value in colorant):
        raise ValueError("cHRM")
    return write_profile(colorants)


def to_xyz(x: float, y: float) -> list[float]:
    return [x / y, 1.0, (1 - x - y) / y]


def transpose(matrix: Matrix) -> list[list[float]]:
    return [list(row) for row in zip(*matrix, strict=True)]


def multiply(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(factor * value for factor, value in zip(row, vector, strict=True)) for row in matrix]


def invert(matrix: Matrix) -> list[list[float]]:
    """Return the inverse of a matrix of 3 x 3. Raises ValueError where there is none to speak of."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if abs(determinant) < LEAST_DETERMINANT:
        raise ValueError("the rows are not independent")
    adjugate = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return [[value / determinant for value in row] for row in adjugate]


def write_profile(colorants: Matrix) -> bytes:
    """Return an ICC profile, version 4, of RGB with these colorants (XYZ, D50) and sRGB's curve."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: Sequence[float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    curve = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(number, SRGB_CURVE))
    text = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2, 28) + b"\0-\0\0"
    tags = {b"desc": text, b"cprt": text, b"wtpt": xyz(D50)}
    for channel, colorant in zip(b"rgb", colorants, strict=True):
        tags |= {b"%cXYZ" % channel: xyz(colorant), b"%cTRC" % channel: curve}
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    header = struct.pack(">I4sI4s4s4s12x4s", start + len(body), b"", 0x04000000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return header.ljust(68, b"\0") + b"".join(map(number, D50)) + bytes(48) + table + body


@lru_cache(CURVES_KEPT)
def make_curve(gamma: float, largest: int) -> tuple[int, ...]:
    """Return the 8-bit sRGB values of stored values from 0 to the largest."""
    return tuple(round(255 * encode((value / largest) ** (1 / gamma))) for value in range(largest + 1))


def encode(linear: float) -> float:
    """Return sRGB's value of a share of light, both 0 to 1 (IEC 61966-2-1)."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def needs_low_bytes(image: Image.Image, gamma: float | None) -> bool:
    """Return whether the high bytes of an image are not enough: to compare it with tRNS, or for another curve."""
    return get_raw_mode(image) in LOW_BYTES and (gamma is not None or "transparency" in image.info)


def open_low_bytes(body: bytes) -> ImageFile.ImageFile:
    """Open a PNG that needs_low_bytes, so that the low bytes are decoded."""
    image = open_as(png_chunks.mend(body), "png")
    image.tile = [tile._replace(args=LOW_BYTES[str(tile.args)]) for tile in image.tile]
    return image


def scale_transparency(image: Image.Image) -> None:
    """Make the gray that is transparent in a PNG of 2 or 4 bits the one that Pillow decodes it to."""
    largest, transparent = DEPTHS.get(get_raw_mode(image)), image.info.get("transparency")
    if largest and isinstance(transparent, int):
        image.info["transparency"] = transparent * 255 // largest


def reduce_depth(image: Image.Image, low: Image.Image | None, gamma: float | None) -> Image.Image:
    """Return an image of 16 bits with 8 bits, sRGB's curve, and an alpha where tRNS named a colour.

    Args:
        image: decoded, mode I;16, or the high bytes of another one.
        low: as open_low_bytes opened it, decoded; None for mode I;16.
        gamma: from find_gamma.
    """
    import numpy as np  # here, as processes that only check do without: 50 ms of their start

    words = np.asarray(image)
    if low is not None:
        words = words.astype(np.uint16) << 8 | np.asarray(low)
    values = (words >> 8).astype(np.uint8)
    if gamma is not None:
        bent = np.array(make_curve(gamma, 65535), np.uint8)
        channels = (..., slice(0, 3)) if values.ndim == 3 else ...
        values[channels] = bent[words[channels]]
    reduced = Image.fromarray(values)
    if (transparent := image.info.get("transparency")) is not None:
        differs = words != np.array(transparent, np.uint16)
        seen = differs.any(axis=2) if differs.ndim == 3 else differs
        reduced.putalpha(Image.fromarray(seen.astype(np.uint8) * 255))
    return reduced


def bend(image: Image.Image, gamma: float) -> Image.Image:
    """Return an image, mode L, LA, RGB or RGBA, with sRGB's curve."""
    curve, straight = make_curve(gamma, 255), tuple(range(256))
    return image.point([*curve * len(image.mode.removesuffix("A")), *straight * image.mode.endswith("A")])
