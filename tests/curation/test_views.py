"""The hashes of a photo's views, computed from its thumbnail, are those of the photo really cropped and turned."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from imageset.curation.views import (
    FLIP,
    MIRROR,
    STEPS,
    TRANSPOSE,
    TURNS,
    VIEWS,
    View,
    cosine_matrix,
    hash_views,
    nearest_views,
    turn_back,
    view_frequencies,
)
from imageset.formats.hdf5 import Pixels
from imageset.photos import pixels
from sandbox import draw
from sandbox.garments import GARMENTS
from tests import planted

WHOLE, MIRRORED = VIEWS.index((0, 0, 0, 0, 0)), VIEWS.index((0, 0, 0, 0, MIRROR))


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [draw.draw(garment, 3).convert("L") for garment in GARMENTS]


@pytest.fixture(scope="module")
def thumbnails(photos: list[Image.Image]) -> Pixels:
    return np.stack([np.asarray(pixels.make_thumbnail(photo)) for photo in photos])


def noise(count: int, side: int = 64) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), np.uint8)


def hashes(thumbnails: Pixels) -> NDArray[np.uint64]:
    return hash_views(view_frequencies(thumbnails))


def turn(photo: Image.Image, how: int) -> Image.Image:
    """Return a photo turned as a view says."""
    photo = photo.transpose(Image.Transpose.TRANSPOSE) if how & TRANSPOSE else photo
    photo = ImageOps.flip(photo) if how & FLIP else photo
    return ImageOps.mirror(photo) if how & MIRROR else photo


def bits_apart(one: Any, other: Any) -> Any:
    return np.bitwise_count(np.asarray(one, np.uint64) ^ np.asarray(other, np.uint64))


def test_the_whole_photos_hash_is_that_of_imagehash(photos: list[Image.Image], thumbnails: Pixels) -> None:
    expected = [[int(text, 16) for text in pixels.hash_thumbnail(pixels.make_thumbnail(photo))] for photo in photos]

    assert bits_apart(hashes(thumbnails)[:, [WHOLE, MIRRORED]], expected).max() <= 2


def test_each_views_hash_is_that_of_the_photo_really_cropped_and_turned(
    photos: list[Image.Image], thumbnails: Pixels
) -> None:
    copies = [
        np.asarray(pixels.make_thumbnail(turn(planted.crop(photo, view[:4]), view.turn)))
        for photo in photos
        for view in VIEWS
    ]
    apart = bits_apart(hashes(np.stack(copies))[:, WHOLE].reshape(len(photos), len(VIEWS)), hashes(thumbnails))

    assert apart.max() <= 4
    assert apart.mean() < 0.5


@pytest.mark.parametrize("view", [view for view in VIEWS if not view.turn and set(view[:4]) <= {0, 0.05, 0.5}])
def test_a_cut_between_two_values_removes_whole_values(view: View) -> None:
    square = noise(2, 40)  # of which 5 % are two
    left, right, top, bottom = (round(40 * share) for share in view[:4])
    cropped = square[:, top : 40 - bottom, left : 40 - right].astype(np.float64)
    height, width = cropped.shape[1:]
    by_hand = cosine_matrix(0, 0, height) @ cropped @ cosine_matrix(0, 0, width).T

    assert np.abs(view_frequencies(square)[:, VIEWS.index(view)] - by_hand * STEPS).max() <= 1


def test_a_mirrored_view_is_the_view_of_the_mirrored_thumbnail() -> None:
    square = noise(3)
    plain = [view for view in VIEWS if view.turn in (0, MIRROR)]
    mirrored = [view._replace(left=view.right, right=view.left, turn=MIRROR - view.turn) for view in plain]
    numbers, turned = ([VIEWS.index(view) for view in views] for views in (plain, mirrored))

    assert np.abs(view_frequencies(square)[:, numbers] - view_frequencies(square[:, :, ::-1])[:, turned]).max() <= 1


def test_the_whole_photo_is_there_in_all_turns_and_every_crop_plain_and_mirrored() -> None:
    assert sorted(view.turn for view in VIEWS if not any(view[:4])) == list(range(TURNS))
    assert {view[:4] for view in VIEWS if not view.turn} == {view[:4] for view in VIEWS if view.turn == MIRROR}
    assert len(set(VIEWS)) == len(VIEWS)


def test_a_turned_image_is_turned_back() -> None:
    square = noise(1)[0]
    turned = np.stack([np.asarray(turn(Image.fromarray(square), how)) for how in range(TURNS)])

    assert (turn_back(turned.astype(np.float64), np.arange(TURNS)) == square).all()
    assert len({image.tobytes() for image in turned}) == TURNS


def test_a_cut_through_a_value_removes_a_share_of_it() -> None:
    flat_but_rim = np.zeros((1, 10, 10), np.uint8)
    flat_but_rim[:, :, 0] = 200
    found = view_frequencies(flat_but_rim)[0, VIEWS.index((0.05, 0, 0, 0, 0)), 0, 0]

    assert found == round(200 * 0.5 / 9.5 * STEPS)


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_flat_thumbnail_has_brightness_and_no_other_frequency(value: int) -> None:
    found = view_frequencies(np.full((1, 64, 64), value, np.uint8))

    assert (found[..., 0, 0] == value * STEPS).all()
    assert not found.reshape(len(VIEWS), -1)[:, 1:].any()


def test_all_views_of_flat_thumbnails_have_one_hash() -> None:
    flat = np.arange(1, 256, dtype=np.uint8)[:, np.newaxis, np.newaxis].repeat(64, 1).repeat(64, 2)

    assert set(hashes(flat).ravel().tolist()) == {1 << 63}
    assert set(hashes(flat[:1] * 0).ravel().tolist()) == {0}


@pytest.mark.parametrize("side", [8, 10, 32, 64, 100])
def test_thumbnails_may_have_other_sides(side: int) -> None:
    assert hashes(noise(2, side)).shape == (2, len(VIEWS))


def test_a_photos_frequencies_do_not_depend_on_the_photos_beside_it(thumbnails: Pixels) -> None:
    together = view_frequencies(thumbnails)

    assert all(
        (view_frequencies(thumbnails[number : number + 1])[0] == together[number]).all()
        for number in range(len(thumbnails))
    )


def test_frequencies_are_whole_numbers(thumbnails: Pixels) -> None:
    found = view_frequencies(thumbnails)

    assert (found == np.rint(found)).all()


def test_a_brighter_photo_has_the_same_hash(thumbnails: Pixels) -> None:
    dark, bright = thumbnails // 2, thumbnails // 2 + 100

    assert (hashes(dark)[:, WHOLE] == hashes(bright)[:, WHOLE]).all()


@pytest.mark.parametrize("view", VIEWS[::3])
def test_the_nearest_view_is_the_one_that_a_copy_was_made_by(
    view: View, photos: list[Image.Image], thumbnails: Pixels
) -> None:
    copies = [pixels.make_thumbnail(turn(planted.crop(photo, view[:4]), view.turn)) for photo in photos]
    others = view_frequencies(np.stack([np.asarray(copy) for copy in copies]))[:, WHOLE]
    numbers, alike = nearest_views(view_frequencies(thumbnails), others)
    found = [VIEWS[number] for number in numbers]

    # A symmetric garment may be found mirrored.
    assert sum(one == view for one in found) >= len(photos) - 1
    assert (np.abs(alike - 1) < 0.01).all()


def test_a_flat_thumbnail_has_a_nearest_view_as_well() -> None:
    found = view_frequencies(np.full((2, 64, 64), 9, np.uint8))

    assert [values.tolist() for values in nearest_views(found, found[:, WHOLE])] == [[0, 0], [0, 0]]


def test_the_likeness_of_views_is_the_same_in_both_directions(thumbnails: Pixels) -> None:
    found = view_frequencies(thumbnails)
    whole = found[:, [WHOLE]]
    alike = [nearest_views(one, other[:, 0])[1] for one, other in ((whole, whole[::-1]), (whole[::-1], whole))]

    assert (alike[0] == alike[1]).all()
