"""What the methods see: whole numbers, the same whatever the blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from imageset.audit import features
from imageset.errors import DataError
from imageset.evaluation.hog_features import edges
from imageset.formats import hdf5, row_checksums


def test_embeddings_become_unit_roots_in_whole_numbers() -> None:
    embeddings = np.random.default_rng(0).gamma(0.3, 0.6, (50, 1280)).astype(np.float32)
    found = features.quantize_embeddings(embeddings)
    expected = np.sqrt(embeddings / embeddings.sum(axis=1, keepdims=True)) * features.LENGTH

    assert found.dtype == np.uint8
    assert np.abs(found - np.minimum(expected, 255)).max() < 0.6
    assert np.linalg.norm(found.astype(float), axis=1) == pytest.approx(features.LENGTH, rel=0.01)


def test_an_embedding_of_nothing_is_zeros_and_one_of_one_value_is_bounded() -> None:
    embeddings = np.zeros((2, 1280), np.float32)
    embeddings[1, 3] = 5.0
    found = features.quantize_embeddings(embeddings)

    assert not found[0].any()
    assert found[1].max() == 255


def test_edges_are_seen_at_three_scales() -> None:
    histograms = np.zeros((1, 768), np.uint8)
    histograms.reshape(8, 8, 12)[0, 0, 5] = 255
    found = features.widen_edges(histograms)
    fine, middle, coarse = np.split(found[0], [768, 768 + 7 * 7 * 12])

    assert found.shape == (1, 1656)
    assert (fine[fine > 0].tolist(), middle[middle > 0].tolist()) == ([255], [128])
    assert coarse[coarse > 0].tolist() == [64]


def test_the_views_are_the_photo_moved_both_ways_and_both_mirrored() -> None:
    there, back = np.full((2, 3, 64, 64, 1), 9, np.uint8)
    there[:, 8:50, 8:50] = np.random.default_rng(0).integers(0, 256, (3, 42, 42, 1), np.uint8)
    back[:, 12:54, 12:54] = there[:, 8:50, 8:50]  # by 4 pixels, as the two views of a photo are apart
    views = features.describe_thumbnails(there)
    middle = np.roll(there, features.MOVED, axis=(1, 2))[..., 0]

    assert views.shape == (4, 3, 1656)
    assert np.array_equal(views[:2], features.describe_thumbnails(back)[2:])
    for view, pixels in zip(views[:2], (middle, middle[:, :, ::-1]), strict=True):
        assert np.array_equal(view, features.widen_edges(edges(np.ascontiguousarray(pixels))))


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_blocks_change_nothing(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    rows = np.array([0, 3, 4, 9])
    images = random.integers(0, 256, (10, 64, 64, 1), np.uint8)
    embeddings = random.gamma(0.3, 0.6, (10, 1280)).astype(np.float32)
    monkeypatch.setattr(features, "PHOTOS_AT_ONCE", block)
    monkeypatch.setattr(features, "ROWS_A_PART", 8)
    with open_rows(tmp_path / "one.h5", hdf5.THUMBNAILS, "images", images) as thumbnails:
        described = list(features.of_thumbnails(thumbnails, rows).parts("thumbnails"))
        contrasts = features.read_contrasts(thumbnails, rows)
    with open_rows(tmp_path / "other.h5", hdf5.EMBEDDINGS, "embeddings", embeddings) as vectors:
        embedded = list(features.of_embeddings(vectors, rows).parts("embeddings"))

    assert np.array_equal(contrasts, features.measure_contrasts(images[rows]))
    assert [which for which, _ in described] == [slice(0, 2), slice(2, 4)]
    assert [which for which, _ in embedded] == [slice(0, 4)]
    for which, values in described:
        assert np.array_equal(values, features.describe_thumbnails(images[rows[which]]))
    assert np.array_equal(embedded[0][1][0], features.quantize_embeddings(embeddings[rows]))


@contextmanager
def open_rows(path: Path, kind: str, name: str, values: NDArray[Any]) -> Iterator[row_checksums.Rows]:
    """Write an array to a file of a kind, and yield its rows."""
    with hdf5.create(path, kind) as file:
        hdf5.add(file, name, values)
        row_checksums.finish(file)
    with row_checksums.open_file(path, kind) as file:
        yield row_checksums.Rows(file)


def test_photos_are_found_among_those_of_the_inventory(tmp_path: Path) -> None:
    photos = pd.DataFrame({"product_id": [2, 2**53 + 1], "position": [1, 0]})
    with h5py.File(tmp_path / "file.h5", "w") as file:
        hdf5.add(file, "ids", np.array([1, 2, 2, 2**53, 2**53 + 1], np.int64))
        hdf5.add(file, "positions", np.array([0, 0, 1, 0, 0], np.int16))
        found = features.find_embeddings(file, photos)

        assert found is not None
        assert found.tolist() == [2, 4]
        with pytest.raises(DataError, match="lacks product_id 2, position 2: run `dvc repro`"):
            features.find_embeddings(file, photos.assign(position=[2, 0]))


def test_contrasts_are_standard_deviations() -> None:
    thumbnails = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), np.uint8)
    thumbnails[1] = 77

    assert features.measure_contrasts(thumbnails) == pytest.approx(thumbnails.reshape(3, -1).std(axis=1))
    assert features.measure_contrasts(thumbnails)[1] == 0
