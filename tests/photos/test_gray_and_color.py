"""One decode for gray and colour: the gray is that of a decode of its own, to the last bit, whatever the JPEG."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imageset.errors import Undecodable
from imageset.photos import decode
from imageset.photos.decode import PhotoLimits
from imageset.photos.gray_and_color import decode_gray_and_color
from imageset.photos.pixels import choose_hash_reduction
from imageset.photos.previews import choose_preview_reduction
from imageset.photos.scaled_decodes import ScaledDecodes
from sandbox import draw
from tests.conftest import jpeg, photo_bytes
from tests.photos.test_decode import saved

PHOTO = draw.draw("dress", 4)

# Ways in which a JPEG may hold a photo, with the mode of what is decoded to colour.
JPEGS: dict[str, tuple[Callable[[Image.Image], bytes], str]] = {
    "4:2:0": (lambda photo: saved(photo, "JPEG", subsampling=2), "YCbCr"),
    "4:2:2": (lambda photo: saved(photo, "JPEG", subsampling=1), "YCbCr"),
    "4:4:4": (lambda photo: saved(photo, "JPEG", subsampling=0), "YCbCr"),
    "progressive": (lambda photo: saved(photo, "JPEG", progressive=True, quality=60), "YCbCr"),
    "mpo": (lambda photo: saved(photo, "MPO", save_all=True, append_images=[photo]), "YCbCr"),
    "without jfif": (lambda photo: without_jfif(saved(photo, "JPEG")), "YCbCr"),
    "red, green, blue": (lambda photo: saved(photo, "JPEG", keep_rgb=True), "RGB"),
    "gray": (lambda photo: saved(photo.convert("L"), "JPEG"), "RGB"),
    "cmyk": (lambda photo: saved(photo.convert("CMYK"), "JPEG"), "RGB"),
    "png": (lambda photo: saved(photo, "PNG"), "RGB"),
    "gif": (lambda photo: saved(photo, "GIF"), "RGB"),
    "webp": (lambda photo: saved(photo, "WEBP"), "RGB"),
}


def without_jfif(body: bytes) -> bytes:
    """Remove the first segment of a JPEG, as cameras write them with EXIF alone."""
    assert body[2:4] == b"\xff\xe0"
    return body[:2] + body[4 + int.from_bytes(body[4:6], "big") :]


def decode_both(body: bytes, factor: Any = choose_hash_reduction) -> tuple[Image.Image, Image.Image]:
    return decode_gray_and_color(ScaledDecodes(body, PhotoLimits(50_000_000)), factor, choose_preview_reduction)


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("sides", [(1200, 1601), (533, 400), (257, 90), (31, 17), (1, 1), (1, 3000)])
def test_the_gray_photo_is_that_of_a_decode_of_its_own(kind: str, sides: tuple[int, int]) -> None:
    write, mode = JPEGS[kind]
    body = write(PHOTO.resize(sides))
    gray, color = decode_both(body)
    expected = decode.decode(body, PhotoLimits(50_000_000), choose_hash_reduction(*sides), "L")

    assert (gray.mode, color.mode) == ("L", mode)
    assert gray.size == expected.size
    assert gray.tobytes() == expected.tobytes()


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 23])
def test_it_is_so_however_the_sides_are_divided(factor: int) -> None:
    body = saved(PHOTO.resize((1003, 777)), "JPEG", quality=85)
    gray, _ = decode_both(body, lambda *_: factor)

    assert gray.tobytes() == decode.decode(body, PhotoLimits(50_000_000), factor, "L").tobytes()


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 7, 8])
def test_both_are_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = jpeg(PHOTO.resize((700, 500)), exif=exif)
    gray, color = decode_both(body)

    assert gray.size == color.size
    assert gray.tobytes() == decode.decode(body, PhotoLimits(50_000_000), 2, "L").tobytes()


@pytest.mark.parametrize("kind", JPEGS)
def test_the_colours_are_those_of_the_photo(kind: str) -> None:
    body = JPEGS[kind][0](PHOTO)
    _, color = decode_both(body)
    expected = np.asarray(
        decode.decode(body, PhotoLimits(50_000_000)).resize(color.size, Image.Resampling.BOX), np.int64
    )

    assert np.abs(np.asarray(color.convert("RGB")) - expected).mean() < 4


@pytest.mark.parametrize("kind", ["4:2:0", "red, green, blue", "gray", "png"])
def test_later_uses_find_the_gray_photo(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = JPEGS[kind][0](PHOTO)
    decodes = ScaledDecodes(body, PhotoLimits(50_000_000))
    gray, _ = decode_gray_and_color(decodes, choose_hash_reduction, choose_preview_reduction)
    monkeypatch.setattr(decode, "decode", None)

    assert decodes.decode_reduced(choose_hash_reduction, "L") is gray


@pytest.mark.parametrize("kind", JPEGS)
def test_a_photo_that_is_cut_off_is_rejected_as_before(kind: str) -> None:
    body = JPEGS[kind][0](PHOTO)
    cut = body[: len(body) // 4]
    with pytest.raises(Undecodable) as alone:
        decode.decode(cut, PhotoLimits(50_000_000), 2, "L")
    with pytest.raises(Undecodable) as both:
        decode_both(cut)

    assert both.value.reason == alone.value.reason


def test_a_photo_that_needs_too_much_memory_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def fail(*view: Any) -> Image.Image:
        modes.append(view[-1])
        raise Undecodable("decoder_memory")

    monkeypatch.setattr(decode, "decode_plain", fail)
    with pytest.raises(Undecodable, match="decoder_memory"):
        decode_both(photo_bytes())

    assert modes == ["YCbCr"]


def test_a_jpeg_of_red_green_and_blue_is_one() -> None:
    """Pillow writes it so, and libjpeg makes no YCbCr of it."""
    body = JPEGS["red, green, blue"][0](PHOTO)

    assert Image.open(io.BytesIO(body)).info["adobe_transform"] == 0
    with pytest.raises(Undecodable):
        decode.decode(body, PhotoLimits(50_000_000), 1, "YCbCr")  # type: ignore[arg-type]
