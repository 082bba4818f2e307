"""Train a simple classifier on data/dataset.h5 and score it on the test photos."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from imageset.errors import DataError
from imageset.evaluation.feature_blocks import Labels, read_blocks
from imageset.evaluation.linear_discriminant import Answers, Classifier, ClassSums, fit
from imageset.evaluation.scores import figures
from imageset.formats import hdf5, source_ids, tables
from imageset.report import confusion_plot
from imageset.report.lettering import class_captions
from imageset.runtime import files, rates, stage

PROBABILITY_DIGITS = 4


def learn(file: h5py.File, classes: int) -> ClassSums:
    """Return the sums over the training rows, augmented copies included."""
    sums = ClassSums(classes)
    for block in read_blocks(file, "train", classes):
        sums.add(block)
    if not sums.rows.any():
        raise DataError(f"{file.filename} has no row to train on")
    return sums


def answer(file: h5py.File, classes: int, classifier: Classifier) -> tuple[Labels, Answers]:
    """Return the labels of the test photos, (N,), and the answers to each."""
    found = [(block.labels, classifier.answer(block.features)) for block in read_blocks(file, "test", classes)]
    if not found:
        return np.zeros(0, np.int64), Answers(np.zeros((0, 1), np.int64), np.zeros(0))
    labels, answers = zip(*found, strict=True)
    return np.concatenate(labels), Answers(*map(np.concatenate, zip(*answers, strict=True)))


def remember_ids(file: h5py.File) -> None:
    """Let the table and the picture have the source's ids where they are text: the file has them beside the numbers."""
    for name in ("class_ids", "test_source_ids"):
        if name in file:
            source_ids.numbers(hdf5.read_text(file, name).tolist())


def list_predictions(file: h5py.File, labels: Labels, answers: Answers) -> pd.DataFrame:
    """Return predictions.csv: the label of each test photo, the answer, and its probability."""
    with hdf5.reading(file.filename):
        photos = hdf5.read_rows(file, "test")
        columns = {
            "product_id": photos.ids,
            "position": photos.positions.astype(np.int64),
            "label": labels,
            "answer": answers.best[:, 0],
            "probability": [f"{value:.{PROBABILITY_DIGITS}f}" for value in answers.probabilities],
        }
        return pd.DataFrame(columns)


def main(
    dataset_h5: Path, validation_json: Path, baseline_json: Path, confusion_png: Path, predictions_csv: Path
) -> None:
    """Train a simple classifier on a valid dataset; say what a change of params did to what can be learned from it.

    Args:
        dataset_h5: the dataset.
        validation_json: whether the dataset passed its checks.
        baseline_json: the scores of the simple classifier.
        confusion_png: the picture of which classes it confuses.
        predictions_csv: the label of each test photo, the answer, and the probability of the answer.
    """
    if not json.loads(validation_json.read_text(encoding="utf-8"))["passed"]:
        raise DataError(f"{validation_json} says that {dataset_h5} is wrong: its figures would be, too")
    # One thread: the number of threads that add up a product of floats changes its last bits.
    with hdf5.open_file(dataset_h5, hdf5.DATASET) as file, threadpool_limits(limits=1):
        with hdf5.reading(dataset_h5):
            remember_ids(file)
            names = class_captions(file)
        sums = learn(file, len(names))
        actual, answers = answer(file, len(names), fit(sums))
        predictions = list_predictions(file, actual, answers)
        hdf5.require_digest(file)  # as validate found it
    found = figures(sums, actual, answers.best)
    files.write_text(baseline_json, json.dumps(found, indent=2) + "\n")
    files.write_bytes(confusion_png, confusion_plot.draw(names, actual, answers.best[:, 0]))
    tables.write(predictions_csv, tables.PREDICTIONS, predictions)
    rates.note(sum(found["photos"].values()))
    print(
        f"baseline: accuracy {found['accuracy']} where the commonest class alone has {found['floor']['accuracy']}, "
        f"{found['photos']['test']} test photos"
    )


if __name__ == "__main__":
    stage.run("baseline", main)
