"""Folds divide the photos: whole groups, classes as even as scikit-learn's, copies in training parts alone."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from imageset.errors import DataError
from imageset.formats import hdf5
from imageset.formats.hdf5 import Indices
from imageset.reader import ImageSet
from imageset.reader.folds import deal_groups
from tests.dataset_files import COPIES, write
from tests.project import ROOT

PHOTOS = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of photos with two copies each, in 25 groups."""
    arrays = write(tmp_path / "dataset.h5", counts={"train": PHOTOS * COPIES, "test": 5})
    photo = np.arange(PHOTOS * COPIES) // COPIES
    with h5py.File(tmp_path / "dataset.h5", "r+") as file:
        file["train_labels"][:] = arrays["train_labels"][photo * COPIES]
        hdf5.add(file, "train_groups", np.random.default_rng(0).integers(0, 25, PHOTOS)[photo] * 1_000)
        hdf5.add(file, "test_groups", np.arange(5))
    return tmp_path / "dataset.h5"


@pytest.mark.parametrize("augmented", [True, False])
def test_each_photo_is_held_out_once_and_no_group_is_on_both_sides(path: Path, augmented: bool) -> None:
    photos = ImageSet(path, augmented=augmented)
    folds = photos.folds(4)
    held_out = np.concatenate([rows for _, rows in folds])
    assert photos.groups is not None
    groups = photos.groups.numpy()

    assert len(folds) == 4
    assert sorted(held_out) == np.flatnonzero(photos.copies.numpy() == 0).tolist()
    for training, rows in folds:
        assert training.dtype == rows.dtype == np.int64
        assert set(groups[training]).isdisjoint(groups[rows])
        assert len(training) + len(rows) * (COPIES if augmented else 1) == len(photos)
        assert training.tolist() == sorted(set(training))
        assert rows.tolist() == sorted(set(rows))


def test_the_photos_of_a_fold_are_the_same_with_and_without_copies(path: Path) -> None:
    with_copies, without = ImageSet(path), ImageSet(path, augmented=False)

    for (training, held_out), (plain_training, plain) in zip(with_copies.folds(5), without.folds(5), strict=True):
        assert (with_copies.file_rows[held_out] == without.file_rows[plain]).all()
        assert set(with_copies.file_rows[training]) > set(without.file_rows[plain_training])


def test_copies_of_some_classes_alone_move_no_photo(path: Path) -> None:
    """As augment.balance makes them."""
    with h5py.File(path, "r+") as file:
        labels, copies = file["train_labels"][:], file["train_copies"][:]
        kept = np.flatnonzero((copies == 0) | (labels == 1))
        for name in [name for name in file if name.startswith("train_")]:
            values = file[name][:][kept]
            del file[name]
            hdf5.add(file, name, values)
    with_copies, without = ImageSet(path), ImageSet(path, augmented=False)

    assert len(with_copies) > len(without)
    for (_, held_out), (_, plain) in zip(with_copies.folds(5), without.folds(5), strict=True):
        assert (with_copies.file_rows[held_out] == without.file_rows[plain]).all()


def test_copies_without_their_photo_are_damage(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["train_groups"][np.flatnonzero(file["train_copies"][:])[0]] = 77

    with pytest.raises(DataError, match=r"dataset\.h5 has copies whose photo is missing"):
        ImageSet(path).folds(5)


def test_a_test_set_can_be_divided_too(path: Path) -> None:
    assert [held_out.tolist() for _, held_out in ImageSet(path, "test").folds(5)] != [[]] * 5


@pytest.mark.parametrize("k", [1, 0, -1, 26])
def test_k_out_of_range_is_refused_with_its_range(path: Path, k: int) -> None:
    photos = ImageSet(path)
    assert photos.groups is not None

    with pytest.raises(ValueError, match=f"k is {k}, it must be from 2 to the number of groups, 2[0-9]$"):
        photos.folds(k)
    assert all(len(held_out) for _, held_out in photos.folds(len(set(photos.groups.tolist()))))


def test_a_file_of_version_1_has_no_folds() -> None:
    with pytest.raises(DataError, match=r"version1.h5 has format version 1, which has no groups"):
        ImageSet(ROOT / "tests/dataset/version1.h5").folds(5)


def draw(seed: int) -> tuple[Indices, Indices]:
    """Return labels and groups: few large groups, many small ones, some of several classes."""
    random = np.random.default_rng(seed)
    sizes = np.minimum(random.zipf(1.8, 300), 60)
    shares = 1 / np.arange(1, 13)
    labels = np.repeat(random.choice(12, 300, p=shares / shares.sum()), sizes)
    mixed = random.random(len(labels)) < 0.05
    labels[mixed] = random.integers(0, 12, mixed.sum())
    return labels, np.repeat(random.permutation(300), sizes)


def unevenness(labels: Indices, folds: Indices) -> float:
    """Return how far the folds' shares of each class are from equal: the standard deviation, the mean of classes."""
    counts: NDArray[np.float64] = np.zeros((labels.max() + 1, folds.max() + 1))
    np.add.at(counts, (labels, folds), 1)
    return float((counts / counts.sum(axis=1, keepdims=True)).std(axis=1).mean())


def test_classes_are_as_even_as_with_scikit_learn() -> None:
    ours, theirs = [], []
    for seed in range(6):
        labels, groups = draw(seed)
        other = np.zeros_like(labels)
        for fold, (_, rows) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
            other[rows] = fold
        ours.append(unevenness(labels, deal_groups(labels, groups, 5)))
        theirs.append(unevenness(labels, other))

    assert np.mean(ours) < 1.02 * np.mean(theirs)
    assert np.mean(ours) < 0.5 * unevenness(*draw_at_random(0))


def draw_at_random(seed: int) -> tuple[Indices, Indices]:
    """Return labels, and folds that do not look at them."""
    labels, groups = draw(seed)
    return labels, groups % 5


def test_the_order_of_the_rows_does_not_matter() -> None:
    labels, groups = draw(1)
    order = np.random.default_rng(2).permutation(len(labels))

    assert (deal_groups(labels[order], groups[order], 5) == deal_groups(labels, groups, 5)[order]).all()
