"""Which masks look wrong: unlike those of their class, cut through the garment, or unsure. Pure.

No mask is known to be right, so each is compared with the masks of its class, and with its photo.
benchmarks/audit/README.md has the figures that chose the weights. The share at the border and the number of pieces,
which masks.csv has too, found nothing that these do not, so they have no weight.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.audit.mask_measures import MaskMeasures, Shapes
from imageset.audit.robust_scores import CENTRE_PRIOR, standardize
from imageset.audit.suspects import DECIMALS
from imageset.evaluation.feature_blocks import Labels
from imageset.evaluation.linear_discriminant import Floats

# The smallest deviations that count, of logarithms and of shares.
LIKENESS_DEVIATION, OUTLINE_DEVIATION, UNCERTAINTY_DEVIATION, SHARE_DEVIATION = 0.05, 0.05, 0.1, 0.1
LEAST_LIKENESS, LEAST_UNCERTAINTY, LEAST_SHARE = 0.01, 0.003, 0.005  # less is no worse, and has a logarithm

ROWS_AT_ONCE = 4096

# The weight of each z-score, and the highest that counts: how far a mask is beyond says nothing.
LIKENESS_WEIGHT, HIGHEST_UNLIKENESS = 0.75, 5.0
OUTLINE_WEIGHT, HIGHEST_OUTLINE = 0.5, 5.0
UNCERTAINTY_WEIGHT, HIGHEST_UNCERTAINTY = 0.6, 10.0
UNUSUAL_SHARE = 2.0  # z-score of the garment's share from which the reason names it

REASONS = ("large_foreground", "small_foreground", "unlike_class", "unsure", "weak_outline")


def compare_shapes(shapes: Shapes, classes: Labels, groups: Labels) -> Floats:
    """Return how much each mask, as it is or mirrored, overlaps the mean mask of its class.

    The overlap is Ruzicka's, the sum of the smaller values over the sum of the larger ones: of two masks of 0 and 1 it
    is the intersection over the union. The photo's own group does not count in the mean. The mean mask of all photos
    weighs as much as CENTRE_PRIOR photos in it, so that one photo is no model for another.

    Args:
        shapes: uint8 (N, SHAPE_SIDE, SHAPE_SIDE).
        classes: the class of each photo, int64 (N,).
        groups: photos of one garment have one number, int64 (N,).

    Returns:
        float64 (N,), 0 to 1, from exact integers.
    """
    likeness = np.zeros(len(shapes))
    if not len(shapes):
        return likeness
    flat = shapes.reshape(len(shapes), -1)
    prior = CENTRE_PRIOR * (flat.sum(axis=0, dtype=np.int64) // len(flat))
    order = np.lexsort((groups, classes))
    for rows in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        parts = split_groups(rows, groups)
        total = sum((flat[part].sum(axis=0, dtype=np.int64) for part in parts), prior)
        for part in parts:
            _, starts, group, sizes = np.unique(
                groups[part], return_index=True, return_inverse=True, return_counts=True
            )
            # Exact below 8 million photos of a group.
            sums = np.add.reduceat(flat[part], starts, axis=0, dtype=np.int32)
            others, photos = total - sums[group], len(rows) - sizes[group][:, np.newaxis] + CENTRE_PRIOR
            sides = (side.reshape(len(part), -1) * photos for side in (shapes[part], shapes[part, :, ::-1]))
            likeness[part] = np.maximum(*(overlap(values, others) for values in sides))
    return likeness


def split_groups(rows: Labels, groups: Labels) -> list[Labels]:
    """Return rows in the order of their groups as parts of whole groups, about ROWS_AT_ONCE rows each."""
    starts = np.flatnonzero(np.diff(groups[rows])) + 1
    places = np.searchsorted(starts, np.arange(ROWS_AT_ONCE, len(rows), ROWS_AT_ONCE))
    return np.split(rows, np.unique(starts[places[places < len(starts)]]))


def overlap(values: Labels, others: Labels) -> Floats:
    """Return the sums of the smaller values over the sums of the larger ones, of each row of two arrays."""
    larger = np.maximum(values, others).sum(axis=1)
    return np.asarray(np.minimum(values, others).sum(axis=1) / np.maximum(larger, 1))


def score_masks(photos: pd.DataFrame, measures: MaskMeasures) -> tuple[Floats, NDArray[np.str_]]:
    """Return how wrong each mask looks, and why.

    A score adds weighted robust z-scores within the class (`robust_scores.standardize`): of the likeness to the class's
    mean mask, and of the weak outline. Or, if that is more, it is that of the uncertainty alone: a mask that is smoke
    may have the right shape.

    Args:
        photos: product_id, position, catalog_id and group of N photos with masks.
        measures: of their masks.

    Returns:
        scores float64 (N,), rounded as `suspects.most_suspect` lists them, and reasons (N,), of REASONS.
    """
    classes = photos["catalog_id"].to_numpy(np.int64)
    groups = photos["group"].to_numpy(np.int64)
    likeness = np.log(np.maximum(compare_shapes(measures.shapes, classes, groups), LEAST_LIKENESS))
    uncertainty = np.log(np.maximum(measures.uncertainty, LEAST_UNCERTAINTY))
    share = np.log(np.maximum(measures.foreground_share, LEAST_SHARE))
    unlike = LIKENESS_WEIGHT * np.clip(-standardize(likeness, classes, LIKENESS_DEVIATION), 0, HIGHEST_UNLIKENESS)
    outline = OUTLINE_WEIGHT * np.clip(
        standardize(measures.weak_outline, classes, OUTLINE_DEVIATION), 0, HIGHEST_OUTLINE
    )
    unsure = UNCERTAINTY_WEIGHT * np.clip(
        standardize(uncertainty, classes, UNCERTAINTY_DEVIATION), 0, HIGHEST_UNCERTAINTY
    )
    size = standardize(share, classes, SHARE_DEVIATION)
    why = np.select(
        [unsure > unlike + outline, outline > unlike, size <= -UNUSUAL_SHARE, size >= UNUSUAL_SHARE],
        ["unsure", "weak_outline", "small_foreground", "large_foreground"],
        "unlike_class",
    )
    return np.asarray(np.round(np.maximum(unlike + outline, unsure), DECIMALS), np.float64), why
