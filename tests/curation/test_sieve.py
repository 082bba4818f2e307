"""Signs of frequencies: nearly the same of one photo, however it is turned or cropped, and of no other photo."""

import numpy as np
import pytest

from imageset.curation import sieve
from imageset.curation.views import HALVES, VIEWS, hash_views, turn_back, view_frequencies
from imageset.formats.hdf5 import Pixels
from sandbox import draw
from tests import planted


@pytest.fixture(scope="module")
def photos() -> Pixels:
    """Six t-shirts, uint8 (6, 64, 64)."""
    drawn = [planted.prepared(planted.encode(draw.draw("t-shirt", seed))) for seed in range(6)]
    return np.stack([photo.thumbnail[..., 0] for photo in drawn])


def may_agree(photos: Pixels, others: Pixels, view: int = 0) -> list[bool]:
    _, signs = sieve.hash_with_signs(photos)
    agree: list[bool] = sieve.may_agree(signs, sieve.box_signs(others), np.full(len(photos), view)).tolist()
    return agree


def test_hashes_are_those_of_the_views(photos: Pixels) -> None:
    hashes, signs = sieve.hash_with_signs(photos)

    assert np.array_equal(hashes, hash_views(view_frequencies(photos)))
    assert np.array_equal(signs[:, 0], sieve.box_signs(photos))
    assert signs.shape == (6, len(VIEWS), 4)


@pytest.mark.parametrize("turn", range(8))
def test_a_photo_may_show_the_same_as_itself_turned_whichever_view_led_there(turn: int, photos: Pixels) -> None:
    turned = turn_back(photos.astype(np.float64), np.full(len(photos), turn)).astype(np.uint8)

    assert may_agree(photos, turned, view=7) == [True] * 6


def test_photos_of_other_garments_may_not(photos: Pixels) -> None:
    assert may_agree(photos, np.roll(photos, 1, axis=0)) == [False] * 6


def test_a_half_may_differ_by_more_than_another_view(photos: Pixels) -> None:
    _, signs = sieve.hash_with_signs(photos)
    half = next(number for number, view in enumerate(VIEWS) if view[:4] in HALVES)
    wanted = sieve.OF_A_HALF - sieve.OF_ANY_VIEW
    assert wanted > 0
    others = signs[:, half].copy()
    others[:, 0] ^= np.uint64(2**sieve.OF_ANY_VIEW - 1)
    others[:, 1] ^= np.uint64(2**wanted - 1)

    assert sieve.count_differing(signs[:, half], others).tolist() == [sieve.OF_A_HALF] * 6
    assert sieve.may_agree(signs, others, np.full(6, half)).tolist() == [True] * 6
    assert sieve.may_agree(signs, others, np.zeros(6, np.intp)).tolist() == [False] * 6
    others[:, 2] ^= np.uint64(1)
    assert sieve.may_agree(signs, others, np.full(6, half)).tolist() == [False] * 6


@pytest.mark.parametrize("differing", [0, 1, 100, 256])
def test_differing_signs_are_counted(differing: int) -> None:
    bits = np.zeros(256, np.uint8)
    bits[:differing] = 1
    signs = np.packbits(bits).view(np.uint64)

    assert sieve.count_differing(signs, np.zeros(4, np.uint64)) == differing
