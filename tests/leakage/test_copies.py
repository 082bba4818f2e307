"""Copies: each kind is a JPEG of its own that the same photo and seed give again."""

import io

import numpy as np
import pytest
from PIL import Image

from imageset.leakage.copies import KINDS, make_copy
from sandbox import draw

PHOTO = draw.draw("dress", 1).resize((120, 160))
OTHER = draw.draw("pants", 2).resize((160, 120))
SIDES = {"padded": (160, 160), "turned_90": (160, 120), "turned_180": (120, 160), "cropped": (108, 144)}


def copy(kind: str, seed: int = 1, photo: Image.Image = PHOTO) -> Image.Image:
    return Image.open(io.BytesIO(make_copy(photo, OTHER, kind, seed)))


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return by how much two images differ on average, of 255."""
    first, second = (np.asarray(each.convert("RGB").resize(PHOTO.size), np.float64) for each in (one, other))
    return float(np.abs(first - second).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_differs_from_its_photo_and_the_same_seed_makes_it_again(kind: str) -> None:
    made = make_copy(PHOTO, OTHER, kind, 1)

    assert made == make_copy(PHOTO, OTHER, kind, 1)
    assert copy(kind).format == "JPEG"
    assert difference(copy(kind), PHOTO) > 0.2


@pytest.mark.parametrize("kind", ["resized", "encoded_again", "cropped", "bordered", "text", "sticker", "sharpened"])
def test_another_seed_makes_another_copy(kind: str) -> None:
    assert len({make_copy(PHOTO, OTHER, kind, seed) for seed in range(4)}) > 1


@pytest.mark.parametrize("kind", SIDES)
def test_a_copy_has_the_sides_of_its_kind(kind: str) -> None:
    assert copy(kind).size == SIDES[kind]


def test_turning_and_mirroring_back_gives_the_photo() -> None:
    back = {
        "mirrored": (Image.Transpose.FLIP_LEFT_RIGHT,),
        "turned_180": (Image.Transpose.ROTATE_180,),
        "turned_90": (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
    }

    for kind, ways in back.items():
        assert min(difference(copy(kind).transpose(way), PHOTO) for way in ways) < 3


def test_a_collage_shows_both_photos() -> None:
    made = copy("collage")
    wide = made.width > made.height
    halves = [(0, 0, 120, 160), (120, 0, 240, 160)] if wide else [(0, 0, 120, 160), (0, 160, 120, 320)]
    differences = sorted(difference(made.crop(half), PHOTO) for half in halves)

    assert differences[0] < 3 < differences[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_of_one_pixel_has_copies(kind: str) -> None:
    assert copy(kind, photo=PHOTO.resize((1, 1))).size >= (1, 1)
