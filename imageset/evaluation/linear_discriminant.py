"""Linear discriminant analysis in closed form, from sums over the rows.

It has no seed, no iterations and no params, so two scores differ only by what is in the dataset.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import logsumexp

from imageset.evaluation.feature_blocks import FeatureBlock, Labels

Floats = NDArray[np.float64]

SHRINKAGE = 0.3  # of the covariance towards a sphere; the best of 0.03 to 0.8 in cross-validation on 571 photos
ROUNDING = 1 / 12  # variance that rounding to integers adds: a feature that never varies does not divide by 0
BEST = 5
DECIMALS = 6  # that decide: the last bits of floats differ between processors


class ClassSums:
    """What the classifier learns from: rows and photos of each class, sums of features and of their products.

    Features are integers up to 255, so the sums are exact up to 10**11 rows. Neither order nor blocks nor threads
    change a bit.

    Args:
        classes: how many classes there are.
    """

    def __init__(self, classes: int) -> None:
        self.rows = np.zeros(classes, np.int64)
        self.photos = np.zeros(classes, np.int64)
        self.features: Floats = np.zeros((classes, 0))
        self.products: Floats = np.zeros((0, 0))

    def add(self, block: FeatureBlock) -> None:
        """Add rows."""
        values = block.features.astype(np.float64)
        if not self.products.size:
            self.features = np.zeros((len(self.rows), values.shape[1]))
            self.products = np.zeros((values.shape[1], values.shape[1]))
        self.rows += np.bincount(block.labels, minlength=len(self.rows))
        self.photos += np.bincount(block.labels[block.plain], minlength=len(self.rows))
        present, places = np.unique(block.labels, return_inverse=True)
        self.features[present] += (places == np.arange(len(present))[:, None]).astype(np.float64) @ values
        self.products += values.T @ values

    def include(self, other: "ClassSums") -> None:
        """Add the rows of other sums."""
        if not other.rows.any():
            return
        if not self.rows.any():
            self.features, self.products = np.zeros(other.features.shape), np.zeros(other.products.shape)
        self.rows += other.rows
        self.photos += other.photos
        self.features += other.features
        self.products += other.products

    def without(self, part: "ClassSums") -> "ClassSums":
        """Return the sums over the rows that `part` lacks. All rows of `part` are in these sums, too.

        The sums are exact, so these are to the last bit those of a pass over the other rows alone.
        """
        if not part.rows.any():
            return self
        rest = ClassSums(len(self.rows))
        rest.rows, rest.photos = self.rows - part.rows, self.photos - part.photos
        rest.features, rest.products = self.features - part.features, self.products - part.products
        return rest


class Answers(NamedTuple):
    """What a classifier says of N rows.

    best: the likeliest labels, the likeliest first, int64 (N, up to BEST). probabilities: of the first, 0 to 1,
    float64 (N,); see `log_probabilities`.
    """

    best: Labels
    probabilities: Floats


class Classifier(NamedTuple):
    """Scores the classes that have training rows: features @ weights + bias."""

    labels: Labels
    weights: Floats
    bias: Floats

    def answer(self, values: NDArray[np.uint8]) -> Answers:
        """Return the likeliest labels of each row, uint8 (N, D), and the probability of the first."""
        # Rounded, so that scores that differ only in the last bits rank by label.
        scores = np.round(values.astype(np.float64) @ self.weights + self.bias, DECIMALS)
        best = np.asarray(self.labels[np.argsort(-scores, axis=1, kind="stable")[:, :BEST]])
        return Answers(best, np.exp(log_probabilities(scores).max(axis=1)))


def log_probabilities(scores: Floats) -> Floats:
    """Return the logarithm of the probability of each class, rounded: float64 (N, C).

    They are what the rows' classes would have if the model were true: normal classes that share a covariance. It is
    not, so they are too near to 0 and 1, unless the scores are divided by a temperature that fits.

    Args:
        scores: logarithms of the joint density of row and class, up to a constant of each row, (N, C); -inf for a
            class that the model lacks.
    """
    return np.asarray(np.round(scores - logsumexp(scores, axis=1, keepdims=True), DECIMALS))


def fit(sums: ClassSums, shrinkage: float = SHRINKAGE, borrowed: float = 0) -> Classifier:
    """Return the linear discriminant classifier of the rows that were added to `sums`.

    Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 4.3. LinearDiscriminantAnalysis of
    scikit-learn with solver lsqr and the same shrinkage gives the same, but needs all rows in memory.

    Args:
        sums: of at least one row.
        shrinkage: of the covariance towards a sphere, 0 to 1.
        borrowed: so many rows like the mean of all count for each class, which steadies the means of small classes.
    """
    labels = np.flatnonzero(sums.rows)
    rows = sums.rows[labels]
    middle = sums.features.sum(axis=0) / rows.sum()
    means = (sums.features[labels] + borrowed * middle) / (rows + borrowed)[:, None]
    covariance = estimate_covariance(sums, shrinkage)
    weights = scipy.linalg.solve(covariance, means.T, assume_a="pos")
    return Classifier(labels, weights, np.log(rows / rows.sum()) - (means.T * weights).sum(axis=0) / 2)


def estimate_covariance(sums: ClassSums, shrinkage: float) -> Floats:
    """Return the covariance that all classes share, around the mean of each, shrunk: float64 (D, D)."""
    labels = np.flatnonzero(sums.rows)
    means = sums.features[labels] / sums.rows[labels][:, None]
    within = (sums.products - means.T @ sums.features[labels]) / sums.rows.sum()
    variance = np.trace(within) / len(within)
    within *= 1 - shrinkage
    diagonal = np.einsum("ii->i", within)  # a view
    diagonal += shrinkage * variance
    diagonal += ROUNDING
    return np.asarray(within)
