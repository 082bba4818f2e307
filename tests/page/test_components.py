"""What the page finds neighbours by."""

from pathlib import Path

import numpy as np
import pytest

from imageset.formats import hdf5, row_checksums
from imageset.page.components import read_components, shrink_components


def test_the_nearest_photos_are_nearly_all_those_of_the_exact_components() -> None:
    rng = np.random.default_rng(1)
    components = np.rint(rng.normal(0, 1, (500, 50)) * 2000 / (1 + np.arange(50))).astype(np.int16)
    small, scale = shrink_components(components)

    def nearest(values: np.ndarray) -> np.ndarray:
        exact = values.astype(np.float64)
        distances = ((exact[:, None] - exact[None]) ** 2).sum(axis=2) + np.diag([np.inf] * len(exact))
        return np.argsort(distances, axis=1)[:, :8]

    shared = [len(set(one) & set(other)) for one, other in zip(nearest(components), nearest(small), strict=True)]
    assert np.mean(shared) > 7.5
    assert np.abs(small * scale - components).max() <= scale / 2 + 1e-9


def test_components_are_those_of_the_rows_that_are_asked_for_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = np.arange(30, dtype=np.int16).reshape(10, 3)
    with hdf5.create(tmp_path / "components.h5", hdf5.COMPONENTS) as file:
        hdf5.add(file, "components", components)
        row_checksums.finish(file)
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 24)  # four rows
    wanted = np.array([7, 0, 8, 3, 9])
    with row_checksums.open_file(tmp_path / "components.h5", hdf5.COMPONENTS) as file:
        rows = row_checksums.Rows(file)

        assert read_components(rows, wanted).tolist() == components[wanted].tolist()
        assert read_components(rows, wanted[:0]).shape == (0, 3)


def test_photos_that_are_all_alike_have_components_of_nothing() -> None:
    small, scale = shrink_components(np.zeros((3, 2), np.int16))

    assert small.tolist() == [[0, 0]] * 3
    assert scale > 0
