"""The components of the photos' features as bytes, so that the page finds the nearest photos by itself. Pure."""

import numpy as np
from numpy.typing import NDArray

MOST = 127  # of an int8


def shrink_components(components: NDArray[np.int64]) -> tuple[NDArray[np.int8], float]:
    """Return components, int64 (N, D), as int8 of one scale, and that scale: what 1 is worth.

    One scale for all, so that distances keep their order but for rounding.
    """
    largest = int(np.abs(components).max(initial=0))
    scale = max(largest, 1) / MOST
    return np.rint(components / scale).astype(np.int8), scale
