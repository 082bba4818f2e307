"""Copies show the same pixels; another print, another colour and a sticker do not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from imageset.curation.same_picture import show_same
from imageset.formats.hdf5 import Pixels
from imageset.formats.preview_file import decode_square
from imageset.leakage.copies import make_copy
from imageset.photos.previews import make_preview
from sandbox import draw
from sandbox.garments import GARMENTS
from tests import planted


def colors(body: bytes) -> Pixels:
    """Return what the stage compares of a photo."""
    with Image.open(io.BytesIO(body)) as photo:
        return decode_square(make_preview(photo.convert("RGB")), 64, "YCbCr")


def are_same(photos: list[bytes], others: list[bytes]) -> list[bool]:
    found: list[bool] = show_same(*(np.stack([*map(colors, bodies)]) for bodies in (photos, others))).tolist()
    return found


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [draw.draw(garment, 5) for garment in GARMENTS]


def printed(photo: Image.Image, seed: int) -> Image.Image:
    """Return a photo with a print on the garment's chest."""
    copy, rng = photo.copy(), np.random.default_rng(seed)
    pen, (x, y), size = ImageDraw.Draw(copy), (photo.width // 2, photo.height // 2), photo.width // 8
    for color in ("#d02030", "#2040c0", "#f0d020"):
        left, top = rng.integers(-size, 0, 2).tolist()
        pen.ellipse((x + left, y + top, x + left + size, y + top + size), color)
    return copy


def turn_hue(photo: Image.Image, share: float) -> Image.Image:
    hue, saturation, value = photo.convert("HSV").split()
    turned = hue.point(lambda one: round(one + 256 * share) % 256)
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


@pytest.mark.parametrize("kind", ["resized", "encoded_again", "cropped", "mirrored", "turned_90", "turned_180"])
def test_copies_show_the_same(kind: str, photos: list[Image.Image]) -> None:
    copies = [make_copy(photo, photo, kind, number) for number, photo in enumerate(photos)]

    assert all(are_same([planted.encode(photo) for photo in photos], copies))


def test_a_sticker_is_seen(photos: list[Image.Image]) -> None:
    copies = [make_copy(photo, photo, "sticker", number) for number, photo in enumerate(photos)]

    assert not any(are_same([planted.encode(photo) for photo in photos], copies))


def test_a_garment_with_another_print_is_another_picture() -> None:
    shirt = draw.draw("t-shirt", 5)
    prints = [planted.encode(printed(shirt, seed)) for seed in range(8)]

    assert not any(are_same([prints[0]] * 7, prints[1:]))
    assert are_same([prints[0]], [planted.encode(printed(shirt, 0), 50)]) == [True]


def test_a_garment_in_another_colour_is_another_picture() -> None:
    shirt = Image.new("RGB", (450, 600), "#e8e4dc")
    ImageDraw.Draw(shirt).polygon([(90, 120), (360, 120), (420, 260), (330, 240), (330, 540), (120, 540)], "#c04050")
    colored = [planted.encode(turn_hue(shirt, number / 25)) for number in range(25)]

    assert not any(are_same(colored, colored[1:] + colored[:1]))
    assert are_same([colored[0]], [planted.encode(ImageOps.grayscale(shirt).convert("RGB"))]) == [False]


def test_plain_photos_of_one_colour_are_the_same_and_of_two_are_not() -> None:
    red, green = (planted.encode(Image.new("RGB", (100, 100), color)) for color in ("#c04050", "#40c050"))

    assert are_same([red, red], [red, green]) == [True, False]


def test_the_pairs_beside_a_pair_change_nothing(photos: list[Image.Image]) -> None:
    one = [planted.encode(photo) for photo in photos]
    other = [make_copy(photo, photo, ["text", "cropped"][number % 2], 3) for number, photo in enumerate(photos)]

    assert [are_same([left], [right])[0] for left, right in zip(one, other, strict=True)] == are_same(one, other)
