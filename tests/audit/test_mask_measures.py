"""The outline of a mask is held against its photo; masks and previews are read for the photos that are asked for."""

import io
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imageset.audit import mask_measures
from imageset.audit.mask_measures import OUTLINE_SIDE, measure_outline, read_measures, shrink_mask
from imageset.errors import DamagedFile, DataError
from imageset.formats.preview_file import writing_previews
from imageset.photos.mask_file import writing_masks
from imageset.photos.masks import describe_mask
from imageset.photos.outcomes import Rejected
from imageset.storage.bucket import StoredObject
from tests.audit.drawn_masks import CLOTH, GROUND, half, photo_of, shirt, shrink_photo, trousers

PHOTOS = [(5, 0), (5, 1), (7, 0), (9, 2)]  # of the inventory; the third cannot be decoded


def write_files(folder: Path) -> tuple[Path, Path]:
    """Write masks.h5 and previews.h5 of PHOTOS."""
    rng = np.random.default_rng(1)
    paths = folder / "masks.h5", folder / "previews.h5"
    with writing_masks(paths[0], len(PHOTOS), 96, "") as add, writing_previews(paths[1]) as add_preview:
        for number, photo in enumerate(PHOTOS):
            stored = StoredObject(f"photos/{photo}", "etag", 1, "")
            if number == 2:
                add(*photo, stored, Rejected("truncated"))
                continue
            mask = (trousers, shirt)[number % 2](rng)
            add(*photo, stored, describe_mask(Image.fromarray(mask), 96 * 96))
            file = io.BytesIO()
            Image.fromarray(photo_of(mask, rng)).resize((72, 96)).save(file, "JPEG", quality=90)
            add_preview(*photo, file.getvalue())
    return paths


def named(*photos: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(photos, columns=["product_id", "position"])


def test_masks_and_previews_are_those_of_the_photos_that_are_asked_for(tmp_path: Path) -> None:
    masks_h5, previews_h5 = write_files(tmp_path)

    measures = read_measures(masks_h5, previews_h5, named((9, 2), (5, 0)))
    assert measures is not None

    rng = np.random.default_rng(1)
    first = trousers(rng)
    assert (measures.shapes[1] == shrink_mask(shrink_mask(first, OUTLINE_SIDE), 16)).all()
    assert measures.foreground_share[1] == round(float(first.mean()) / 255, 4)
    assert 0 < measures.uncertainty[1] < 0.2
    assert measures.weak_outline.max() < 0.05
    assert (measures.shapes[0] != measures.shapes[1]).any()


def test_a_photo_that_a_file_lacks_is_named(tmp_path: Path) -> None:
    masks_h5, previews_h5 = write_files(tmp_path)

    with pytest.raises(DataError, match=r"masks.h5 lacks product_id 6, position 0: run `dvc repro`"):
        read_measures(masks_h5, previews_h5, named((5, 0), (6, 0)))
    with pytest.raises(DataError, match=r"previews.h5 lacks product_id 7, position 0: run `dvc repro`"):
        read_measures(masks_h5, previews_h5, named((7, 0)))


def test_a_mask_that_cannot_be_read_names_the_file(tmp_path: Path) -> None:
    masks_h5, previews_h5 = write_files(tmp_path)
    with h5py.File(masks_h5, "r+") as file:
        file["masks"].id.write_direct_chunk((1, 0, 0), b"no zlib")

    read_measures(masks_h5, previews_h5, named((5, 0), (9, 2)))
    with pytest.raises(DamagedFile, match=r"masks.h5 is damaged"):
        read_measures(masks_h5, previews_h5, named((5, 1)))


def test_a_preview_that_cannot_be_decoded_names_the_file(tmp_path: Path) -> None:
    masks_h5, previews_h5 = write_files(tmp_path)
    with h5py.File(previews_h5, "r+") as file:
        file["previews"][:50] = 0

    with pytest.raises(DamagedFile, match=r"previews.h5 is damaged"):
        read_measures(masks_h5, previews_h5, named((5, 0)))


def test_the_outline_of_a_good_mask_separates_colours_and_that_of_half_a_mask_does_not() -> None:
    rng = np.random.default_rng(2)
    mask = trousers(rng)
    photo = shrink_photo(photo_of(mask, rng))

    assert measure_outline(shrink_mask(mask, OUTLINE_SIDE), photo) < 0.02
    assert measure_outline(shrink_mask(half(mask[::-1].T), OUTLINE_SIDE), photo.transpose(1, 0, 2)[:, ::-1]) > 0.1


def test_the_photos_own_edge_is_no_outline() -> None:
    """A garment that is cut off by the photo is not cut off by its mask."""
    mask, photo = np.zeros((64, 64), np.uint8), np.full((64, 64, 3), GROUND, np.uint8)
    mask[:, 32:], photo[:, 32:] = 255, CLOTH

    assert measure_outline(mask, photo) == 0.0
    assert measure_outline(np.full_like(mask, 255), photo) == 0.0
    assert measure_outline(np.zeros_like(mask), photo) == 1.0


def test_window_sums_are_those_of_all_pixels_around() -> None:
    values = np.random.default_rng(3).integers(0, 256, (12, 12), np.uint8)
    padded = np.pad(values.astype(np.int64), 2)

    expected = [[padded[row : row + 5, column : column + 5].sum() for column in range(12)] for row in range(12)]

    assert mask_measures.window_sums(values).tolist() == expected


@pytest.mark.parametrize("side", [320, 224, 1024, 32])
def test_masks_of_every_side_are_shrunk_to_their_means(side: int) -> None:
    mask = np.zeros((side, side), np.uint8)
    mask[: side // 2] = 255

    shrunk = shrink_mask(mask, 16)

    assert shrunk.tolist() == [[255] * 16] * 8 + [[0] * 16] * 8
