"""A preview: the whole photo in colour, small, without metadata."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imageset.photos import decode, previews
from imageset.photos.decode import PhotoLimits
from imageset.photos.preprocess import preprocess_photo
from tests.conftest import jpeg, photo_bytes, plain_image
from tests.photos.test_decode import saved
from tests.photos.test_preprocess import decoded, is_near, section

RED = (220, 20, 20)


def show(body: bytes, **changes: Any) -> Image.Image:
    """Return the preview that preprocess makes of a photo, decoded."""
    preview = decoded(preprocess_photo(body, section(**changes))).preview
    return Image.open(io.BytesIO(preview))


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((400, 533), (96, 128)),
        ((533, 400), (128, 96)),
        ((128, 128), (128, 128)),
        ((129, 129), (128, 128)),
        ((40, 30), (40, 30)),
        ((1, 1), (1, 1)),
        ((1, 10_000), (1, 128)),
        ((1200, 1600), (96, 128)),
    ],
)
def test_the_whole_photo_fits_into_a_square_and_is_not_enlarged(
    sides: tuple[int, int], expected: tuple[int, int]
) -> None:
    shown = show(jpeg(plain_image(RED, sides)))

    assert (shown.size, shown.mode, shown.format) == (expected, "RGB", "JPEG")
    assert is_near(shown.getpixel((0, 0)), RED)


def test_a_preview_is_near_the_photo() -> None:
    photo = decode.decode(photo_bytes(), PhotoLimits(2_000_000))
    shown = show(photo_bytes())
    expected = photo.resize(shown.size, Image.Resampling.LANCZOS)

    assert np.abs(np.asarray(shown, np.int64) - np.asarray(expected)).mean() < 6


def test_a_photo_on_its_side_is_shown_upright_without_its_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret place"
    body = jpeg(plain_image(RED, (300, 200)), exif=exif, icc_profile=b"a profile", comment=b"a comment")
    shown = show(body)

    assert shown.size == (85, 128)
    assert not shown.getexif()
    assert set(shown.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize(
    "body",
    [
        saved(Image.new("CMYK", (300, 200), (0, 255, 255, 0)), "JPEG"),
        saved(Image.new("L", (300, 200), 100), "JPEG"),
        saved(Image.new("RGBA", (300, 200), (0, 0, 0, 90)), "PNG"),
        saved(Image.new("P", (300, 200)), "GIF", save_all=True, append_images=[Image.new("P", (300, 200), 9)]),
        saved(Image.new("RGB", (300, 200)), "WEBP"),
    ],
    ids=["cmyk", "gray", "transparent", "animated", "webp"],
)
def test_photos_of_every_kind_have_one(body: bytes) -> None:
    assert (show(body).size, show(body).mode) == ((128, 85), "RGB")


def test_transparent_pixels_are_white() -> None:
    photo = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    photo.paste((0, 0, 0, 255), (150, 0, 300, 200))

    assert is_near(show(saved(photo, "PNG")).getpixel((5, 5)), (255, 255, 255))


def test_a_preview_is_made_of_no_more_pixels_than_it_needs() -> None:
    for sides in ((400, 533), (1200, 1600), (128, 128), (140, 10)):
        left = max(sides) // previews.choose_preview_reduction(*sides)

        assert min(max(sides), previews.PREVIEW_SIDE) <= left < 2 * previews.PREVIEW_SIDE
