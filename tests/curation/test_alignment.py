"""Cropped copies are aligned with their photo again, and only details count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from imageset.curation import alignment
from imageset.curation.alignment import Images
from imageset.curation.views import Boxes
from imageset.photos import pixels
from tests import planted

UNHURRIED = settings(deadline=None)  # other processes share the cores
WHOLE = np.zeros((1, 4))
CROPS = [
    (0.0, 0.0, 0.0, 0.0),
    (0.05, 0.05, 0.05, 0.05),
    (0.05, 0.0, 0.0, 0.0),
    (0.0, 0.02, 0.03, 0.0),
    (0.013, 0.042, 0.007, 0.028),
    (0.0, 0.05, 0.05, 0.0),
]


def texture(seed: int) -> Image.Image:
    """A photo of clouds and grain: with details of every size."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.normal(0, 1, (side, side)).astype(np.float32)).resize(
                (800, 800), Image.Resampling.BICUBIC
            )
        )
        for side in (5, 12, 30, 80)
    ]
    return Image.fromarray(np.clip(128 + 25 * np.sum(layers, axis=0), 0, 255).astype(np.uint8))


def small(photo: Image.Image) -> Images:
    return np.asarray(pixels.make_thumbnail(photo), np.float64)[np.newaxis]


def align(images: Images, others: Images, boxes: Boxes) -> Boxes:
    """Return the final boxes, by the same steps as in aligned_likeness."""
    limits = np.maximum(boxes - alignment.REACH, alignment.MIN_CUT), boxes + alignment.REACH
    for side, steps in alignment.SIDES_AND_STEPS:
        boxes = alignment.align(alignment.shrink(images, side), alignment.shrink(others, side), boxes, steps, limits)
    return boxes


@pytest.mark.parametrize("cut", CROPS)
def test_a_crop_is_found_from_the_whole_photo(cut: tuple[float, float, float, float]) -> None:
    photo = texture(1)

    found = align(small(photo), small(planted.crop(photo, cut)), WHOLE)[0]

    assert np.abs(found - cut).max() < 0.005


@pytest.mark.parametrize("cut", CROPS)
def test_the_details_of_a_crop_agree_with_its_photo(cut: tuple[float, float, float, float]) -> None:
    photo = texture(2)

    assert alignment.aligned_likeness(small(photo), small(planted.crop(photo, cut)), WHOLE)[0] > 0.9


def test_a_crop_is_found_when_the_search_begins_with_it() -> None:
    photo, cut = texture(3), (0.05, 0.05, 0.0, 0.05)

    assert alignment.aligned_likeness(small(photo), small(planted.crop(photo, cut)), np.array([cut]))[0] > 0.9


@pytest.mark.parametrize(("gain", "bias"), [(0.5, 0), (1, 60), (0.6, 90), (1.4, -40), (0.2, 10)])
def test_gain_and_bias_do_not_matter(gain: float, bias: float) -> None:
    photo = texture(4)
    image, other = small(photo), small(planted.crop(photo, (0.03, 0.01, 0.02, 0.04)))

    found = alignment.aligned_likeness(image, other * gain + bias, WHOLE)

    assert found == pytest.approx(alignment.aligned_likeness(image, other, WHOLE), abs=0.02)


def test_a_photo_is_wholly_like_itself() -> None:
    assert alignment.aligned_likeness(small(texture(5)), small(texture(5)), WHOLE)[0] == 1


def test_a_negative_is_not_like_its_photo() -> None:
    image = small(texture(5))

    assert alignment.aligned_likeness(image, 255 - image, WHOLE)[0] < 0.2


def test_other_textures_are_not_alike() -> None:
    images = np.concatenate([small(texture(seed)) for seed in range(12)])

    assert np.abs(alignment.aligned_likeness(images, np.roll(images, 1, axis=0), WHOLE.repeat(12, 0))).max() < 0.5


def test_an_outline_in_common_is_not_enough() -> None:
    across, down = np.meshgrid(np.arange(64) - 32, np.arange(64) - 30)
    garment = 120 * (across**2 + down**2 < 400)
    one, other = (small(texture(seed)) / 10 + garment for seed in (10, 11))

    assert alignment.aligned_likeness(one, other, WHOLE)[0] < 0.6


@pytest.mark.parametrize("seed", range(5))
def test_a_sticker_changes_neither_the_fit_nor_the_likeness(seed: int) -> None:
    photo, cut = texture(20 + seed), (0.05, 0.0, 0.02, 0.03)
    copy = planted.crop(photo, cut)
    place = 150 * seed
    copy.paste(255, (place, 300, place + 160, 460))

    assert np.abs(align(small(photo), small(copy), WHOLE)[0] - cut).max() < 0.01
    assert alignment.aligned_likeness(small(photo), small(copy), WHOLE)[0] > 0.95


def test_what_covers_more_than_a_few_tiles_counts() -> None:
    photo = texture(30)
    copy = photo.copy()
    copy.paste(texture(31).crop((0, 0, 400, 800)), (0, 0))

    assert alignment.aligned_likeness(small(photo), small(copy), WHOLE)[0] < 0.75


def test_the_tiles_that_differ_most_do_not_count() -> None:
    image = np.random.default_rng(0).normal(0, 1, (1, 56, 56))
    other, count = image.copy(), round(alignment.COVERED * 49)
    other[:, :8, : 8 * count] = 9

    assert alignment.correlation(image, other)[0] == pytest.approx(1)
    other[:, 8:16, :8] = 9
    assert alignment.correlation(image, other)[0] < 0.9


FLAT = np.full((1, 64, 64), 90.0)


@pytest.mark.parametrize(
    ("image", "other"),
    [
        (FLAT, FLAT),
        (FLAT, small(texture(6))),
        (small(texture(6)), FLAT),
        (FLAT * 0, FLAT * 0),
        (FLAT * 0, small(texture(6))),
    ],
)
def test_an_image_without_details_is_like_no_other(image: Images, other: Images) -> None:
    assert alignment.aligned_likeness(image, other, WHOLE)[0] == 0


STRANGE = {
    "flat": FLAT[0],
    "black": FLAT[0] * 0,
    "white": FLAT[0] * 0 + 255,
    "texture": small(texture(7))[0],
    "one value": np.eye(1, 64 * 64, 2080).reshape(64, 64) * 255,
    "half": np.repeat([0.0, 255], 32)[:, np.newaxis].repeat(64, 1),
    "stripes": np.tile([0.0, 255], 32)[np.newaxis].repeat(64, 0),
    "slope": np.arange(64.0)[np.newaxis].repeat(64, 0),
    "chequered": np.indices((64, 64)).sum(0) % 2 * 255.0,
    "almost flat": FLAT[0] + np.eye(64),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_images_have_a_likeness_between_minus_one_and_one(name: str) -> None:
    others = np.stack(list(STRANGE.values()))
    images = np.broadcast_to(STRANGE[name], others.shape)
    found = alignment.aligned_likeness(images, others, np.zeros((len(others), 4)))

    assert (np.abs(found) <= 1).all()  # false of NaN


@settings(UNHURRIED, max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 255), st.lists(st.floats(-0.03, 0.09), min_size=4, max_size=4))
def test_random_images_have_a_likeness_from_any_box(seed: int, most: int, box: list[float]) -> None:
    rng = np.random.default_rng(seed)
    images, others = rng.integers(0, most + 1, (2, 1, 64, 64)).astype(np.float64)

    assert np.abs(alignment.aligned_likeness(images, others, np.array([box])))[0] <= 1


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_pairs_likeness_does_not_depend_on_the_pairs_beside_it(at_once: int) -> None:
    images = np.concatenate([small(texture(seed)) for seed in range(10)])
    others = np.concatenate([small(planted.crop(texture(seed % 6), (0.04, 0.01, 0.0, 0.05))) for seed in range(10)])
    boxes: NDArray[np.float64] = np.full((10, 4), 0.02)
    together = alignment.aligned_likeness(images, others, boxes)
    parts = [
        alignment.aligned_likeness(*(values[start : start + at_once] for values in (images, others, boxes)))
        for start in range(0, 10, at_once)
    ]

    assert (np.concatenate(parts) == together).all()


def test_cuts_stay_within_their_limits() -> None:
    rng = np.random.default_rng(8)
    images, others = rng.integers(0, 256, (2, 20, 64, 64)).astype(np.float64)
    found = align(images, others, np.zeros((20, 4)))

    assert found.min() >= alignment.MIN_CUT
    assert found.max() <= alignment.REACH


def test_shrinking_takes_the_mean_of_each_square() -> None:
    assert alignment.shrink(np.arange(16.0).reshape(1, 4, 4), 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]


def test_a_crop_to_the_whole_image_is_the_image() -> None:
    image = small(texture(9))

    assert np.abs(alignment.crop(image, WHOLE)[0] - image).max() < 1e-9
