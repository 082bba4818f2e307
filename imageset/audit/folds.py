"""Which photos are judged together by a model that learned from none of their groups. Pure."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from imageset.audit.features import Features
from imageset.evaluation.feature_blocks import FeatureBlock, Labels
from imageset.evaluation.linear_discriminant import ClassSums
from imageset.formats.stable_hash import rank

FOLDS = 10
ROWS_AT_ONCE = 8192

Folds = NDArray[np.int64]


def deal_folds(labels: Labels, groups: NDArray[np.int64], folds: int = FOLDS) -> Folds:
    """Return the fold of each photo, 0 to folds - 1; photos of one group have one fold.

    Stratified: the groups of each class are dealt one after the other, in the order of a hash. So a class of two groups
    or more is in two folds, unless a group has photos of several classes: it is dealt with the class of its first
    photo. A class whose photos are all in one fold has no model there, and nothing is said of their labels.

    Args:
        labels: the class of each photo, int64 (N,).
        groups: the group of each photo, int64 (N,).
        folds: how many.
    """
    names, first, places = np.unique(groups, return_index=True, return_inverse=True)
    hashes = np.array([rank(int(name)) for name in names], np.uint64)
    order = np.lexsort((names, hashes, labels[first]))
    dealt = np.zeros(len(names), np.int64)
    dealt[order] = np.arange(len(names)) % folds
    return np.asarray(dealt[places])


def sum_folds(
    parts: Iterable[tuple[slice, Features]], labels: Labels, folds: Folds, classes: int
) -> tuple[ClassSums, list[ClassSums]]:
    """Return the sums over all photos, and those of each fold, in one pass.

    Args:
        parts: which photos a part is of, and their features, uint8 (V, n, D).
        labels: the class of each photo, 0 to classes - 1, int64 (N,).
        folds: from `deal_folds`, (N,).
        classes: how many classes there are.
    """
    of_fold = [ClassSums(classes) for _ in range(FOLDS)]
    for which, features in parts:
        if not of_fold[0].products.size:
            make_room(of_fold, features.shape[2])
        add_part(of_fold, features, labels[which], folds[which])
    total = ClassSums(classes)
    for sums in of_fold:
        total.include(sums)
    return total, of_fold


def make_room(of_fold: Sequence[ClassSums], size: int) -> None:
    """Give all folds their sums of so many features in one piece: the C library gives back large pieces alone."""
    products = np.zeros((len(of_fold), size, size))
    for sums, room in zip(of_fold, products, strict=True):
        sums.features, sums.products = np.zeros((len(sums.rows), size)), room


def add_part(of_fold: Sequence[ClassSums], features: Features, labels: Labels, folds: Folds) -> None:
    """Add some photos to the sums of their folds."""
    views = len(features)
    step = ROWS_AT_ONCE // views
    for number, sums in enumerate(of_fold):
        rows = np.flatnonzero(folds == number)
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            # All views at once: each call passes over D x D sums, which take longer than the rows of small datasets.
            values = features[:, block].reshape(-1, features.shape[2])
            plain = np.repeat(np.arange(views) == 0, len(block))
            sums.add(FeatureBlock(values, np.tile(labels[block], views), plain))
