"""Folds for cross-validation: whole groups, classes spread evenly. Pure."""

import numpy as np

from imageset.formats.hdf5 import Indices


def deal_groups(labels: Indices, groups: Indices, folds: int) -> Indices:
    """Return the fold of each row. Rows of one group have one fold.

    The contract is that of scikit-learn's StratifiedGroupKFold without shuffling. The largest groups are dealt first,
    of equals the lower number. Each goes to the fold where it adds least to the sum of the squares of rows by class and
    fold; of equals to the one with the fewest rows, then to the first. The order of the rows does not matter.

    Args:
        labels: Class of each row, int64 (N,), 0 or more.
        groups: Group of each row, int64 (N,).
        folds: Number of folds, at least 2.

    Returns:
        int64 (N,), 0 to folds - 1. Every fold has a group.

    Raises:
        ValueError: There are fewer groups than folds, or `folds` is below 2.

    >>> deal_groups(np.array([0, 0, 0, 1, 1, 1]), np.array([7, 7, 8, 9, 4, 3]), 2)
    array([0, 0, 1, 1, 0, 1])
    """
    names, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if not 2 <= folds <= len(names):
        raise ValueError(f"k is {folds}, it must be from 2 to the number of groups, {len(names)}")
    classes = int(labels.max()) + 1
    pairs, counts = np.unique(numbers * classes + labels, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(len(names) + 1) * classes)
    of_class, of_fold = np.zeros((classes, folds), np.int64), np.zeros(folds, np.int64)
    dealt = np.zeros(len(names), np.int64)
    for group in np.lexsort((names, -sizes)).tolist():
        here = slice(starts[group], starts[group + 1])
        present, rows = pairs[here] % classes, counts[here]
        # (t + n)^2 - t^2 = 2tn + n^2, and n^2 is the same in every fold.
        fold = np.lexsort((of_fold, rows @ of_class[present]))[0]
        of_class[present, fold] += rows
        of_fold[fold] += sizes[group]
        dealt[group] = fold
    return dealt[numbers]
