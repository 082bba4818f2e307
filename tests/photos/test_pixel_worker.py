"""What a worker of stage preprocess takes for a mask, and what it refuses."""

import zlib

import numpy as np
import pytest
from PIL import Image

from imageset.errors import DataError
from imageset.photos.pixel_worker import read_mask
from imageset.photos.worker import PhotoRequest
from tests.photos.test_cache import OBJECT


@pytest.mark.parametrize("side", [1, 2, 64, 1024])
def test_a_mask_has_its_pixels_and_as_many_rows_as_columns(side: int) -> None:
    values = np.random.default_rng(side).integers(0, 256, (side, side), np.uint8)
    mask = read_mask(PhotoRequest(OBJECT, zlib.compress(values.tobytes())))

    assert isinstance(mask, Image.Image)
    assert (mask.mode, mask.size) == ("L", (side, side))
    assert (np.asarray(mask) == values).all()


def test_a_photo_without_a_mask_has_none() -> None:
    assert read_mask(PhotoRequest(OBJECT)) is None


@pytest.mark.parametrize("pixels", [0, 2, 3, 5, 6, 4095, 4097, 4160])
def test_a_mask_of_a_wrong_length_is_damaged(pixels: int) -> None:
    with pytest.raises(
        DataError, match=rf"^the mask of 1\.jpeg is damaged \({pixels} pixels are no square\): remove masks\.h5"
    ):
        read_mask(PhotoRequest(OBJECT, zlib.compress(bytes(pixels))))


@pytest.mark.parametrize("left", [0, 1, 10, -1])
def test_a_mask_that_is_cut_is_damaged(left: int) -> None:
    with pytest.raises(DataError, match=r"^the mask of 1\.jpeg is damaged \("):
        read_mask(PhotoRequest(OBJECT, zlib.compress(bytes(range(256)) * 16)[:left]))
