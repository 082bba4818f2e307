"""A frame of one colour is found to a part of a line, and nothing is cut off where there is none."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from imageset.curation.frames import MAX_FRAME, find_frames
from imageset.formats.hdf5 import Pixels
from imageset.photos import pixels
from sandbox import draw
from sandbox.garments import GARMENTS


def thumbnail(photo: Image.Image) -> Pixels:
    return np.asarray(pixels.make_thumbnail(photo.convert("L")))[np.newaxis]


def put_in(photo: Image.Image, box: tuple[float, float, float, float], color: str) -> Image.Image:
    """Return a photo inside a larger picture. box: how much of that is frame: left, right, top, bottom."""
    width, height = round(photo.width / (1 - box[0] - box[1])), round(photo.height / (1 - box[2] - box[3]))
    framed = Image.new("RGB", (width, height), color)
    framed.paste(photo, (round(width * box[0]), round(height * box[2])))
    return framed


BOXES = [
    (0.125, 0.125, 0.0, 0.0),
    (0.0, 0.0, 0.131, 0.109),
    (0.04, 0.04, 0.03, 0.03),
    (0.0, 0.25, 0.0, 0.0),
    (0.25, 0.24, 0.0, 0.0),
    (0.35, 0.35, 0.0, 0.0),
]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("color", ["white", "black", "#b3202a"])
def test_a_frame_is_found_to_a_fifth_of_a_line(box: tuple[float, float, float, float], color: str) -> None:
    photo = Image.fromarray(np.random.default_rng(1).integers(64, 192, (60, 45, 3), np.uint8)).resize(
        (450, 600), Image.Resampling.BICUBIC
    )

    found = find_frames(thumbnail(put_in(photo, box, color)))[0]

    assert np.abs(found - box).max() < 0.2 / 64


def test_a_photo_without_a_frame_has_none() -> None:
    assert not find_frames(np.random.default_rng(0).integers(0, 256, (20, 64, 64), np.uint8)).any()


def test_a_frame_that_leaves_too_little_is_none() -> None:
    photo = draw.draw("bag", 7)
    share = (MAX_FRAME + 0.1) / 2

    assert not find_frames(thumbnail(put_in(photo, (share, share, 0.0, 0.0), "white"))).any()


@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_photo_of_one_colour_has_no_frame(value: int) -> None:
    assert not find_frames(np.full((2, 64, 64), value, np.uint8)).any()


def test_a_line_is_of_one_colour_although_one_value_is_not() -> None:
    framed = thumbnail(ImageOps.expand(draw.draw("bag", 7), 40, "white")).copy()
    expected = find_frames(framed)
    framed[0, 0, 20], framed[0, 0, 40] = 0, 255

    assert find_frames(framed) == pytest.approx(expected, abs=0.005)
    assert expected.all()


def test_a_photos_frame_does_not_depend_on_the_photos_beside_it() -> None:
    photos = np.concatenate(
        [thumbnail(put_in(draw.draw(each, 3), BOXES[number % 5], "white")) for number, each in enumerate(GARMENTS)]
    )
    together = find_frames(photos)

    assert all((find_frames(photos[number : number + 1])[0] == together[number]).all() for number in range(len(photos)))
