"""Weights of classes for a loss, from their number of items. Pure."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["inverse", "effective"]


def weigh_classes(counts: NDArray[np.int64], scheme: Scheme, beta: float) -> NDArray[np.float64]:
    """Return the weight of each class, normalised so that its mean over all items is 1.

    Args:
        counts: Number of items of each class, int64 (K,).
        scheme: "inverse": 1 / n for a class of n items, so all classes count the same. "effective": 1 / E(n), where
            E(n) = (1 - beta^n) / (1 - beta) is the effective number of Cui et al., Class-Balanced Loss Based on
            Effective Number of Samples, CVPR 2019.
        beta: From 0 (all classes have one weight) to below 1 (near 1 it is "inverse"), for "effective".

    Returns:
        float64 (K,). Classes without items have 0.

    Raises:
        ValueError: The scheme is unknown, or beta is out of range.

    >>> weigh_classes(np.array([1, 3, 0]), "inverse", 0.0)
    array([2.        , 0.66666667, 0.        ])
    >>> weigh_classes(np.array([1, 3, 0]), "effective", 0.5)
    array([1.47368421, 0.84210526, 0.        ])
    """
    if scheme not in ("inverse", "effective"):
        raise ValueError(f"scheme is {scheme!r}, it must be 'inverse' or 'effective'")
    if not 0 <= beta < 1:
        raise ValueError(f"beta is {beta}, it must be 0 or more and below 1")
    present = counts > 0
    items = counts[present].astype(np.float64)
    if scheme == "inverse":
        raw = 1 / items
    elif beta == 0:
        raw = np.ones(len(items))
    else:
        raw = (1 - beta) / -np.expm1(items * np.log(beta))
    weights = np.zeros(len(counts))
    weights[present] = raw * items.sum() / (raw * items).sum()
    return weights
