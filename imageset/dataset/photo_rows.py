"""The rows of a dataset file by photo, and what they share across subsets."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.formats import hdf5, source_ids
from imageset.formats.hdf5 import Indices, RowColumns


@dataclass(frozen=True, eq=False)
class SubsetRows(RowColumns):
    """Rows of all subsets. subsets: the place of each row's subset in hdf5.SUBSETS."""

    subsets: NDArray[np.int8]

    def describe(self, row: int) -> str:
        copy = f" copy {self.copies[row]}" if self.copies[row] else ""
        return f"{hdf5.SUBSETS[self.subsets[row]]} {source_ids.text(self.ids[row])} {self.positions[row]}{copy}"


class Photos(NamedTuple):
    """Rows by photo.

    rows: sorted by subset, id, position and copy. Photo p has rows first[p] to first[p] + counts[p] - 1.
    has_original: whether a photo has copy 0, the photo itself. labels: the label of that row; -1 without one.
    """

    rows: SubsetRows
    first: Indices
    counts: Indices
    has_original: NDArray[np.bool_]
    labels: NDArray[np.int64]

    @property
    def subsets(self) -> NDArray[np.int8]:
        return self.rows.subsets[self.first]

    @property
    def number(self) -> Indices:
        """The place of each row's photo."""
        return np.repeat(np.arange(len(self.first)), self.counts)


def by_photo(rows: SubsetRows) -> Photos:
    """Return the rows sorted by photo."""
    rows = rows.take(np.lexsort((rows.copies, rows.positions, rows.ids, rows.subsets)))
    first = run_starts((rows.subsets, rows.ids, rows.positions))
    counts = np.diff(np.append(first, len(rows.ids)))
    plain = np.flatnonzero(rows.copies == 0)[::-1]  # if a photo is there twice, its first row counts
    number = np.repeat(np.arange(len(first)), counts)[plain]
    has_original, labels = np.zeros(len(first), bool), np.full(len(first), -1)
    has_original[number], labels[number] = True, rows.labels[plain]
    return Photos(rows, first, counts, has_original, labels)


def run_starts(columns: tuple[NDArray[np.generic], ...]) -> Indices:
    """Return the places where any of the columns has another value than one place before."""
    changed = np.ones(len(columns[0]), bool)
    changed[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(changed)


def cross_subset_duplicates(subsets: NDArray[np.int8], *values: NDArray[np.generic]) -> tuple[Indices, Indices]:
    """Return the places whose values a place of an earlier subset has too, and that other place for each."""
    order = np.lexsort((subsets, *values))
    first = run_starts(tuple(column[order] for column in values))
    leader = np.repeat(order[first], np.diff(np.append(first, len(order))))
    is_elsewhere = subsets[order] != subsets[leader]
    return order[is_elsewhere], leader[is_elsewhere]
