"""What a file's values mean: profiles become sRGB, and a broken profile costs nothing but its own effect."""

import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from imageset.errors import Undecodable
from imageset.photos import colors
from imageset.photos.colors import Color, open_profile
from imageset.photos.decode import Mode, PhotoLimits, check, decode
from imageset.photos.outcomes import Rejected
from imageset.photos.preprocess import preprocess_photo
from imageset.photos.scaled_decodes import ScaledDecodes
from sandbox import draw
from tests.conftest import plain_image
from tests.photos.test_preprocess import section
from tests.profiles import ADOBE_RGB, SRGB, chunk, cmyk_profile, gamma_curve, gray_profile, profile, rgb_profile
from tests.project import ROOT

LIMITS = PhotoLimits(1_000_000)
P3_RED = (234, 51, 35)  # sRGB's red, as telephones store it
MODES: tuple[Mode, ...] = ("RGB", "L")
LUMA_OF_RED = 76


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def middle(data: bytes, mode: Mode = "RGB", factor: int = 1) -> Any:
    photo = decode(data, LIMITS, factor, mode)
    return photo.getpixel((photo.width // 2, photo.height // 2))


def name_profile(data: bytes) -> str:
    return ScaledDecodes(data, LIMITS).colors.profile


def is_near(found: Any, expected: Any, levels: int) -> bool:
    return bool(np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= levels)


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 100, "subsampling": 0}),
    "mpo": ("MPO", {"quality": 100, "subsampling": 0}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_display_p3_becomes_srgb(kind: str) -> None:
    stored_as, options = KINDS[kind]
    data = saved(plain_image(P3_RED, (64, 64)), stored_as, icc_profile=rgb_profile(), **options)

    assert name_profile(data) == "converted"
    for factor in (1, 2, 8, 16):
        assert is_near(middle(data, "RGB", factor), (255, 0, 0), 1 if kind in ("png", "webp") else 2)
        assert is_near(middle(data, "L", factor), LUMA_OF_RED, 2)


def test_a_palette_with_a_profile_becomes_srgb() -> None:
    palette = plain_image(P3_RED).quantize(2)

    assert is_near(middle(saved(palette, "PNG", icc_profile=rgb_profile())), (255, 0, 0), 1)


def test_gray_is_made_of_the_converted_colours() -> None:
    data = saved(draw.draw("t-shirt", 1), "JPEG", quality=95, icc_profile=rgb_profile(ADOBE_RGB, gamma_curve(2.2)))
    color, gray = decode(data, LIMITS, 2), decode(data, LIMITS, 2, "L")

    assert gray.tobytes() == color.convert("L").tobytes()


def own_srgb() -> list[bytes]:
    """sRGB as LittleCMS has it, with colorants of other roundings, and with a table for its curve."""
    steps = [value / 1023 for value in range(1024)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in steps]
    table = b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *(round(value * 65535) for value in linear))
    return [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(SRGB),
        rgb_profile(SRGB, table),
        rgb_profile(SRGB, kind=b"scnr"),
        rgb_profile(SRGB, kind=b"spac"),
    ]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_profile_that_is_srgb_changes_no_byte(mode: str, number: int) -> None:
    image, profile = draw.draw("dress", 2).resize((240, 320)).convert(mode), own_srgb()[number]
    for kind in ("JPEG", "PNG", "WEBP"):
        with_profile, without = saved(image, kind, icc_profile=profile), saved(image, kind)

        assert name_profile(with_profile) == "srgb"
        for factor in (1, 2, 3):
            for wanted in MODES:
                plain = decode(without, LIMITS, factor, wanted)

                assert decode(with_profile, LIMITS, factor, wanted).tobytes() == plain.tobytes()


@pytest.mark.parametrize("gamma", [1.0, 1.8, 3.0])
def test_a_gray_profile_becomes_srgb(gamma: float) -> None:
    light = (128 / 255) ** gamma
    expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    for kind in ("JPEG", "PNG"):
        data = saved(Image.new("L", (32, 32), 128), kind, icc_profile=gray_profile(gamma))

        assert is_near(middle(data), [expected] * 3, 2)
        assert is_near(middle(data, "L"), expected, 2)


def test_a_gray_photo_takes_the_curve_of_a_profile_of_colours() -> None:
    gray = Image.new("L", (32, 32), 128)
    as_gray = middle(saved(gray, "JPEG", icc_profile=rgb_profile(ADOBE_RGB, gamma_curve(1.8))), "L")

    assert is_near(as_gray, middle(saved(gray, "JPEG", icc_profile=gray_profile(1.8)), "L"), 1)
    assert as_gray != 128


def test_a_printers_profile_decides_the_colours_of_its_inks() -> None:
    """The paper is white, full black ink is as dark as the profile says: without black point compensation."""
    for name, ink, lightest, expected in (
        ("paper", (0, 0, 0, 0), 1.0, (255, 255, 255)),
        ("black", (0, 0, 0, 255), 1.0, (0, 0, 0)),
        ("weak black", (0, 0, 0, 255), 0.8, (48, 48, 48)),
    ):
        data = saved(Image.new("CMYK", (32, 32), ink), "JPEG", quality=100, icc_profile=cmyk_profile(lightest))

        assert name_profile(data) == "converted", name
        assert is_near(middle(data), expected, 4), name

    magenta = saved(Image.new("CMYK", (32, 32), (0, 255, 0, 0)), "JPEG", quality=100, icc_profile=cmyk_profile())
    red, green, blue = middle(magenta)

    assert red > 200 > 120 > green
    assert (red, green, blue) != middle(saved(Image.new("CMYK", (32, 32), (0, 255, 0, 0)), "JPEG", quality=100))


def broken_profiles() -> dict[str, bytes]:
    whole = rgb_profile()
    no_curve = profile(b"RGB ", {b"rXYZ": b"XYZ \0\0\0\0" + bytes(12)})
    return {
        "cut": whole[:200],
        "header alone": whole[:128],
        "no profile": b"<html>" * 40,
        "not signed": whole[:36] + b"xxxx" + whole[40:],
        "of gray": gray_profile(2.2),
        "of a printer": cmyk_profile(),
        "a link": whole[:12] + b"link" + whole[16:],
        "abstract": whole[:12] + b"abst" + whole[16:],
        "of names": whole[:12] + b"nmcl" + whole[16:],
        "of unknown colours": whole[:16] + b"9CLR" + whole[20:],
        "without curves": no_curve,
        "too large": whole + bytes(colors.MAX_PROFILE_BYTES),
    }


@pytest.mark.parametrize("name", broken_profiles())
def test_a_broken_profile_is_named_and_changes_no_byte(name: str) -> None:
    image = draw.draw("dress", 2)
    data = saved(image, "JPEG", quality=90, icc_profile=broken_profiles()[name])

    assert name_profile(data) == "broken"
    assert decode(data, LIMITS, 2).tobytes() == decode(saved(image, "JPEG", quality=90), LIMITS, 2).tobytes()


def test_parts_of_a_profile_that_are_missing_make_it_broken() -> None:
    data = saved(plain_image(P3_RED), "JPEG", quality=100, icc_profile=rgb_profile())
    at = data.index(b"ICC_PROFILE\0")
    missing = data[: at + 13] + b"\x02" + data[at + 14 :]  # this is the first of two parts

    assert name_profile(missing) == "broken"
    assert is_near(middle(missing), P3_RED, 3)


BAD_ICCP: dict[str, bytes | None] = {
    "no deflate": b"x\0\0" + b"no deflate",
    "cut": b"x\0\0" + zlib.compress(rgb_profile())[:100],
    "another compression": b"x\0\1" + zlib.compress(rgb_profile()),
    "no name": b"",
    "a name alone": b"x",
    "a name that does not end": b"x" * 100,
    "bomb": None,  # made by its test alone: that takes a second
    "too large": b"x\0\0" + zlib.compress(rgb_profile() + bytes(1 << 20)),
}


@pytest.mark.parametrize("name", BAD_ICCP)
def test_a_profile_that_png_cannot_unpack_is_broken(name: str) -> None:
    data = saved(plain_image(P3_RED), "PNG")
    content = BAD_ICCP[name]
    if content is None:
        content = b"x\0\0" + zlib.compress(bytes(200_000_000))
    made = data[:33] + chunk(b"iCCP", content) + data[33:]

    assert name_profile(made) == "broken"
    assert middle(made) == P3_RED


def test_a_profile_with_a_wrong_checksum_in_a_png_is_broken() -> None:
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile()))
    data = saved(plain_image(P3_RED), "PNG")
    made = data[:33] + profile[:-1] + bytes([profile[-1] ^ 1]) + data[33:]

    assert name_profile(made) == "broken"
    assert middle(made) == P3_RED


def test_a_damaged_profile_ends_in_a_photo_within_time_and_memory() -> None:
    """Profiles come from strangers. No profile keeps a photo from being decoded."""
    random = np.random.default_rng(3)
    verdicts = set()
    for whole, mode in ((rgb_profile(), "RGB"), (cmyk_profile(), "CMYK"), (gray_profile(1.8), "L")):
        for _ in range(120):
            damaged = bytearray(whole)
            for place in random.integers(0, len(whole), 3):
                damaged[place] = random.integers(256)
            verdicts.add(open_profile(bytes(damaged), mode).kind)
    for grid in (3, 33, 255):  # of a table that is not there: 255^4 colours
        bomb = cmyk_profile().replace(bytes([4, 3, 2, 0]), bytes([4, 3, grid, 0]))

        assert open_profile(bomb, "CMYK").kind == "broken"
    many = cmyk_profile().replace(bytes([4, 3, 2, 0]), bytes([16, 16, 255, 0]))

    assert open_profile(many, "CMYK").kind == "broken"
    assert {"broken", "converted"} <= verdicts


def test_the_profile_of_a_transparent_photo_leaves_its_ground_alone() -> None:
    image = Image.new("RGBA", (8, 8), (*P3_RED, 255))
    image.paste((*P3_RED, 0), (0, 0, 4, 8))
    data = saved(image, "PNG", icc_profile=rgb_profile())
    ground: Color = (10, 200, 30)
    for factor in (1, 2):
        photo = decode(data, LIMITS, factor, "RGB", ground)

        assert photo.getpixel((0, 0)) == ground
        assert is_near(photo.getpixel((photo.width - 1, 0)), (255, 0, 0), 1)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "AVIF"])
def test_a_photo_that_is_transparent_everywhere_is_empty_in_every_stage(kind: str) -> None:
    """Not a blank with a label: shops serve such a pixel where a photo will be."""
    image = Image.new("RGBA", (40, 30), (200, 10, 10, 0))
    unseen = saved(image, kind)
    image.putpixel((20, 15), (200, 10, 10, 255))
    seen = saved(image, kind, **({"quality": 100} if kind == "AVIF" else {}))

    assert check(unseen, PhotoLimits(5000))[0] == "empty"
    assert preprocess_photo(unseen, section()) == Rejected("empty")
    assert check(seen, PhotoLimits(5000))[0] == ""
    for factor in (1, 8, 40):
        with pytest.raises(Undecodable, match="empty"):
            decode(unseen, PhotoLimits(5000), factor)
        decode(seen, PhotoLimits(5000), factor)


def test_transparent_areas_leave_no_fringe_where_sides_are_divided() -> None:
    """What a transparent pixel has for a colour is not to be seen, however the photo is reduced."""
    image = Image.new("RGBA", (9, 4), (200, 0, 0, 255))
    image.paste((0, 255, 0, 0), (0, 0, 3, 4))  # green, and invisible
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        photo = decode(saved(image, kind, **options), LIMITS, 2)

        assert is_near(photo.getpixel((1, 0)), (228, 128, 128), 1)  # half of it white
        assert photo.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_adobe_rgb_that_only_exif_names_is_taken_for_srgb(kind: str) -> None:
    """Cameras write it as the interoperability index R03. Browsers ignore that, too."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535  # ColorSpace: uncalibrated
    exif.get_ifd(0xA005)[1] = "R03"
    data = saved(plain_image((100, 150, 50), (32, 32)), kind, exif=exif)

    assert name_profile(data) == ""
    assert is_near(middle(data), (100, 150, 50), 3)


WITHOUT_VECTORS = {
    "JSIMD_FORCENONE": "1",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX,-FMA,-AVX2_Usable,-FMA_Usable",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}


def hash_colors() -> str:
    """Return a hash of photos of each kind of profile, decoded."""
    photo = draw.draw("dress", 3)
    adobe = rgb_profile(ADOBE_RGB, gamma_curve(2.2))
    bodies = [
        saved(photo, "JPEG", quality=90, icc_profile=rgb_profile()),
        saved(photo, "JPEG", quality=90, progressive=True, icc_profile=adobe),
        saved(photo.convert("L"), "JPEG", quality=90, icc_profile=gray_profile(1.8)),
        saved(photo.convert("CMYK"), "JPEG", quality=90, icc_profile=cmyk_profile()),
        saved(photo, "PNG", icc_profile=rgb_profile()),
        saved(photo, "WEBP", icc_profile=adobe),
    ]
    decoded = [decode(body, LIMITS, factor, mode) for body in bodies for factor in (1, 2, 3) for mode in MODES]
    return hashlib.sha256(b"".join(image.tobytes() for image in decoded)).hexdigest()


def test_colours_are_the_same_on_processors_with_fewer_instructions() -> None:
    """As far as libraries can be told to leave out what a processor lacks; benchmarks/decode has an emulator."""
    command = [sys.executable, "-c", "from tests.photos import test_colors; print(test_colors.hash_colors())"]
    environment = os.environ | WITHOUT_VECTORS
    run = subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert run.stdout.split() == [hash_colors()]
