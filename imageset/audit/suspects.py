"""The photos that a method finds suspect, in the order of their scores. Pure."""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_LISTED = 0.1  # of the photos
LISTED = 3.0  # a score below, as a robust z-score of an ordinary value has, is nothing unusual
DECIMALS = 4


def most_suspect(photos: pd.DataFrame, scores: NDArray[np.float64], why: NDArray[np.str_]) -> pd.DataFrame:
    """Return the photos with scores of at least LISTED, the highest first, by name where scores are equal.

    At most MOST_LISTED of all: a person looks at the first.

    Args:
        photos: product_id, position and catalog_id of N photos.
        scores: float64 (N,).
        why: the reason of each, (N,).

    Returns:
        product_id, position, catalog_id, score (float64, rounded), why, suggestion (none).
    """
    scores = np.round(scores, DECIMALS)
    is_listed = scores >= LISTED
    listed = photos.loc[is_listed, ["product_id", "position", "catalog_id"]].assign(
        score=scores[is_listed], why=why[is_listed].astype(object), suggestion=None
    )
    ordered = listed.sort_values(["score", "product_id", "position"], ascending=[False, True, True], kind="stable")
    return ordered.head(math.ceil(MOST_LISTED * len(photos))).reset_index(drop=True)
