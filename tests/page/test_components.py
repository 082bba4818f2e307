"""What the page finds neighbours by."""

import numpy as np

from imageset.page.components import shrink_components


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


def test_photos_that_are_all_alike_have_components_of_nothing() -> None:
    small, scale = shrink_components(np.zeros((3, 2), np.int16))

    assert small.tolist() == [[0, 0]] * 3
    assert scale > 0
