"""The drawn photos: size, content, and the same photo for the same seed."""

import numpy as np
import pytest

from sandbox.draw import draw
from sandbox.garments import GARMENTS


@pytest.mark.parametrize("garment", GARMENTS)
def test_every_garment_fills_a_fair_part_of_a_portrait_photo(garment: str) -> None:
    photo = draw(garment, 4)
    assert photo.mode == "RGB"
    assert 400 <= photo.width < photo.height <= 720
    grey = np.asarray(photo.convert("L"), np.float64)
    background = np.median(np.concatenate([grey[:8].ravel(), grey[-8:].ravel()]))
    assert 0.05 < np.mean(np.abs(grey - background) > 35) < 0.8


def test_the_same_seed_draws_the_same_photo() -> None:
    assert draw("bag", 7).tobytes() == draw("bag", 7).tobytes()


def test_another_seed_draws_another_photo() -> None:
    assert len({draw("bag", seed).tobytes() for seed in range(6)}) == 6


def test_another_garment_with_the_same_seed_is_another_photo() -> None:
    assert len({draw(garment, 0).tobytes() for garment in GARMENTS}) == len(GARMENTS)


def test_an_unknown_garment_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'sock'.*t-shirt.*scarf"):
        draw("sock", 0)
