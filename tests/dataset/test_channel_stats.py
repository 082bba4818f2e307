"""Sums that are exact, whatever the order."""

import numpy as np
import pytest

from imageset.dataset.channel_stats import Moments
from imageset.formats.hdf5 import Pixels

IMAGES: Pixels = np.random.default_rng(1).integers(0, 256, (6, 4, 4, 3), np.uint8)


def test_moments_are_exact_in_any_order() -> None:
    forwards, backwards = Moments(3), Moments(3)
    forwards.add(IMAGES)
    for image in IMAGES[::-1]:
        backwards.add(image[np.newaxis])

    assert forwards.mean() == backwards.mean()
    assert forwards.std() == backwards.std()


def test_moments_are_those_of_each_channel() -> None:
    moments = Moments(3)
    moments.add(IMAGES[:2])
    moments.add(IMAGES[:0])
    moments.add(IMAGES[2:])

    assert moments.mean() == pytest.approx(IMAGES.mean(axis=(0, 1, 2)), rel=1e-12)
    assert moments.std() == pytest.approx(IMAGES.std(axis=(0, 1, 2)), rel=1e-12)


def test_one_colour_does_not_deviate() -> None:
    moments = Moments(1)
    moments.add(np.full((50, 8, 8, 1), 251, np.uint8))

    assert (moments.mean(), moments.std()) == ([251.0], [0.0])
