"""Bytes of strangers: an upright RGB photo, or a reason."""

import hashlib
import io
import math
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from imageset.errors import Undecodable
from imageset.photos.decode import Mode, PhotoLimits, check, decode, read_sides
from imageset.photos.file_formats import PLUGINS
from imageset.runtime.sections import LARGEST_PHOTO
from sandbox import draw
from tests.conftest import jpeg, photo_bytes, plain_image
from tests.conftest import saved as saved
from tests.photos.samples import DECODED, REFUSED, SVG, heic

LIMITS = PhotoLimits(1_000_000)
ORIENTATION = 0x0112
RED, GREEN, BLUE, GREY = (220, 20, 20), (20, 200, 20), (20, 20, 220), (120, 120, 120)


MODES: tuple[Mode, ...] = ("RGB", "L")


def quartered() -> Image.Image:
    """A portrait photo with another colour in each corner."""
    image = Image.new("RGB", (32, 48))
    for color, place in zip((RED, GREEN, BLUE, GREY), ((0, 0), (16, 0), (0, 24), (16, 24)), strict=True):
        image.paste(color, (*place, place[0] + 16, place[1] + 24))
    return image


def reason(data: bytes, factor: int = 1, mode: Mode = "RGB") -> str:
    """Return why the bytes are refused."""
    with pytest.raises(Undecodable) as caught:
        decode(data, LIMITS, factor, mode)
    return caught.value.reason


def png_header(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that says it has these sides."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {"quality": 95}),
        ("MPO", {"quality": 95}),
    ],
)
def test_every_format_gives_the_photo(kind: str, options: dict[str, Any]) -> None:
    photo = decode(saved(quartered(), kind, **options), LIMITS)

    assert (photo.mode, photo.size) == ("RGB", (32, 48))
    assert np.abs(np.asarray(photo, int) - np.asarray(quartered(), int)).mean() < 8


# How a camera held that way stores the upright photo, by the value of the EXIF tag.
STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", [None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_a_photo_is_upright_however_the_camera_was_held(orientation: int | None, kind: str) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    stored = quartered().transpose(STORED_AS[orientation]) if orientation in STORED_AS else quartered()
    photo = decode(saved(stored, kind, exif=exif, quality=95), LIMITS)
    corners = np.asarray(photo)[[12, 12, 36, 36], [8, 24, 8, 24]]

    assert photo.size == (32, 48)
    assert np.allclose(corners, [RED, GREEN, BLUE, GREY], atol=12)


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\x00\xff\xff\xff\xff",
        b"\xff" * 60,
        b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x7f\xff\xff\xff\x00",
    ],
)
def test_a_photo_with_broken_exif_is_not_turned(exif: bytes) -> None:
    assert decode(saved(quartered(), "JPEG", exif=b"Exif\x00\x00" + exif), LIMITS).size == (32, 48)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("with_exif", [False, True])
def test_an_orientation_that_xmp_alone_has_does_not_count(with_exif: bool, kind: str) -> None:
    """A program that turns the pixels removes that of EXIF, and may know nothing of XMP."""
    exif = Image.Exif()
    exif[0x010E] = "a jacket"
    options: dict[str, Any] = {"exif": exif} if with_exif else {}
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'

    assert decode(saved(quartered(), kind, xmp=xmp, **options), LIMITS).size == (32, 48)


def test_a_photo_with_a_broken_colour_profile_is_accepted() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:100]

    assert decode(saved(quartered(), "JPEG", icc_profile=profile), LIMITS).size == (32, 48)


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("CMYK", "JPEG", {"quality": 95}),
        ("L", "JPEG", {"quality": 95}),
        ("L", "PNG", {}),
        ("LA", "PNG", {}),
        ("1", "PNG", {}),
    ],
)
def test_other_colour_modes_become_rgb(mode: str, kind: str, options: dict[str, Any]) -> None:
    image = quartered().convert(mode)
    photo = decode(saved(image, kind, **options), LIMITS)

    assert photo.mode == "RGB"
    assert np.abs(np.asarray(photo, int) - np.asarray(image.convert("RGB"), int)).mean() < 8


def test_sixteen_bits_are_scaled_to_eight() -> None:
    values = np.array([[0, 255, 256, 0x7FFF], [0x8000, 0xFEFF, 0xFF00, 0xFFFF]], np.uint16)
    photo = decode(saved(Image.fromarray(values), "PNG"), LIMITS)

    assert decode(saved(Image.fromarray(values), "PNG"), LIMITS, mode="L").tobytes() == photo.convert("L").tobytes()
    assert np.asarray(photo)[..., 0].tolist() == [[0, 0, 1, 127], [128, 254, 255, 255]]
    assert np.ptp(np.asarray(photo), axis=2).max() == 0


def test_transparent_pixels_are_put_on_white() -> None:
    image = Image.new("RGBA", (2, 1))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (200, 0, 0, 255))
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.putpixel((1, 0), 1)

    for data in (
        saved(image, "PNG"),
        saved(image, "WEBP", lossless=True),
        saved(palette, "PNG", transparency=0),
        saved(palette, "GIF", transparency=0),
    ):
        assert np.asarray(decode(data, LIMITS)).tolist() == [[[255, 255, 255], [200, 0, 0]]]
        assert np.asarray(decode(data, LIMITS, mode="L")).tolist() == [[255, 60]]


def test_half_transparent_palette_entries_are_mixed_with_white() -> None:
    palette = Image.new("P", (1, 1))
    palette.putpalette([0, 0, 0])

    assert decode(saved(palette, "PNG", transparency=b"\x80"), LIMITS).getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "MPO", "AVIF"])
def test_of_several_frames_the_first_is_the_photo(kind: str) -> None:
    frames = [plain_image(RED), plain_image(GREEN), plain_image(BLUE)]
    photo = decode(saved(frames[0], kind, save_all=True, append_images=frames[1:]), LIMITS)

    assert photo.size == (40, 60)
    assert np.allclose(np.asarray(photo), RED, atol=10)


@pytest.mark.parametrize("name", ["quartered", "turned", "two", "transparent"])
def test_a_heic_photo_is_upright_its_first_picture_and_on_white(name: str) -> None:
    photo = decode(heic(name), PhotoLimits(1_000_000, ("heic",)))
    corners = np.asarray(photo)[[24, 24, 72, 72], [16, 48, 16, 48]]
    others = [(255, 255, 255)] * 3 if name == "transparent" else [GREEN, BLUE, GREY]

    assert photo.size == (64, 96)
    assert np.allclose(corners, [RED, *others], atol=12)


EXIF_LYING = Image.Exif()
EXIF_LYING[ORIENTATION] = 6

# Photos as they come, by how they are stored: format, mode, options.
STORED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "baseline": ("JPEG", "RGB", {}),
    "progressive": ("JPEG", "RGB", {"progressive": True}),
    "lying": ("JPEG", "RGB", {"exif": EXIF_LYING}),
    "of a printer": ("JPEG", "CMYK", {}),
    "without chroma": ("JPEG", "L", {}),
    "without luma": ("JPEG", "RGB", {"keep_rgb": True}),
    "of two pictures": ("MPO", "RGB", {"save_all": True, "append_images": [plain_image()]}),
    "png": ("PNG", "RGB", {"exif": EXIF_LYING}),
    "gif": ("GIF", "P", {}),
    "avif": ("AVIF", "RGB", {"exif": EXIF_LYING, "subsampling": "4:4:4", "quality": 95}),
    "webp": ("WEBP", "RGB", {}),
}
every_kind = pytest.mark.parametrize("kind", STORED)


def drawn(kind: str, width: int, height: int) -> bytes:
    stored_as, mode, options = STORED[kind]
    image = draw.draw("t-shirt", 1).resize((width, height), Image.Resampling.LANCZOS)
    return saved(image.convert(mode), stored_as, **options)


@every_kind
def test_a_reduced_photo_is_the_whole_one_shrunk(kind: str) -> None:
    data = drawn(kind, 192, 256)
    for mode in MODES:
        whole = decode(data, LIMITS, mode=mode)
        for factor in (2, 4, 8, 16):
            reduced = decode(data, LIMITS, factor, mode)
            apart = np.asarray(reduced, int) - np.asarray(whole.reduce(factor), int)

            assert reduced.mode == mode
            assert np.abs(apart).mean() < 2

    luma = decode(data, LIMITS).convert("L")

    assert np.abs(np.asarray(decode(data, LIMITS, mode="L"), int) - np.asarray(luma, int)).mean() < 0.5


@every_kind
def test_jpeg_is_reduced_by_a_power_of_two_as_it_is_decoded_and_then_by_the_rest(kind: str) -> None:
    """By 3 as by 2, then; by 23 as by 8 and by 2. Other formats are reduced by all of it.

    The first step leaves out what is no whole block of the factor's side.
    """
    data = drawn(kind, 203, 271)
    standing = decode(data, LIMITS).size
    is_jpeg = STORED[kind][0] in ("JPEG", "MPO")
    for factor, steps in {
        1: (1, 1),
        2: (2, 1),
        3: (2, 1),
        5: (4, 1),
        8: (8, 1),
        11: (8, 1),
        23: (8, 2),
        40: (8, 5),
        1000: (8, 125),
    }.items():
        first, second = steps if is_jpeg else (1, factor)
        expected = math.ceil(standing[0] // first / second), math.ceil(standing[1] // first / second)

        assert decode(data, LIMITS, factor).size == decode(data, LIMITS, factor, "L").size == expected


def cropped_without_decoding(image: Image.Image, sides: tuple[int, int], **options: Any) -> bytes:
    """Return a JPEG of the upper left part of an image. The rest of its last blocks is in the file, but not seen.

    jpegtran makes such files. Other programs fill the last blocks by gray or black.
    """
    data = saved(image, "JPEG", quality=98, subsampling=0, **options)
    at = next(data.index(marker) for marker in (b"\xff\xc0\x00", b"\xff\xc2\x00") if marker in data)
    return data[: at + 5] + struct.pack(">HH", sides[1], sides[0]) + data[at + 9 :]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("side", [1001, 1004, 1007])
def test_scaled_decoding_shows_the_picture_alone(side: int, factor: int, progressive: bool) -> None:
    """What is beyond the picture in its last blocks is white here, and the picture is dark."""
    whole = Image.new("RGB", (1008, 1008), "white")
    whole.paste((40, 20, 20), (0, 0, side, side))
    data = cropped_without_decoding(whole, (side, side), progressive=progressive)
    limits = PhotoLimits(2_000_000)
    for mode in MODES:
        full = decode(data, limits, 1, mode)
        expected = np.asarray(full.crop((0, 0, *(side // factor * factor,) * 2)).reduce(factor), int)
        found = np.asarray(decode(data, limits, factor, mode), int)

        assert full.size == (side, side)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 32  # the waves of the edge; the white that leaked in was 100 and more


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_edge_that_is_cut_off_is_that_of_the_stored_photo(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.new("RGB", (203, 271), GREY)
    image.paste(RED, (0, 0, 8, 271))  # seen where it was stored first
    photo = decode(saved(image, "JPEG", exif=exif, quality=95), LIMITS, 2)
    turned = {1: (0, 60), 3: (-1, 60), 6: (60, 0), 8: (60, -1)}[orientation]

    assert photo.size == ((101, 135) if orientation in (1, 3) else (135, 101))
    assert np.allclose(np.asarray(photo)[turned[1], turned[0]], RED, atol=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_photo_that_is_smaller_than_its_factor_keeps_a_pixel_and_its_colour(kind: str) -> None:
    for stored in ((1, 1), (1, 300), (300, 2), (5, 3), (7, 300)):
        data = saved(plain_image(RED, stored), kind)
        for factor in (2, 3, 7, 8, 9, 100, 1000):
            color, luma = decode(data, LIMITS, factor), decode(data, LIMITS, factor, "L")

            assert all(1 <= side <= whole for side, whole in zip(color.size, stored, strict=True))
            assert max(color.size) <= math.ceil(max(stored) / min(factor, 2))
            assert np.abs(np.asarray(color, int) - RED).max() < 8
            assert np.abs(np.asarray(luma, int) - 80).max() < 4


@every_kind
def test_sides_are_those_in_the_header(kind: str) -> None:
    assert read_sides(drawn(kind, 203, 271), LIMITS) == (203, 271)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"<html>", "not_an_image"),
        (png_header(1001, 1000), "too_many_pixels"),
        (png_header(50_000, 50_000), "too_many_pixels"),
    ],
)
def test_what_is_no_photo_by_its_header_has_no_sides(data: bytes, expected: str) -> None:
    with pytest.raises(Undecodable) as caught:
        read_sides(data, LIMITS)

    assert caught.value.reason == expected


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("MPO", {}),
        ("AVIF", {}),
    ],
)
@pytest.mark.parametrize("tenths", range(10))
def test_a_truncated_photo_is_never_accepted(kind: str, options: dict[str, Any], tenths: int) -> None:
    photo = Image.open(io.BytesIO(photo_bytes(3)))
    data = saved(photo, kind, **options)
    left = data[: len(data) * tenths // 10]
    reasons = {reason(left, factor, mode) for factor in (1, 2, 3, 4, 8) for mode in MODES}

    assert len(reasons) == 1
    assert reasons <= {"empty", "not_an_image", "truncated", "undecodable"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"<!doctype html><title>404</title>", "not_an_image"),
        (b'{"error": "not found"}', "not_an_image"),
        (b"\x00" * 1000, "not_an_image"),
        (b"\xff\xd8\xff", "not_an_image"),
        (b"GIF89a", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "format_svg"),
    ],
)
def test_what_is_no_photo_is_refused_with_its_reason(data: bytes, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize("kind", ["PPM", "EPS", "PCX", "TGA"])
def test_a_format_without_a_name_is_not_opened(kind: str) -> None:
    assert reason(saved(plain_image(), kind)) == "not_an_image"


@pytest.mark.parametrize("name", REFUSED)
def test_a_format_that_cannot_be_decoded_is_refused_by_its_name(name: str) -> None:
    assert reason(REFUSED[name]) == f"format_{name}"


@pytest.mark.parametrize("name", DECODED)
def test_a_format_is_decoded_where_it_is_listed_and_refused_by_its_name_where_not(name: str) -> None:
    others = tuple(other for other in DECODED if other != name)

    assert decode(DECODED[name], PhotoLimits(1_000_000, (name,))).mode == "RGB"
    with pytest.raises(Undecodable, match=f"^format_{name}$"):
        decode(DECODED[name], PhotoLimits(1_000_000, others))


def test_no_plugin_but_that_of_the_format_sees_a_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that its own plugin refuses is tried by no other one, whatever is listed."""
    asked = []
    for name in PLUGINS.values():
        factory, accept = Image.OPEN.get(name, (None, None))

        def note(*arguments: Any, name: str = name, factory: Any = factory) -> Any:
            asked.append(name)
            return factory(*arguments)

        monkeypatch.setitem(Image.OPEN, name, (note, accept))
    reasons = {reason(data) for data in (b"\x89PNG\r\n\x1a\n" + bytes(9), SVG, REFUSED["tiff"], REFUSED["bmp"])}

    assert reasons == {"not_an_image", "format_svg", "format_tiff", "format_bmp"}
    assert asked == ["PNG"]


@pytest.mark.parametrize("sides", [(1001, 1000), (50_000, 50_000), (2**31 - 1, 2**31 - 1)])
def test_a_pixel_bomb_is_refused_by_its_header(sides: tuple[int, int]) -> None:
    assert reason(png_header(*sides)) == "too_many_pixels"


def test_params_allow_the_largest_photo_that_pillow_opens() -> None:
    larger = LARGEST_PHOTO + 1

    assert read_sides(png_header(LARGEST_PHOTO, 1), PhotoLimits(larger)) == (LARGEST_PHOTO, 1)
    with pytest.raises(Undecodable, match=r"^too_many_pixels$"):
        read_sides(png_header(larger, 1), PhotoLimits(larger))


def with_sides(body: bytes, width: int, height: int) -> bytes:
    """Return an AVIF or HEIC file that says it has these sides."""
    at = body.index(b"ispe") + 8
    return body[:at] + width.to_bytes(4) + height.to_bytes(4) + body[at + 8 :]


@pytest.mark.parametrize("sides", [(1001, 1000), (16_384, 16_384), (32_768, 8_192)])
@pytest.mark.parametrize("name", ["avif", "heic"])
def test_a_file_of_boxes_with_too_many_pixels_is_refused_before_they_are_decoded(
    name: str, sides: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    body = with_sides(DECODED[name], *sides)

    assert check(body, PhotoLimits(1_000_000, (name,))) == ("too_many_pixels", "")


def test_an_avif_of_more_pixels_than_it_says_has_the_sides_that_it_says() -> None:
    """libavif decodes what the file has, at most 16,384 by 16,384, and scales it. Time and memory have limits, too."""
    body = saved(Image.new("RGB", (2000, 2000), RED), "AVIF", speed=10)
    photo = decode(with_sides(body, 100, 100), LIMITS)

    assert photo.size == (100, 100)
    assert np.allclose(np.asarray(photo), RED, atol=12)


def test_the_limit_itself_is_accepted() -> None:
    assert decode(jpeg(plain_image(sides=(1000, 1000))), LIMITS).size == (1000, 1000)


@pytest.mark.parametrize("sides", [(1, 1), (1, 20_000), (20_000, 1)])
def test_a_photo_of_odd_sides_is_a_photo(sides: tuple[int, int]) -> None:
    assert decode(jpeg(plain_image(sides=sides)), LIMITS).size == sides


def test_a_damaged_photo_is_refused_or_has_all_its_pixels() -> None:
    """Not every flipped byte can be found in a JPEG; none may end in anything but a photo or a reason."""
    data = bytearray(photo_bytes(1))
    random = np.random.default_rng(5)
    outcomes = set()
    for place in random.integers(0, len(data), 150):
        damaged = bytes(data[:place]) + bytes([data[place] ^ 0xFF]) + bytes(data[place + 1 :])
        try:
            outcomes.add(decode(damaged, LIMITS).mode)
        except Undecodable as error:
            outcomes.add(error.reason)

    assert outcomes <= {"RGB", "not_an_image", "truncated", "damaged", "undecodable", "too_many_pixels"}
    assert len(outcomes) > 1


def test_more_transparent_colours_than_a_palette_can_have_are_ignored() -> None:
    """Pillow would decode it, and fail when it applies the transparency."""
    png = bytearray(saved(Image.new("P", (8, 8)), "PNG"))
    transparency = b"tRNS" + bytes(300)
    at = png.index(b"IDAT") - 4
    png[at:at] = struct.pack(">I", 300) + transparency + struct.pack(">I", zlib.crc32(transparency))

    assert check(bytes(png), LIMITS)[0] == ""
    assert decode(bytes(png), LIMITS).getextrema() == ((0, 0), (0, 0), (0, 0))


def test_a_check_returns_the_reason_or_the_sha256(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = jpeg(plain_image())

    assert check(photo, LIMITS) == ("", hashlib.sha256(photo).hexdigest())
    assert check(b"", LIMITS) == ("empty", "")

    monkeypatch.setattr(Image, "open", lambda file, formats: file.what_no_file_has)
    assert check(saved(Image.new("L", (8, 8)), "PNG"), LIMITS) == ("undecodable", "")
