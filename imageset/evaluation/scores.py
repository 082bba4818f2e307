"""How good the answers of a classifier are."""

import math
from typing import Any

import numpy as np

from imageset.evaluation.feature_blocks import Labels
from imageset.evaluation.linear_discriminant import BEST, ClassSums

DIGITS = 4


def scores(actual: Labels, best: Labels) -> dict[str, float | None]:
    """Return accuracy, macro F1 over the classes that have test photos, and accuracy among the best answers.

    Args:
        actual: the labels of the test photos, (N,).
        best: the best answers to each, the best first, (N, up to BEST).

    Returns:
        Shares of 1; None without test photos.
    """
    if not len(actual):
        return {"accuracy": None, "macro_f1": None, "top5_accuracy": None}
    return {
        "accuracy": round(float((best[:, 0] == actual).mean()), DIGITS),
        "macro_f1": round(macro_f1(actual, best[:, 0]), DIGITS),
        "top5_accuracy": round(float((best == actual[:, None]).any(axis=1).mean()), DIGITS),
    }


def macro_f1(actual: Labels, answers: Labels) -> float:
    """Return the mean of F1 over the classes that have test photos: 2 right / (photos of the class + answers of it).

    >>> macro_f1(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 3]))
    0.4444444444444444
    """
    classes = max(actual.max(), answers.max()) + 1
    photos = np.bincount(actual, minlength=classes)
    right = np.bincount(actual[answers == actual], minlength=classes)
    f1 = 2 * right[photos > 0] / (photos + np.bincount(answers, minlength=classes))[photos > 0]
    return float(f1.mean())


def figures(sums: ClassSums, actual: Labels, best: Labels) -> dict[str, Any]:
    """Return the content of reports/baseline.json.

    Args:
        sums: what the classifier learned from.
        actual: the labels of the test photos, (N,).
        best: the best answers to each, the best first, (N, up to BEST).
    """
    tested = np.bincount(actual, minlength=len(sums.rows))
    commonest = np.argsort(-sums.photos, kind="stable")[: min(BEST, np.count_nonzero(sums.rows))]
    found = scores(actual, best)
    share = found["accuracy"]
    error = None if share is None else round(math.sqrt(share * (1 - share) / len(actual)), DIGITS)
    notes = [
        note
        for note, holds in (
            ("no test photos: nothing to measure", not len(actual)),
            ("one class only: every answer is the same", len(commonest) == 1),
        )
        if holds
    ]
    return (
        found
        | {
            "accuracy_standard_error": error,
            "floor": scores(actual, np.tile(commonest, (len(actual), 1))),
            "photos": {"train": int(sums.photos.sum()), "test": len(actual)},
            "train_rows": int(sums.rows.sum()),
            "classes": {
                "count": len(sums.rows),
                "without_train_photos": int((sums.photos == 0).sum()),
                "without_test_photos": int((tested == 0).sum()),
            },
        }
        | ({"note": "; ".join(notes)} if notes else {})
    )
