"""What covers a part of a photo leaves the hashes of some windows as they were; plain windows tell nothing."""

import numpy as np
import pytest

from imageset.curation.window_hashes import WINDOWS, hash_windows
from imageset.formats.hdf5 import Pixels
from sandbox import draw
from tests.planted import encode, prepared


def noise(count: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64), np.uint8)


@pytest.mark.parametrize(("across", "down"), [(across, down) for across in range(0, 65, 8) for down in range(0, 65, 8)])
def test_a_sticker_anywhere_leaves_a_window_as_it_was(across: int, down: int) -> None:
    covered = noise(1)
    covered[:, max(0, down - 9) : down + 9, max(0, across - 9) : across + 9] = 255

    assert (hash_windows(covered)[0] == hash_windows(noise(1))[0]).any()


def test_other_photos_have_other_hashes_in_every_window() -> None:
    hashes, tells = hash_windows(noise(2))

    assert (hashes[0] != hashes[1]).all()
    assert tells.all()


def test_a_plain_window_tells_nothing() -> None:
    half = noise(1)
    half[:, :, :32] = np.random.default_rng(1).integers(200, 203, (64, 32))
    _, tells = hash_windows(half)

    assert [bool(told) for told in tells[0]] == [right < 0.5 for _, right, _, _ in WINDOWS]


def test_the_windows_of_a_drawn_photo_tell_it_from_another_of_its_kind() -> None:
    photos = np.stack([prepared(encode(draw.draw("pants", seed))).thumbnail[..., 0] for seed in range(20)])
    hashes, tells = hash_windows(photos)

    for number in range(len(WINDOWS)):
        told = hashes[tells[:, number], number]
        assert len(set(told.tolist())) == len(told)
