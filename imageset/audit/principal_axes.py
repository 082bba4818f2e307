"""Features as a few whole numbers: principal components, and the nearest photos by them. Pure.

Components are rounded to whole numbers. So distances are exact, and the last bits of a processor's floats decide
nothing that comes after.
"""

from collections.abc import Iterator

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from imageset.audit.features import Features
from imageset.evaluation.linear_discriminant import ClassSums, Floats
from imageset.runtime import progress

COMPONENTS = 50
STEPS = 4  # of a component, to one step of a feature
DECIMALS = 6
BLOCK_BYTES = 64 << 20
ROWS_AT_ONCE = 4096

Components = NDArray[np.int64]  # (N, P)


def find_axes(total: ClassSums) -> tuple[Floats, Floats]:
    """Return the mean of all rows, (D,), and the directions in which they vary most, (D, P), the first first.

    Hotelling, Analysis of a Complex of Statistical Variables into Principal Components, 1933: the eigenvectors of the
    covariance, which comes from exact sums. The largest value of a direction is positive.
    """
    rows = total.rows.sum()
    mean = total.features.sum(axis=0) / rows
    covariance = total.products / rows - np.outer(mean, mean)
    count, size = min(COMPONENTS, int(rows) - 1), len(mean)
    if count < 1:
        return mean, np.zeros((size, 0))
    _, axes = scipy.linalg.eigh(covariance, subset_by_index=(max(0, size - count), size - 1))
    axes = axes[:, ::-1]
    largest = np.abs(np.round(axes, DECIMALS)).argmax(axis=0)
    return mean, np.asarray(axes * np.sign(axes[largest, np.arange(axes.shape[1])]))


def project(features: Features, mean: Floats, axes: Floats) -> Components:
    """Return the components of photos, uint8 (V, N, D), of their first view: int64 (N, P), in steps of 1 / STEPS."""
    found = np.zeros((features.shape[1], axes.shape[1]), np.int64)
    for start in range(0, len(found), ROWS_AT_ONCE):
        values = features[0, start : start + ROWS_AT_ONCE].astype(np.float64)
        found[start : start + ROWS_AT_ONCE] = np.rint(STEPS * np.round((values - mean) @ axes, DECIMALS))
    return found


def find_nearest(components: Components, count: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the nearest other photos of each photo, and their distances: (N, count), the nearest first.

    All pairs are compared, so time grows with the square of the photos. Of equal distances the first photo is nearest.

    Args:
        components: from `project`.
        count: how many, at most N - 1.
    """
    values = components.astype(np.float64)
    nearest = np.zeros((len(values), count), np.int64)
    distances = np.zeros((len(values), count))
    with progress.bar(None, "audit: neighbours", len(values)) as bar:
        for rows, squares in compare(values):
            furthest = np.partition(squares, count - 1, axis=1)[:, count - 1]
            places, others = np.nonzero(squares <= furthest[:, None])
            found = squares[places, others]
            order = np.lexsort((others, found, places))
            first = np.searchsorted(places, np.arange(len(squares)))
            chosen = order[first[:, None] + np.arange(count)]
            nearest[rows], distances[rows] = others[chosen], np.sqrt(found[chosen])
            bar.update(len(squares))
    return nearest, distances


def compare(values: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield squared distances, (rows, N), a block of rows at a time; inf from a photo to itself."""
    lengths = (values**2).sum(axis=1)
    step = max(1, BLOCK_BYTES // (8 * len(values)))
    for start in range(0, len(values), step):
        rows = slice(start, min(start + step, len(values)))
        squares = values[rows] @ values.T
        squares *= -2
        squares += lengths
        squares += lengths[rows, None]
        squares[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
        yield rows, squares
