"""Which photos look as if they were of another class: confident learning on probabilities out of fold. Pure.

Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, 2021. The probabilities are
those of a linear discriminant analysis with a shrunk covariance (imageset/evaluation/linear_discriminant.py) that
learned from no photo of the photo's fold, at the temperature that fits best (Guo et al., On Calibration of Modern
Neural Networks, 2017).

Of a photo whose class has photos in its own fold alone, such as a class of one group, nothing is known but that class:
it is never listed.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from imageset.audit.features import Features
from imageset.audit.folds import Folds
from imageset.evaluation.feature_blocks import Labels
from imageset.evaluation.linear_discriminant import (
    DECIMALS,
    Classifier,
    ClassSums,
    Floats,
    fit,
    log_probabilities,
)
from imageset.runtime import progress

SHRINKAGE = 0.7  # benchmarks/audit says what others give
BORROWED = 1.0  # photos like the mean of all that count for each class: without it, small classes have most suspects
TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0)
SAMPLE = 5000  # photos that choose the temperature
ROWS_AT_ONCE = 2048
CANDIDATES = 8  # likeliest classes of a photo that are kept
LEAST_LISTED, MOST_LISTED = 0.05, 0.1  # of the photos, if so many look like another class
REASONS = ("another_class",)


class Judgements(NamedTuple):
    """What models that did not learn from a photo say of it, a row each; classes are 0 to C - 1.

    own: probability of the photo's class; surprise: its negative logarithm, which orders what `own` rounds to 0.
    likeliest: int32 (N, K), the likeliest first; chances: their probabilities, float32, which has one value for each of
    six decimals. judged: whether the model knows the photo's class and another one, and the photo shows anything; the
    rest of a row means nothing where not.
    """

    judged: NDArray[np.bool_]
    own: Floats
    surprise: Floats
    likeliest: NDArray[np.int32]
    chances: NDArray[np.float32]


def learn(total: ClassSums, of_fold: Sequence[ClassSums], shrinkage: float = SHRINKAGE) -> list[Classifier | None]:
    """Return the model of each fold, which learned from all others; None where they have no photo."""
    models: list[Classifier | None] = []
    for part in progress.bar(of_fold, "audit: models", len(of_fold), unit="model"):
        rest = total.without(part)
        borrowed = BORROWED * rest.rows.sum() / max(1, rest.photos.sum())
        models.append(fit(rest, shrinkage, borrowed) if part.rows.any() and rest.rows.any() else None)
    return models


def judge(
    features: Features,
    labels: Labels,
    folds: Folds,
    models: Sequence[Classifier | None],
    classes: int,
    temperature: float,
    candidates: int = CANDIDATES,
) -> Judgements:
    """Return what the models say of each of some photos.

    Args:
        features: uint8 (V, N, D).
        labels: the class of each photo, 0 to classes - 1, int64 (N,).
        folds: the fold of each photo, (N,).
        models: of each fold, from `learn`.
        classes: how many classes there are.
        temperature: from `choose_temperature`.
        candidates: how many of the likeliest classes to keep.
    """
    found = judge_none(len(labels), classes, candidates)
    kept = found.likeliest.shape[1]
    for rows, scores in score(features, folds, models, classes):
        logarithms = log_probabilities(scores / temperature)
        own = logarithms[np.arange(len(rows)), labels[rows]]
        shows_something = features[0, rows].any(axis=1)
        found.judged[rows] = np.isfinite(own) & (np.isfinite(scores).sum(axis=1) > 1) & shows_something
        found.surprise[rows], found.own[rows] = -own, np.round(np.exp(own), DECIMALS)
        best = np.argsort(-logarithms, axis=1, kind="stable")[:, :kept]
        found.likeliest[rows] = best
        found.chances[rows] = np.round(np.exp(np.take_along_axis(logarithms, best, axis=1)), DECIMALS)
    return found


def judge_none(photos: int, classes: int, candidates: int = CANDIDATES) -> Judgements:
    """Return the judgements of so many photos before any model has said something."""
    kept = min(candidates, classes)
    return Judgements(
        np.zeros(photos, bool),
        np.ones(photos),
        np.zeros(photos),
        np.zeros((photos, kept), np.int32),
        np.zeros((photos, kept), np.float32),
    )


def choose_sample(photos: int) -> NDArray[np.int64]:
    """Return which of so many photos choose the temperature: about SAMPLE of them, or all."""
    return np.arange(0, photos, max(1, -(-photos // SAMPLE)))


def choose_temperature(
    features: Features, labels: Labels, folds: Folds, models: Sequence[Classifier | None], classes: int
) -> float:
    """Return by what to divide the scores, so that the photos' own classes are likeliest.

    The arguments are those of `judge`, for the photos of `choose_sample`.
    """
    losses = np.zeros(len(TEMPERATURES))
    for rows, scores in score(features, folds, models, classes):
        own = scores[np.arange(len(rows)), labels[rows]]
        known = np.isfinite(own)
        for number, temperature in enumerate(TEMPERATURES):
            logarithms = scores[known] / temperature
            losses[number] += (logsumexp(logarithms, axis=1) - own[known] / temperature).sum()
    return TEMPERATURES[int(np.argmin(np.round(losses, DECIMALS)))]


def score(
    features: Features, folds: Folds, models: Sequence[Classifier | None], classes: int
) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield some photos' rows with their scores, (rows, classes): -inf for a class that the fold's model lacks."""
    for number, model in enumerate(models):
        rows = np.flatnonzero(folds == number)
        if model is None:
            continue
        for start in range(0, len(rows), ROWS_AT_ONCE):
            block = rows[start : start + ROWS_AT_ONCE]
            means = features[:, block].sum(axis=0, dtype=np.float64)
            means /= len(features)
            scores = np.full((len(block), classes), -np.inf)
            scores[:, model.labels] = np.round(means @ model.weights + model.bias, DECIMALS)
            yield block, scores


def find_label_suspects(photos: pd.DataFrame, labels: Labels, judgements: Judgements) -> pd.DataFrame:
    """Return the photos that look as if they were of another class, the most suspect first.

    Confident learning counts a photo as mislabelled when a class other than its own is the likeliest of those whose
    probability reaches the mean that they have among their own photos. It says how many photos are listed, within
    LEAST_LISTED and MOST_LISTED. Which ones and in which order, the probability of their own class says ("prune by
    class" of all classes together, Northcutt et al., 2021, 3.2). A photo is not
    listed if its own class is the likeliest.

    Args:
        photos: product_id, position and catalog_id of N photos.
        labels: the class of each, 0 to C - 1, int64 (N,).
        judgements: from `judge`.

    Returns:
        product_id, position, catalog_id, score (float64: 1 less the probability of the photo's class), why, suggestion:
        the catalog_id of the likeliest other class.
    """
    others = other_classes(labels, judgements)
    names = np.zeros(int(labels.max(initial=-1)) + 1, np.int64)
    names[labels] = photos["catalog_id"]
    rows = photos[["product_id", "position", "catalog_id"]].assign(
        score=np.round(1 - judgements.own, DECIMALS),
        why=REASONS[0],
        suggestion=names[others],
        surprise=judgements.surprise,
    )
    order = ["surprise", "product_id", "position"]
    unlikely = judgements.judged & (judgements.likeliest[:, 0] != labels)
    listed = rows[unlikely].sort_values(order, ascending=[False, True, True], kind="stable")
    least, most = (int(share * len(photos)) for share in (LEAST_LISTED, MOST_LISTED))
    count = min(max(int(flag(labels, judgements).sum()), least), most)
    return listed.head(count).drop(columns="surprise").reset_index(drop=True)


def other_classes(labels: Labels, judgements: Judgements) -> Labels:
    """Return the likeliest class of each photo that is not its own; its own where there is one class only."""
    likeliest = judgements.likeliest
    if likeliest.shape[1] < 2:
        return labels
    return np.where(likeliest[:, 0] == labels, likeliest[:, 1], likeliest[:, 0])


def find_doubts(photos: pd.DataFrame, labels: Labels, judgements: Judgements) -> pd.DataFrame:
    """Return what the models say of every photo, listed or not.

    Args:
        photos: as of `find_label_suspects`.
        labels: as of `find_label_suspects`.
        judgements: from `judge`.

    Returns:
        product_id, position, probability (of its own class, float64) and other_class (the catalog_id of the likeliest
        other class, Int64). Both are missing for a photo of which the models know nothing.
    """
    names = np.zeros(int(labels.max(initial=-1)) + 1, np.int64)
    names[labels] = photos["catalog_id"]
    judged = judgements.judged
    return photos[["product_id", "position"]].assign(
        probability=np.where(judged, judgements.own, np.nan),
        other_class=pd.Series(names[other_classes(labels, judgements)], photos.index, "Int64").where(judged),
    )


def flag(labels: Labels, judgements: Judgements) -> NDArray[np.bool_]:
    """Return which photos are off the diagonal of the confident joint (Northcutt et al., 2021, 3.1)."""
    classes = int(max(labels.max(initial=-1), judgements.likeliest.max(initial=-1))) + 1
    judged = judgements.judged
    counts = np.bincount(labels[judged], minlength=classes)
    sums = np.bincount(labels[judged], judgements.own[judged], minlength=classes)
    thresholds = np.round(np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0), DECIMALS)
    reach = judgements.chances >= thresholds.astype(np.float32)[judgements.likeliest]
    first = np.take_along_axis(judgements.likeliest, reach.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.asarray(judged & reach.any(axis=1) & (first != labels))
