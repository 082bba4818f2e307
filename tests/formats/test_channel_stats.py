"""Sums that are exact, whatever the order."""

import numpy as np
import pytest

from imageset.formats.channel_stats import ChannelStats
from imageset.formats.hdf5 import Pixels

IMAGES: Pixels = np.random.default_rng(1).integers(0, 256, (6, 4, 4, 3), np.uint8)


def test_moments_are_exact_in_any_order() -> None:
    forwards, backwards = ChannelStats(3), ChannelStats(3)
    forwards.add(IMAGES)
    for image in IMAGES[::-1]:
        backwards.add(image[np.newaxis])

    assert forwards.mean() == backwards.mean()
    assert forwards.std() == backwards.std()


def test_moments_are_those_of_each_channel() -> None:
    stats = ChannelStats(3)
    stats.add(IMAGES[:2])
    stats.add(IMAGES[:0])
    stats.add(IMAGES[2:])

    assert stats.mean() == pytest.approx(IMAGES.mean(axis=(0, 1, 2)), rel=1e-12)
    assert stats.std() == pytest.approx(IMAGES.std(axis=(0, 1, 2)), rel=1e-12)


def test_one_colour_does_not_deviate() -> None:
    stats = ChannelStats(1)
    stats.add(np.full((50, 8, 8, 1), 251, np.uint8))

    assert (stats.mean(), stats.std()) == ([251.0], [0.0])
