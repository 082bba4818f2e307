"""data/dataset.h5 -> reports/baseline.json, confusion.png: what a simple classifier makes of the dataset.

Linear discriminant analysis in closed form, on features of the photos (imageset.evaluation.hog_features): no seed, no
iterations, no params, so that two figures differ by what is in the dataset alone. It learns from sums over the training
rows: the file may be larger than memory.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from sklearn.covariance import shrunk_covariance
from sklearn.metrics import accuracy_score, f1_score
from threadpoolctl import threadpool_limits

from imageset.errors import DamagedFile, DataError
from imageset.evaluation.hog_features import WORKING_BYTES, features
from imageset.formats import hdf5
from imageset.report import confusion_plot
from imageset.runtime import files, progress, stage

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

SHRINKAGE = 0.3  # of the covariance towards a sphere; the best of 0.03 to 0.8 in cross-validation on 571 photos
ROUNDING = 1 / 12  # variance that rounding to whole numbers adds: keeps features that never vary from dividing by 0
BEST = 5
DIGITS = 4


class Block(NamedTuple):
    """Rows of a subset: features uint8 (N, D), labels int64 (N,), and how many of the rows are photos, not copies."""

    features: NDArray[np.uint8]
    labels: Labels
    plain: NDArray[np.bool_]


class Sums:
    """All that is learned from: rows and photos of each class, sums of features, sums of their products.

    Of whole numbers to 255 these are exact up to 10**11 rows: neither order nor blocks nor threads change a bit.
    """

    def __init__(self, classes: int) -> None:
        self.rows = np.zeros(classes, np.int64)
        self.photos = np.zeros(classes, np.int64)
        self.features: Floats = np.zeros((classes, 0))
        self.products: Floats = np.zeros((0, 0))

    def add(self, block: Block) -> None:
        values = block.features.astype(np.float64)
        if not self.rows.any():
            self.features = np.zeros((len(self.rows), values.shape[1]))
            self.products = np.zeros((values.shape[1], values.shape[1]))
        self.rows += np.bincount(block.labels, minlength=len(self.rows))
        self.photos += np.bincount(block.labels[block.plain], minlength=len(self.rows))
        present, places = np.unique(block.labels, return_inverse=True)
        self.features[present] += (places == np.arange(len(present))[:, None]).astype(np.float64) @ values
        self.products += values.T @ values


class Classifier(NamedTuple):
    """Scores of the classes that training rows have: features @ weights + bias."""

    labels: Labels
    weights: Floats
    bias: Floats

    def best(self, values: NDArray[np.uint8]) -> Labels:
        """Return the likeliest labels of each row, up to BEST, the likeliest first: int64 (N, up to 5)."""
        # Rounded, so that scores that are equal but for the last bits rank by label.
        scores = np.round(values.astype(np.float64) @ self.weights + self.bias, 6)
        return np.asarray(self.labels[np.argsort(-scores, axis=1, kind="stable")[:, :BEST]])


def fit(sums: Sums) -> Classifier:
    """Return the linear discriminant classifier of the rows that were summed up.

    Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 4.3. LinearDiscriminantAnalysis of
    scikit-learn, solver lsqr and shrinkage SHRINKAGE, comes to the same but needs all rows in memory.
    """
    labels = np.flatnonzero(sums.rows)
    rows = sums.rows[labels]
    means = sums.features[labels] / rows[:, None]
    within = (sums.products - means.T @ sums.features[labels]) / rows.sum()
    covariance = shrunk_covariance(within, shrinkage=SHRINKAGE) + ROUNDING * np.eye(len(within))
    weights = scipy.linalg.solve(covariance, means.T, assume_a="pos")
    return Classifier(labels, weights, np.log(rows / rows.sum()) - (means.T * weights).sum(axis=0) / 2)


def blocks(file: h5py.File, subset: str, classes: int) -> Iterator[Block]:
    """Yield the rows of a subset. Raises DamagedFile for a label that is none of the classes."""
    with hdf5.reading(file.filename):
        images, labels = file[f"{subset}_images"], file[f"{subset}_labels"]
        copies = file["train_copies"] if subset == "train" else None
    step = hdf5.block_rows(max(math.prod(images.shape[1:]), WORKING_BYTES))
    with progress.bar(None, f"baseline: {subset}", len(images), unit="row") as bar:
        for start in range(0, len(images), step):
            which = slice(start, start + step)
            with hdf5.reading(file.filename):
                found: Labels = labels[which]
                pixels: hdf5.Pixels = images[which]
                plain = np.ones(len(found), bool) if copies is None else copies[which] == 0
            if len(found) != len(pixels) or found.min() < 0 or found.max() >= classes:
                raise DamagedFile(
                    file.filename, f"is damaged ({subset}_labels does not give each row one of {classes} classes)"
                )
            yield Block(features(pixels), found, plain)
            bar.update(len(found))


def learn(file: h5py.File, classes: int) -> Sums:
    """Return the sums over the training rows, augmented copies included."""
    sums = Sums(classes)
    for block in blocks(file, "train", classes):
        sums.add(block)
    if not sums.rows.any():
        raise DataError(f"{file.filename} has no row to train on")
    return sums


def answer(file: h5py.File, classes: int, classifier: Classifier) -> tuple[Labels, Labels]:
    """Return the labels of the test photos, (N,), and the best answers to each, (N, up to 5)."""
    answers = [(block.labels, classifier.best(block.features)) for block in blocks(file, "test", classes)]
    if not answers:
        return np.zeros(0, np.int64), np.zeros((0, 1), np.int64)
    return np.concatenate([labels for labels, _ in answers]), np.concatenate([best for _, best in answers])


def scores(actual: Labels, best: Labels) -> dict[str, float | None]:
    """Return accuracy, macro F1 over the classes that have test photos, and how often the answer is among the best."""
    if not len(actual):
        return {"accuracy": None, "macro_f1": None, "top5_accuracy": None}
    f1 = f1_score(actual, best[:, 0], labels=np.unique(actual), average="macro", zero_division=0)
    return {
        "accuracy": round(float(accuracy_score(actual, best[:, 0])), DIGITS),
        "macro_f1": round(float(f1), DIGITS),
        "top5_accuracy": round(float((best == actual[:, None]).any(axis=1).mean()), DIGITS),
    }


def figures(sums: Sums, actual: Labels, best: Labels) -> dict[str, Any]:
    """Return the content of reports/baseline.json."""
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


def main(dataset_h5: Path, validation_json: Path, baseline_json: Path, confusion_png: Path) -> None:
    """Train a simple classifier on a valid dataset; say what a change of params did to what can be learned from it.

    Args:
        dataset_h5: the dataset.
        validation_json: whether the dataset passed its checks.
        baseline_json: the scores of the simple classifier.
        confusion_png: the picture of what it takes for what.
    """
    if not json.loads(validation_json.read_text(encoding="utf-8"))["passed"]:
        raise DataError(f"{validation_json} says that {dataset_h5} is wrong: its figures would be, too")
    # One thread: how many add up a product of floats changes its last bits.
    with hdf5.open_file(dataset_h5, hdf5.DATASET) as file, threadpool_limits(limits=1):
        with hdf5.reading(dataset_h5):
            names = file["class_names"].asstr()[:].tolist()
        sums = learn(file, len(names))
        actual, best = answer(file, len(names), fit(sums))
    found = figures(sums, actual, best)
    files.write_text(baseline_json, json.dumps(found, indent=2) + "\n")
    files.write_bytes(confusion_png, confusion_plot.draw(names, actual, best[:, 0]))
    print(
        f"baseline: accuracy {found['accuracy']} where the commonest class alone has {found['floor']['accuracy']}, "
        f"{found['photos']['test']} test photos"
    )


if __name__ == "__main__":
    stage.run("baseline", main)
