"""How unusual is a value among those of its class? Robust z-scores. Pure."""

import numpy as np

from imageset.evaluation.feature_blocks import Labels
from imageset.evaluation.linear_discriminant import Floats

NORMAL = 1.4826  # the standard deviation of a normal distribution, as a multiple of its median absolute deviation
# The whole set counts in a class as much as so many of its photos: where its centre is, and how wide its spread, which
# a few photos tell less well.
CENTRE_PRIOR, SPREAD_PRIOR = 3, 20
DECIMALS = 6  # that decide: logarithms differ in their last bits between processors


def standardize(values: Floats, classes: Labels, smallest: float) -> Floats:
    """Return the robust z-score of each value within its class.

    (value - median) / (1.4826 MAD), as in Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993: the outliers
    themselves hardly move the median and the median absolute deviation. Both are shrunk to those of all values: of a
    class of n photos the median counts n / (n + CENTRE_PRIOR), the deviation n / (n + SPREAD_PRIOR).

    Args:
        values: float64 (N,).
        classes: the class of each value, int64 (N,).
        smallest: the smallest deviation that counts, in the unit of the values. Where nearly all values are equal, one
            that differs by little is no outlier.

    Returns:
        float64 (N,), rounded to six decimals.
    """
    if not len(values):
        return np.zeros(0)
    values = np.round(values, DECIMALS)
    median, deviation = describe(values)
    scores = np.zeros(len(values))
    order = np.argsort(classes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        own = values[rows]
        own_median, own_deviation = describe(own)
        middle = blend(own_median, median, len(rows), CENTRE_PRIOR)
        spread = NORMAL * blend(own_deviation, deviation, len(rows), SPREAD_PRIOR)
        scores[rows] = (own - middle) / max(spread, smallest)
    return np.round(scores, DECIMALS)


def describe(values: Floats) -> tuple[float, float]:
    """Return the median and the median absolute deviation of values."""
    median = float(np.median(values))
    return median, float(np.median(np.abs(values - median)))


def blend(own: float, common: float, count: int, prior: int) -> float:
    """Return the mean of a class's value and the common one, which weigh as many photos as given."""
    return (count * own + prior * common) / (count + prior)
