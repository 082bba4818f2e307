"""What a PNG says of its values: gamma and primaries, transparent colours, 16 bits a channel."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imageset.photos import png_chunks, png_colors
from imageset.photos.colors import Color
from imageset.photos.decode import Mode, PhotoLimits, check, decode
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto, preprocess_photo
from imageset.photos.scaled_decodes import ScaledDecodes
from tests.photos.test_preprocess import section
from tests.profiles import ADOBE_RGB, DISPLAY_P3, chunk, gamma_curve, png, rgb_profile

LIMITS = PhotoLimits(1_000_000)
FILL: Color = (10, 200, 30)
MODES: tuple[Mode, ...] = ("RGB", "L")
GRAY, COLOR, PALETTE, GRAY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6  # PNG's colour types

P3_CHROMATICITY = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(values: tuple[float, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def trns(*values: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def even(value: Any, sides: tuple[int, int] = (8, 8)) -> NDArray[np.uint16]:
    return np.full((*sides, *np.shape(value)), value, np.uint16)


def left_half(value: Any, other: Any) -> NDArray[np.uint16]:
    """8 x 8 pixels, the left half of one value, the right half of another."""
    values = even(other)
    values[:, :4] = value
    return values


def pixel(data: bytes, place: tuple[int, int] = (0, 0), mode: Mode = "RGB", factor: int = 1) -> Any:
    return decode(data, LIMITS, factor, mode, FILL).getpixel(place)


def name_profile(data: bytes) -> str:
    return ScaledDecodes(data, LIMITS).colors.profile


def encode(light: float) -> float:
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


DEEP = {  # of `16-bit tRNS`: values, colour type, the transparent value
    "grey": (left_half(5000, 60000), GRAY, (5000,)),
    "RGB": (left_half((5000, 5000, 5000), (60000, 5000, 300)), COLOR, (5000, 5000, 5000)),
}


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("name", DEEP)
def test_16_bit_trns(name: str, interlaced: bool) -> None:
    """The left half of ../shared/cases' PNG is on fill."""
    values, kind, transparent = DEEP[name]
    data = png(values, 16, kind, trns(*transparent), interlaced=interlaced)
    photo = decode(data, LIMITS, 1, "RGB", FILL)

    assert photo.crop((0, 0, 4, 8)).getcolors() == [(32, FILL)]
    assert photo.crop((4, 0, 8, 8)).getcolors() == [(32, (234, 234, 234) if kind == GRAY else (234, 19, 1))]


@pytest.mark.parametrize("name", DEEP)
def test_16_bit_trns_reaches_the_dataset_as_fill_and_thumbnails_as_white(name: str) -> None:
    values, kind, transparent = DEEP[name]
    params = section(fill=FILL, color="rgb", image_side=8, fit="stretch")
    made = preprocess_photo(png(values, 16, kind, trns(*transparent)), params)
    assert isinstance(made, DecodedPhoto)
    assert isinstance(made.prepared, PreparedPhoto)

    assert made.prepared.pixels[4, 0].tolist() == list(FILL)
    assert made.prepared.thumbnail[32, 4, 0] == 255


def test_a_value_that_differs_in_its_low_byte_alone_is_seen() -> None:
    for values, kind, transparent in (
        (left_half(5000, 5001), GRAY, (5000,)),
        (left_half((5000, 0, 0), (5000, 0, 1)), COLOR, (5000, 0, 0)),
    ):
        data = png(values, 16, kind, trns(*transparent))

        assert pixel(data, (0, 0)) == FILL
        assert pixel(data, (7, 0)) != FILL


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_trns_of_gray_in_few_bits(depth: int, interlaced: bool) -> None:
    """The transparent value is one of those that are stored: 1 of 0 to 3, not 85."""
    largest = 2**depth - 1
    data = png(left_half(largest - 1, largest), depth, GRAY, trns(largest - 1), interlaced=interlaced)

    assert pixel(data, (0, 0)) == FILL
    assert pixel(data, (7, 7)) == (255, 255, 255)


def test_trns_of_colours_and_of_palettes() -> None:
    colors = png(left_half((1, 2, 3), (1, 2, 4)), 8, COLOR, trns(1, 2, 3))
    palette = chunk(b"PLTE", bytes([1, 2, 3, 200, 100, 0]))
    for depth in (1, 2, 4, 8):
        indices = png(left_half(0, 1), depth, PALETTE, palette, chunk(b"tRNS", b"\0"))

        assert (pixel(indices, (0, 0)), pixel(indices, (7, 0))) == (FILL, (200, 100, 0))
    assert (pixel(colors, (0, 0)), pixel(colors, (7, 0))) == (FILL, (1, 2, 4))


@pytest.mark.parametrize("interlaced", [False, True])
def test_alpha_of_16_bits(interlaced: bool) -> None:
    gray = png(left_half((5000, 0), (60000, 65535)), 16, GRAY_ALPHA, interlaced=interlaced)
    color = png(left_half((9, 9, 9, 0), (60000, 0, 300, 65535)), 16, COLOR_ALPHA, interlaced=interlaced)

    assert (pixel(gray, (0, 0)), pixel(gray, (7, 7))) == (FILL, (234, 234, 234))
    assert (pixel(color, (0, 0)), pixel(color, (7, 7))) == (FILL, (234, 0, 1))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", [GRAY, COLOR, GRAY_ALPHA, COLOR_ALPHA])
@pytest.mark.parametrize("gamma", [1.0, 0.55556, 0.35])
def test_gamma_becomes_srgb(gamma: float, kind: int, depth: int) -> None:
    channels = {GRAY: 1, COLOR: 3, GRAY_ALPHA: 2, COLOR_ALPHA: 4}[kind]
    largest = 2**depth - 1
    value = [largest // 3] * channels
    if kind in (GRAY_ALPHA, COLOR_ALPHA):
        value[-1] = largest
    data = png(even(value), depth, kind, gama(gamma))
    expected = encode((1 / 3) ** (1 / gamma))

    assert name_profile(data) == "gamma"
    for mode in MODES:
        assert np.abs(np.asarray(pixel(data, (0, 0), mode)) - expected).max() <= 1.5


def test_sixteen_bits_keep_their_steps_in_the_dark_of_a_linear_png() -> None:
    """Of linear light, 8 bits have 13 levels of sRGB between black and their first step."""
    values = np.arange(0, 256, 4, dtype=np.uint16).reshape(8, 8)
    for deep, kind in ((values, GRAY), (np.stack([values] * 3, axis=2), COLOR)):
        photo = decode(png(deep, 16, kind, gama(1.0)), LIMITS, 1, "L")

        assert len(set(photo.tobytes())) >= 13


def test_gamma_reaches_palettes_and_colours_beside_a_transparent_one() -> None:
    palette = chunk(b"PLTE", bytes([85, 85, 85, 85, 85, 86]))
    expected = encode(1 / 3)
    for data in (
        png(left_half(0, 1), 8, PALETTE, gama(1.0), palette, chunk(b"tRNS", b"\0")),
        png(left_half((1, 2, 3), (85, 85, 86)), 8, COLOR, gama(1.0), trns(1, 2, 3)),
    ):
        assert pixel(data, (0, 0)) == FILL
        assert np.abs(np.asarray(pixel(data, (7, 0))) - expected).max() <= 2


@pytest.mark.parametrize("value", [0.45455, 0.45, 0.44])
def test_the_gamma_of_screens_changes_no_byte(value: float) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 4
    data = png(values, 8, GRAY, gama(value), chrm(SRGB_CHROMATICITY))

    assert name_profile(data) == "srgb"
    assert decode(data, LIMITS, 1, "L").tobytes() == values.astype(np.uint8).tobytes()


@pytest.mark.parametrize("value", [0.0, 0.00001, 5.0, 42949.67295])
def test_a_gamma_of_nonsense_is_named_and_changes_no_byte(value: float) -> None:
    data = png(even((100, 150, 50)), 8, COLOR, gama(value))

    assert name_profile(data) == "broken"
    assert pixel(data) == (100, 150, 50)


def test_primaries_become_srgb() -> None:
    p3 = png(even((234, 51, 35)), 8, COLOR, gama(0.45455), chrm(P3_CHROMATICITY))
    adobe = png(even((100, 150, 50)), 8, COLOR, gama(0.45455), chrm(ADOBE_CHROMATICITY))
    same = png(even((100, 150, 50)), 8, COLOR, chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(ADOBE_RGB))))

    assert name_profile(p3) == name_profile(adobe) == "gamma"
    assert np.abs(np.asarray(pixel(p3)) - (255, 0, 0)).max() <= 1
    assert np.abs(np.asarray(pixel(adobe)) - pixel(same)).max() <= 1


@pytest.mark.parametrize(
    "values",
    [
        (0.0,) * 8,
        (0.3127, 0.329, 0.64, 0.33, 0.64, 0.33, 0.64, 0.33),
        (0.3127, 0.0, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06),
        (42949.0,) * 8,
    ],
)
def test_primaries_of_nonsense_are_named_and_change_no_byte(values: tuple[float, ...]) -> None:
    data = png(even((100, 150, 50)), 8, COLOR, gama(0.45455), chrm(values))

    assert name_profile(data) == "broken"
    assert pixel(data) == (100, 150, 50)


BOMB = zlib.compress(bytes(4 << 20))
OF_NO_USE = {
    "short gAMA": chunk(b"gAMA", b"\0"),
    "short cHRM": chunk(b"cHRM", b"\0\1"),
    "long cHRM": chunk(b"cHRM", bytes(33)),
    "no sRGB": chunk(b"sRGB", b""),
    "short pHYs": chunk(b"pHYs", b"\0\1"),
    "short tRNS": chunk(b"tRNS", b"\0"),
    "tRNS of a palette": chunk(b"tRNS", b"\0" * 300),
    "zTXt of 4 MB": chunk(b"zTXt", b"Comment\0\0" + BOMB),
    "iTXt of 4 MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
}


@pytest.mark.parametrize("name", OF_NO_USE)
def test_metadata_that_pillow_would_refuse_a_photo_for_does_not_count(name: str) -> None:
    data = png(even((100, 150, 50)), 8, COLOR, OF_NO_USE[name])

    assert check(data, PhotoLimits(1000))[0] == ""
    assert name_profile(data) == ""
    assert pixel(data) == (100, 150, 50)
    assert isinstance(preprocess_photo(data, section(max_pixels=1000)), DecodedPhoto)


def test_compressed_text_that_can_be_read_stays_and_turns_no_photo() -> None:
    turned = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(turned))
    broken = chunk(b"pHYs", b"\0\1")

    values = even((100, 150, 50), (8, 4))
    data = png(values, 8, COLOR, text + broken)
    mended = png_chunks.mend(data)

    assert text in mended
    assert broken not in mended
    assert decode(data, PhotoLimits(1000)).size == decode(png(values, 8, COLOR), PhotoLimits(1000)).size


def test_a_profile_wins_over_srgb_and_srgb_over_gamma() -> None:
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(curve=gamma_curve(1.0))))
    srgb, linear = chunk(b"sRGB", b"\0"), gama(1.0)
    values = even((100, 150, 50))

    assert name_profile(png(values, 8, COLOR, profile, srgb, linear)) == "converted"
    assert name_profile(png(values, 8, COLOR, srgb, linear)) == "srgb"
    assert pixel(png(values, 8, COLOR, srgb, linear)) == (100, 150, 50)
    assert name_profile(png(values, 8, COLOR, linear)) == "gamma"


def test_p3_colorants_are_those_of_its_primaries() -> None:
    """What cHRM becomes is what Apple's profile of Display P3 has."""
    made = png_colors.make_profile({"chromaticity": P3_CHROMATICITY})
    colorants = [
        [value / 65536 for value in struct.unpack(">3i", part[:12])] for part in made.split(b"XYZ \0\0\0\0")[3:]
    ]

    assert np.allclose(colorants, DISPLAY_P3, atol=1e-3)


def test_cicp_is_not_read() -> None:
    data = png(even((234, 51, 35)), 8, COLOR, chunk(b"cICP", bytes([12, 13, 0, 1])))

    assert name_profile(data) == ""
    assert pixel(data) == (234, 51, 35)
