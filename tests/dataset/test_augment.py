"""Augmentation: each step does what its name says, as often as its probability, and depends on nothing else."""

import random
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from imageset.dataset.augment import augment_photo, luma
from imageset.formats.hdf5 import Pixels
from imageset.runtime.sections import AugmentParams

SIDE = 40
FILL = (250, 120, 10)
STILL: dict[str, Any] = {
    "copies": 5,
    "balance": "none",
    "max_copies": 20,
    "seed": 1,
    "flip_probability": 0.0,
    "rotate_probability": 0.0,
    "rotate_degrees": (-20.0, 20.0),
    "translate_probability": 0.0,
    "translate_share": (-0.1, 0.1),
    "blur_probability": 0.0,
    "blur_radius": (0.5, 1.0),
    "noise_probability": 0.0,
    "noise_stddev": (2.0, 10.0),
}
LIVELY = {name: 0.5 for name in STILL if name.endswith("_probability")}
PROBABILITIES = sorted(LIVELY)


def chosen(**changes: Any) -> AugmentParams:
    return AugmentParams(**(STILL | changes))


def photo(channels: int = 3) -> Pixels:
    """A photo without symmetry, each pixel another."""
    return np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, channels), np.uint8)


def flat(value: int, channels: int = 3) -> Pixels:
    return np.full((SIDE, SIDE, channels), value, np.uint8)


def difference(one: Pixels, other: Pixels) -> int:
    """Return by how much two photos differ at the most; interpolation may cut off a fraction."""
    return int(np.abs(one.astype(int) - other).max())


def copies(pixels: Pixels, params: AugmentParams, number: int) -> list[Pixels]:
    """Return one copy each of so many listings that have the same photo."""
    return [augment_photo(pixels, product_id, 0, 1, params, FILL) for product_id in range(number)]


@pytest.mark.parametrize("channels", [1, 3])
def test_copy_0_is_the_photo_and_the_others_differ(channels: int) -> None:
    results = [augment_photo(photo(channels), 42, 0, copy, chosen(**LIVELY), FILL) for copy in range(5)]

    assert (results[0] == photo(channels)).all()
    assert {(result.shape, result.dtype) for result in results} == {((SIDE, SIDE, channels), np.dtype(np.uint8))}
    assert len({result.tobytes() for result in results}) == 5


def test_without_any_step_every_copy_is_the_photo() -> None:
    assert all((copy == photo()).all() for copy in copies(photo(), chosen(), 20))


def test_a_copy_is_the_same_whatever_was_drawn_before_it() -> None:
    names = [(product_id, position, copy) for product_id in (1, 2) for position in (0, 1) for copy in (1, 2, 3)]
    params = chosen(**LIVELY)
    first = {name: augment_photo(photo(), *name, params, FILL).tobytes() for name in names}
    random.Random(5).shuffle(names)
    np.random.seed(7)  # the global generator must not matter
    again = {name: augment_photo(photo(), *name, params, FILL).tobytes() for name in names}

    assert again == first
    assert len(set(first.values())) == len(names)


def test_another_seed_gives_other_copies() -> None:
    one, other = (augment_photo(photo(), 42, 0, 1, chosen(seed=seed, noise_probability=1.0), FILL) for seed in (1, 2))

    assert (one != other).any()


def test_augmenting_leaves_the_photo_as_it_was() -> None:
    pixels = photo()
    for copy in range(1, 10):
        augment_photo(pixels, 42, 0, copy, chosen(**dict.fromkeys(PROBABILITIES, 1.0)), FILL)

    assert (pixels == photo()).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_flip_is_an_exact_mirror_image(channels: int) -> None:
    result = augment_photo(photo(channels), 42, 0, 1, chosen(flip_probability=1.0), FILL)

    assert (result == photo(channels)[:, ::-1]).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (180, 2), (-90, 3), (270, 3)])
def test_a_photo_turns_clockwise_about_its_centre(degrees: float, quarters: int, channels: int) -> None:
    params = chosen(rotate_probability=1.0, rotate_degrees=(degrees, degrees))
    result = augment_photo(photo(channels), 42, 0, 1, params, FILL)

    assert difference(result, np.rot90(photo(channels), -quarters)) <= 1


def test_a_flipped_photo_turns_the_same_way() -> None:
    params = chosen(flip_probability=1.0, rotate_probability=1.0, rotate_degrees=(90.0, 90.0))

    result = augment_photo(photo(), 42, 0, 1, params, FILL)

    assert difference(result, np.rot90(photo()[:, ::-1], -1)) <= 1


def test_a_small_turn_leaves_the_centre_and_fills_the_corners() -> None:
    pixels = flat(0)
    pixels[SIDE // 2 - 3 : SIDE // 2 + 3, SIDE // 2 - 3 : SIDE // 2 + 3] = 200
    for result in copies(pixels, chosen(rotate_probability=1.0, rotate_degrees=(10.0, 20.0)), 10):
        rows, columns = np.nonzero(result[..., 0] == 200)

        assert (rows.mean(), columns.mean()) == pytest.approx((SIDE / 2 - 0.5, SIDE / 2 - 0.5), abs=0.6)
        assert all(tuple(result[row, column]) == FILL for row in (0, -1) for column in (0, -1))


@pytest.mark.parametrize(("channels", "background"), [(1, (luma(FILL),)), (3, FILL)])
def test_a_photo_moves_by_the_share_and_leaves_the_fill_behind(channels: int, background: tuple[int, ...]) -> None:
    params = chosen(translate_probability=1.0, translate_share=(0.25, 0.25))
    result = augment_photo(photo(channels), 42, 0, 1, params, FILL)
    moved = SIDE // 4

    assert (result[moved:, moved:] == photo(channels)[:-moved, :-moved]).all()
    assert (result[:moved] == background).all()
    assert (result[:, :moved] == background).all()


def test_moves_stay_in_their_range_and_fill_it_on_each_axis() -> None:
    pixels = flat(0)
    pixels[SIDE // 2, SIDE // 2] = 255
    results = copies(pixels, chosen(translate_probability=1.0, translate_share=(-0.25, 0.125)), 200)
    places = np.array([np.unravel_index(result[..., 2].argmax(), (SIDE, SIDE)) for result in results])
    shares = (places - SIDE // 2) / SIDE

    assert shares.min() == pytest.approx(-0.25, abs=0.03)
    assert shares.max() == pytest.approx(0.125, abs=0.03)
    assert abs(np.corrcoef(shares[:, 0], shares[:, 1])[0, 1]) < 0.2


@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_step_happens_as_often_as_its_probability(name: str) -> None:
    changed = [bool((copy != photo()).any()) for copy in copies(photo(), chosen(**{name: 0.3}), 1000)]

    assert sum(changed) / 1000 == pytest.approx(0.3, abs=0.05)


def test_steps_happen_independently_of_each_other() -> None:
    pixels = flat(100)
    pixels[:, : SIDE // 2] = 0
    results = copies(pixels, chosen(flip_probability=0.5, noise_probability=0.5), 800)
    flipped = [result[:, :5].mean() > 50 for result in results]
    noisy = [len(np.unique(result)) > 2 for result in results]

    assert abs(np.corrcoef(flipped, noisy)[0, 1]) < 0.1


def test_another_probability_leaves_the_draws_of_the_other_steps() -> None:
    calm, flipped = (
        augment_photo(flat(120), 42, 0, 1, chosen(noise_probability=1.0, flip_probability=share), FILL)
        for share in (0.0, 1.0)
    )

    assert (calm == flipped).all()
    assert (calm != flat(120)).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_has_its_standard_deviation_and_a_value_for_each_pixel_and_channel(channels: int) -> None:
    noise = (
        augment_photo(
            flat(128, channels), 42, 0, 1, chosen(noise_probability=1.0, noise_stddev=(10.0, 10.0)), FILL
        ).astype(int)
        - 128
    )

    assert noise.std() == pytest.approx(10, rel=0.05)
    assert abs(noise.mean()) < 0.8
    assert channels == 1 or abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("value", [0, 255])
def test_noise_on_black_and_white_does_not_wrap_around(value: int) -> None:
    noisy = augment_photo(flat(value), 42, 0, 1, chosen(noise_probability=1.0, noise_stddev=(10.0, 10.0)), FILL)

    assert np.abs(noisy.astype(int) - value).max() < 80
    assert (noisy != value).any()


def test_blur_smooths_and_keeps_the_mean() -> None:
    blurred = augment_photo(photo(), 42, 0, 1, chosen(blur_probability=1.0), FILL)

    assert blurred.std() < 0.8 * photo().std()
    assert blurred.mean() == pytest.approx(photo().mean(), abs=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"rotate_degrees": (20.0, -20.0)},
        {"noise_stddev": (-1.0, 2.0)},
        {"blur_radius": (-0.1, 1.0)},
        {"copies": 0},
        {"copies": 40_000},
        {"flip_probability": 1.5},
        {"translate_share": (0.1,)},
        {"seed": 1.5},
        {"hue_probability": 0.5},
    ],
)
def test_params_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        chosen(**changes)
