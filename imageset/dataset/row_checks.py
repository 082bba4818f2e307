"""What must hold for the rows of any dataset file, by its columns alone; pure, a few arrays as long as the rows."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.dataset.augment import copies_of
from imageset.formats import hdf5
from imageset.formats.hdf5 import Indices, RowColumns
from imageset.runtime.sections import AugmentParams

EXAMPLES = 5
COPIES_SHOWN = 8


class Check(NamedTuple):
    """One check: how many things it looked at, how many were wrong, examples of them, what to do about them."""

    name: str
    examined: int
    violations: int
    examples: list[str]
    advice: str = ""

    @property
    def passed(self) -> bool:
        return self.violations == 0

    def summary(self) -> str:
        """Return what is wrong, in one line."""
        advice = f" ({self.advice})" if self.advice else ""
        return f"{self.name}: {self.violations}, such as {self.examples[0]}{advice}"


@dataclass(frozen=True, eq=False)
class SubsetRows(RowColumns):
    """Rows of all subsets; subsets: of each row the place of its subset in hdf5.SUBSETS."""

    subsets: NDArray[np.int8]

    def describe(self, row: int) -> str:
        copy = f" copy {self.copies[row]}" if self.copies[row] else ""
        return f"{hdf5.SUBSETS[self.subsets[row]]} {self.ids[row]} {self.positions[row]}{copy}"


class Photos(NamedTuple):
    """Rows by photo. rows: sorted by subset, id, position and copy; of photo p, rows first[p] to first[p] + counts[p].

    whole: which photos stand there as themselves, copy 0; labels: what that row says, -1 without one.
    """

    rows: SubsetRows
    first: Indices
    counts: Indices
    whole: NDArray[np.bool_]
    labels: NDArray[np.int64]

    @property
    def subsets(self) -> NDArray[np.int8]:
        return self.rows.subsets[self.first]

    @property
    def number(self) -> Indices:
        """Of each row its photo's place."""
        return np.repeat(np.arange(len(self.first)), self.counts)


def check(name: str, examined: int, wrong: Indices, describe: Callable[[int], str], advice: str = "") -> Check:
    """Return a check's outcome; wrong: the places of what is wrong."""
    return Check(name, examined, len(wrong), [describe(place) for place in wrong[:EXAMPLES].tolist()], advice)


def starts(columns: tuple[NDArray[np.generic], ...]) -> Indices:
    """Return where another value than before begins in any of the columns."""
    changed = np.ones(len(columns[0]), bool)
    changed[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(changed)


def strays(subsets: NDArray[np.int8], *values: NDArray[np.generic]) -> tuple[Indices, Indices]:
    """Return the places that share their values with a place of an earlier subset, and of each that other place."""
    order = np.lexsort((subsets, *values))
    first = starts(tuple(column[order] for column in values))
    leader = np.repeat(order[first], np.diff(np.append(first, len(order))))
    stray = subsets[order] != subsets[leader]
    return order[stray], leader[stray]


def by_photo(rows: SubsetRows) -> Photos:
    rows = rows.take(np.lexsort((rows.copies, rows.positions, rows.ids, rows.subsets)))
    first = starts((rows.subsets, rows.ids, rows.positions))
    counts = np.diff(np.append(first, len(rows.ids)))
    plain = np.flatnonzero(rows.copies == 0)[::-1]  # of a photo that stands twice, the first row counts
    number = np.repeat(np.arange(len(first)), counts)[plain]
    whole, labels = np.zeros(len(first), bool), np.full(len(first), -1)
    whole[number], labels[number] = True, rows.labels[plain]
    return Photos(rows, first, counts, whole, labels)


def products_in_one_subset(photos: Photos) -> Check:
    """No product stands in two subsets."""
    rows = photos.rows.take(photos.first)
    wrong, others = strays(rows.subsets, rows.ids)
    other = dict(zip(wrong[:EXAMPLES].tolist(), others[:EXAMPLES].tolist(), strict=True))
    return check(
        "products_in_one_subset",
        len(rows.ids),
        wrong,
        lambda row: f"{rows.describe(row)} and {rows.describe(other[row])}",
    )


def pixels_in_one_subset(rows: SubsetRows, hashes: NDArray[np.uint64]) -> Check:
    """No row, augmented ones included, has the pixels of a row in another subset; hashes: of each row's, (N, 2)."""
    wrong, others = strays(rows.subsets, hashes[:, 1], hashes[:, 0])
    other = dict(zip(wrong[:EXAMPLES].tolist(), others[:EXAMPLES].tolist(), strict=True))
    return check(
        "pixels_in_one_subset",
        len(hashes),
        wrong,
        lambda row: f"{rows.describe(row)} with the pixels of {rows.describe(other[row])}",
        "blank images: raise preprocess.min_foreground or change preprocess.fill; "
        "others: raise duplicates.distance or lower duplicates.likeness",
    )


def augmented_as_photos(photos: Photos) -> Check:
    """Every augmented row has the id, position and label of a photo of its subset."""
    rows, number = photos.rows, photos.number
    augmented = rows.copies != 0
    alike = photos.whole[number] & (rows.labels == photos.labels[number])
    return check("augmented_as_photos", int(augmented.sum()), np.flatnonzero(augmented & ~alike), rows.describe)


def copies_complete(photos: Photos, chosen: AugmentParams) -> Check:
    """Every training photo has the copies that its label gets, numbered from 0, once each; other photos copy 0 alone.

    Rows without a photo are another check's.
    """
    rows, first = photos.rows, photos.first
    trained = photos.whole & (photos.subsets == 0)
    labels, inverse, numbers = np.unique(photos.labels[trained], return_inverse=True, return_counts=True)
    copies = copies_of(dict(zip(labels.tolist(), numbers.tolist(), strict=True)), chosen)
    due = np.ones(len(first), np.int64)
    due[trained] = np.array([copies[label] for label in labels.tolist()], np.int64)[inverse]
    misplaced = rows.copies != np.arange(len(rows.copies)) - np.repeat(first, photos.counts)
    wrong = photos.counts != due
    wrong[photos.number[misplaced]] = True

    def describe(photo: int) -> str:
        start, count = int(first[photo]), int(photos.counts[photo])
        found = [str(copy) for copy in rows.copies[start : start + min(count, COPIES_SHOWN)]]
        listed = " ".join([*found, "..."] if count > COPIES_SHOWN else found)
        return f"{rows.describe(start)} has copies {listed}, of {due[photo]} due"

    return check("copies_complete", len(first), np.flatnonzero(wrong & photos.whole), describe)


def labels_in_map(photos: Photos, label_count: int) -> Check:
    """Every label is a row of the label map."""
    rows = photos.rows
    wrong = np.flatnonzero((rows.labels < 0) | (rows.labels >= label_count))
    return check("labels_in_map", len(rows.labels), wrong, lambda row: f"{rows.describe(row)} label {rows.labels[row]}")


def label_map_complete(pairs: list[bytes], names: list[bytes]) -> Check:
    """Row l of the label map is "l,catalog_id" with a catalog_id of its own, and class l has a name."""
    wrong, seen = [], set()
    for label, pair in enumerate(pairs):
        match = re.fullmatch(rb"%d,(0|-?[1-9][0-9]{0,18})" % label, pair)
        if not match or match[1] in seen:
            wrong.append(f"row {label} of label_map is {pair!r}")
        seen.add(match[1] if match else None)
    if len(names) != len(pairs):
        wrong.append(f"{len(pairs)} labels and {len(names)} class names")
    wrong += [f"class name {label} is {name!r}" for label, name in enumerate(names) if not is_text(name)]
    return Check("label_map_complete", len(pairs), len(wrong), wrong[:EXAMPLES])


def is_text(value: bytes) -> bool:
    try:
        return bool(value.decode().strip())
    except UnicodeDecodeError:
        return False
