"""The map: photos that look alike are near each other, and the same photos get the same map."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from imageset.audit import folds, photo_map, principal_axes
from imageset.audit.features import Features, describe_thumbnails, quantize_embeddings
from imageset.evaluation.linear_discriminant import Floats
from stages.audit import find_forces
from tests.audit.photos import make_features


def reduce(features: Features) -> principal_axes.Components:
    own = np.zeros(features.shape[1], np.int64)
    total, _ = folds.sum_folds([(slice(None), features)], own, own, 1)
    return principal_axes.project(features, *principal_axes.find_axes(total))


def draw(features: Features) -> Floats:
    components = reduce(features)
    return photo_map.draw_map(photo_map.start_places(components), find_forces(components, Path())).T


def find_nearest(components: principal_axes.Components, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nearest photos of all photos, and the squares of their distances."""
    nearest, squares = np.full((2, len(components), count), -1)
    for found in principal_axes.find_nearest(components, count):
        assert (nearest[found.rows] == -1).all()
        nearest[found.rows], squares[found.rows] = found.nearest, found.squares
    return nearest, squares


def test_photos_of_a_kind_are_near_each_other() -> None:
    own = np.repeat(np.arange(5), 40)
    places = draw(make_features(own))
    distances = np.linalg.norm(places[:, None] - places, axis=2) + np.diag(np.full(200, np.inf))

    assert (own[distances.argmin(axis=1)] == own).mean() > 0.98
    assert np.abs(places.mean(axis=0)).max() < 1e-9


def test_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA  # a second of each collection

    features = make_features(np.arange(150) % 3)
    components = reduce(features)
    theirs = PCA(30, svd_solver="full").fit_transform(features[0].astype(float))

    assert components.dtype == np.int16
    for ours, expected in zip(components.T[:30] / principal_axes.STEPS, theirs.T, strict=True):
        assert min(np.abs(ours - expected).max(), np.abs(ours + expected).max()) < 0.2


def test_the_nearest_are_those_of_a_search_of_all_pairs_and_ties_go_to_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    components = np.random.default_rng(0).integers(-3, 4, (60, 2), np.int16)
    squares = ((components[:, None] - components) ** 2).sum(axis=2) + np.diag(np.full(60, 1000))
    expected = np.argsort(squares, axis=1, kind="stable")[:, :9]
    for block in (1, 8 * 60 * 7, 1 << 20):
        monkeypatch.setattr(principal_axes, "BLOCK_BYTES", block)
        nearest, found = find_nearest(components, 9)

        assert nearest.tolist() == expected.tolist()
        assert found.tolist() == np.take_along_axis(squares, expected, axis=1).tolist()


def test_of_many_photos_most_of_the_nearest_are_found_without_comparing_all(monkeypatch: pytest.MonkeyPatch) -> None:
    components = reduce(make_features(np.arange(2000) % 40, spread=10))
    nearest, _ = find_nearest(components, 20)
    compared = []
    measure_blocks = principal_axes.measure_blocks

    def count_pairs(values: principal_axes.Components, others: principal_axes.Components) -> Iterator[Floats]:
        compared.append(len(values) * len(others))
        return measure_blocks(values, others)

    monkeypatch.setattr(principal_axes, "measure_blocks", count_pairs)
    monkeypatch.setattr(principal_axes, "MOST_COMPARED", 1999)
    monkeypatch.setattr(principal_axes, "NEAR_CELLS", 8)
    found, squares = find_nearest(components, 20)
    overlap = np.mean([len(np.intersect1d(*rows)) / 20 for rows in zip(nearest, found, strict=True)])

    assert sum(compared) < 2000**2 / 2
    assert overlap > 0.8
    own = np.arange(2000)[:, None]
    assert (found != own).all()
    assert np.array_equal(squares, ((components[found].astype(int) - components[own]) ** 2).sum(axis=2))
    assert (np.diff(squares) >= 0).all()


@pytest.mark.parametrize("near", [1, 12])
def test_cells_find_what_all_pairs_do_where_they_are_all_near(near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """149 others are wanted of 150 photos, so all cells are searched, also where one would be enough."""
    components = np.random.default_rng(0).integers(-3, 4, (150, 2), np.int16)
    expected = find_nearest(components, 149)
    monkeypatch.setattr(principal_axes, "MOST_COMPARED", 0)
    monkeypatch.setattr(principal_axes, "NEAR_CELLS", near)

    assert all(map(np.array_equal, find_nearest(components, 149), expected))


def test_many_equal_photos_have_enough_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    components = np.zeros((50, 3), np.int16)
    monkeypatch.setattr(principal_axes, "MOST_COMPARED", 0)
    nearest, squares = find_nearest(components, 5)

    assert nearest[[0, 1, 9]].tolist() == [[1, 2, 3, 4, 5], [0, 2, 3, 4, 5], [0, 1, 2, 3, 4]]
    assert not squares.any()


@pytest.mark.parametrize("photos", [1, 2, 3, 5])
def test_few_photos_have_places(photos: int) -> None:
    places = draw(make_features(np.zeros(photos, np.int64)))

    assert places.shape == (photos, 2)
    assert np.isfinite(places).all()


def test_equal_photos_have_places() -> None:
    places = draw(np.full((1, 30, 8), 9, np.uint8))

    assert np.isfinite(places).all()


def test_threads_change_no_bit() -> None:
    features = make_features(np.arange(90) % 3)
    maps = []
    for threads in (1, 4):
        with threadpool_limits(limits=threads):
            maps.append(draw(features))

    assert np.array_equal(*np.round(maps, 2))


def test_the_largest_components_fit_into_int16() -> None:
    """Of photos as unlike each other as can be."""
    embeddings = np.repeat(np.eye(2, dtype=np.float32), 640, axis=1)
    stripes = np.zeros((2, 64, 64, 1), np.uint8)
    stripes[0, :, ::4], stripes[1, ::4] = 255, 255
    for values in (quantize_embeddings(embeddings)[None], describe_thumbnails(stripes)):
        assert 2500 < np.abs(reduce(values)).max() <= np.iinfo(np.int16).max


def test_other_photos_are_those_of_one_draw() -> None:
    """A draw of a row at a time takes half the memory. The map depends on the numbers."""
    drawn = np.random.default_rng(1).integers(0, 98, (5, 99))
    expected = drawn + (drawn >= np.arange(99))

    assert np.array_equal(photo_map.draw_others(99, 5, np.random.default_rng(1)), expected)
