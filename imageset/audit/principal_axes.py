"""Features as a few whole numbers: principal components, and the nearest photos by them. Pure.

Components are rounded to whole numbers. So distances are exact, and the last bits of a processor's floats decide
nothing that comes after. They fit into int16: the features of an embedding are 1,600 long, those of a thumbnail at most
5,600, so a photo is at most 7,900 from the mean, which is 31,600 steps.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from imageset.audit.features import Features
from imageset.evaluation.linear_discriminant import ClassSums, Floats
from imageset.runtime import progress

COMPONENTS = 50
STEPS = 4  # of a component, to one step of a feature
DECIMALS = 6
BLOCK_BYTES = 16 << 20
ROWS_AT_ONCE = 4096
MOST_COMPARED = 20_000  # photos whose pairs are all compared
NEAR_CELLS = 64  # more find more of the nearest photos, and take longer

Components = NDArray[np.int16]  # (N, P)
Rows = NDArray[np.int64]


class Neighbours(NamedTuple):
    """The nearest other photos of n photos, the nearest first, and the squares of their distances.

    rows: the photos, int64 (n,). nearest: int32 (n, K). squares: whole numbers, below 2**31, int32 (n, K).
    """

    rows: Rows
    nearest: NDArray[np.int32]
    squares: NDArray[np.int32]


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
    """Return the components of photos, uint8 (V, N, D), of their first view: int16 (N, P), in steps of 1 / STEPS."""
    found = np.zeros((features.shape[1], axes.shape[1]), np.int16)
    for start in range(0, len(found), ROWS_AT_ONCE):
        values = features[0, start : start + ROWS_AT_ONCE].astype(np.float64)
        values -= mean
        found[start : start + ROWS_AT_ONCE] = np.rint(STEPS * np.round(values @ axes, DECIMALS))
    return found


def find_nearest(components: Components, count: int) -> Iterator[Neighbours]:
    """Yield the nearest other photos of some photos at a time, until each photo was one of them.

    Up to MOST_COMPARED photos, all pairs are compared. Of more photos, those of near cells are (see `pair_cells`). Of
    equal distances the first photo is nearest.

    Args:
        components: from `project`.
        count: how many, at most N - 1.
    """
    everyone = np.arange(len(components))
    pairs = pair_cells(components, count) if len(components) > MOST_COMPARED else [(everyone, everyone)]
    with progress.bar(None, "audit: neighbours", len(components)) as bar:
        for cell, candidates in pairs:
            for rows, squares in compare(components, cell, candidates):
                furthest = np.partition(squares, count - 1, axis=1)[:, count - 1]
                places, others = np.nonzero(squares <= furthest[:, None])
                found = squares[places, others]
                order = np.lexsort((others, found, places))
                first = np.searchsorted(places, np.arange(len(squares)))
                chosen = order[first[:, None] + np.arange(count)]
                yield Neighbours(rows, candidates[others[chosen]].astype(np.int32), found[chosen].astype(np.int32))
                bar.update(len(rows))


def pair_cells(values: Components, count: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield the photos of each cell, and those that may be near them: of the NEAR_CELLS nearest cells, ascending.

    A cell is what is nearest to one of sqrt(N) photos (Sivic and Zisserman, Video Google, 2003: an inverted file). So
    time grows with N**1.5 and not with N**2. Distances are whole numbers, so cells are the same on every processor.

    Args:
        values: components, (N, P).
        count: a photo gets at least so many others.
    """
    cells = math.isqrt(len(values))
    centres = values[np.arange(cells) * len(values) // cells]
    own = np.concatenate([squares.argmin(axis=1) for squares in measure_blocks(values, centres)])
    members = np.split(np.argsort(own, kind="stable"), np.cumsum(np.bincount(own, minlength=cells))[:-1])
    sizes = np.array([len(rows) for rows in members])
    of_cells = (squares for block in measure_blocks(centres, centres) for squares in block)
    for rows, squares in zip(members, of_cells, strict=True):
        near = np.argsort(squares, kind="stable")
        enough = int(np.searchsorted(np.cumsum(sizes[near]), count + 1)) + 1
        if len(rows):
            yield rows, np.sort(np.concatenate([members[cell] for cell in near[: max(NEAR_CELLS, enough)]]))


def compare(values: Components, rows: Rows, others: Rows) -> Iterator[tuple[Rows, Floats]]:
    """Yield some of the rows with their squared distances to all others; inf from a photo to itself.

    Args:
        values: components, (N, P).
        rows: ascending; all of them are among the others.
        others: ascending.
    """
    start = 0
    for squares in measure_blocks(values[rows], values[others]):
        block = rows[start : start + len(squares)]
        squares[np.arange(len(block)), np.searchsorted(others, block)] = np.inf
        yield block, squares
        start += len(block)


def measure_blocks(values: Components, components: Components) -> Iterator[Floats]:
    """Yield squared distances, from a block of rows at a time to all other rows. They are whole numbers, so exact."""
    others = components.astype(np.float64)
    lengths = (others**2).sum(axis=1)
    step = max(1, BLOCK_BYTES // (8 * len(others)))
    for start in range(0, len(values), step):
        block = values[start : start + step].astype(np.float64)
        squares = block @ others.T
        squares *= -2
        squares += lengths
        squares += (block**2).sum(axis=1)[:, None]
        yield squares
