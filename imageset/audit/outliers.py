"""Which photos look like no class at all: a price tag among shoes, a screenshot, a picture of one colour. Pure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from imageset.audit.features import Features
from imageset.audit.folds import Folds
from imageset.audit.robust_scores import NORMAL, describe
from imageset.evaluation.linear_discriminant import ClassSums, Floats

UNIFORM = 4.0  # standard deviation of a thumbnail, of 255: a picture with less shows nothing
UNUSUAL = 3.0  # robust standard deviations from the median
MOST_LISTED = 0.05  # of the photos
ROWS_AT_ONCE = 2048
DECIMALS = 6
REASONS = FAR, PLAIN = "far_from_all", "uniform"


def find_centres(total: ClassSums, of_fold: Sequence[ClassSums]) -> list[Floats | None]:
    """Return for each fold the directions of the means of all classes without its photos, (C, D); None without any."""
    found: list[Floats | None] = []
    for part in of_fold:
        there = total.rows > part.rows
        centres = (total.features - (part.features if part.rows.any() else 0))[there]
        lengths = np.maximum(np.sqrt((centres**2).sum(axis=1, keepdims=True)), 1)
        found.append(centres / lengths if there.any() else None)
    return found


def measure_remoteness(features: Features, folds: Folds, centres: Sequence[Floats | None]) -> Floats:
    """Return how far each photo is from the class that is nearest to it, 0 to 1: float64 (N,).

    1 less the cosine of the angle to the nearest class mean (Mensink et al., Distance-Based Image Classification:
    Generalizing to New Classes at Near-Zero Cost, 2013). Photos of the photo's fold are in no mean, so neither it nor
    its group can draw a mean near. The nearest class is no further than the photo's own, so a photo that is far is far
    from its class and from everything. 0 where there are no other photos, and for a photo without features: it has no
    embedding, so nothing is known of it.

    Args:
        features: uint8 (V, N, D), of some photos.
        folds: of each of them, (N,).
        centres: of each fold, from `find_centres`.
    """
    found = np.zeros(features.shape[1])
    for number, means in enumerate(centres):
        rows = np.flatnonzero(folds == number)
        if means is None:
            continue
        for start in range(0, len(rows), ROWS_AT_ONCE):
            block = rows[start : start + ROWS_AT_ONCE]
            values = features[0, block].astype(np.float64)
            lengths = np.maximum(np.sqrt((values**2).sum(axis=1)), 1)
            remote = 1 - np.round((values @ means.T).max(axis=1) / lengths, DECIMALS)
            found[block] = np.where(values.any(axis=1), remote, 0.0)
    return np.round(found, DECIMALS)


def find_outliers(photos: pd.DataFrame, remoteness: Floats, contrasts: Floats) -> pd.DataFrame:
    """Return the photos that look like no class, the most suspect first, at most MOST_LISTED of all.

    Uniform pictures, and photos that are UNUSUAL robust standard deviations further from all classes than the median
    photo (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993).

    Args:
        photos: product_id, position and catalog_id of N photos.
        remoteness: from `measure_remoteness`, (N,).
        contrasts: the standard deviation of each thumbnail, 0 to 128, (N,).

    Returns:
        product_id, position, catalog_id, score (float64, 0 to 1: the remoteness, 1 for a uniform picture), why,
        suggestion (none).
    """
    is_plain = np.round(contrasts, DECIMALS) < UNIFORM
    middle, deviation = describe(remoteness)
    is_far = np.round(remoteness - middle - UNUSUAL * NORMAL * deviation, DECIMALS) > 0
    rows = photos[["product_id", "position", "catalog_id"]].assign(
        score=np.where(is_plain, 1.0, remoteness), why=np.where(is_plain, PLAIN, FAR), suggestion=None
    )
    order = ["score", "product_id", "position"]
    listed = rows[is_plain | is_far].sort_values(order, ascending=[False, True, True], kind="stable")
    return listed.head(max(int(MOST_LISTED * len(photos)), int(is_plain.sum()))).reset_index(drop=True)
