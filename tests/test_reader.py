"""The PyTorch dataset: the rows of the file, whoever reads them."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from imageset import layout
from imageset.errors import DataError
from imageset.reader import ImageSet

NAMES = ["shirt", "été 👗", "bag"]
COUNTS = {"train": 23, "test": 5}


def write(path: Path, channels: int = 3, counts: dict[str, int] = COUNTS) -> dict[str, np.ndarray[Any, Any]]:
    """Write a small dataset file; return its arrays."""
    random = np.random.default_rng(channels)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    with layout.create(path, layout.DATASET) as file:
        for subset, rows in counts.items():
            arrays[f"{subset}_images"] = random.integers(0, 256, (rows, 6, 6, channels), np.uint8)
            arrays[f"{subset}_labels"] = random.integers(0, len(NAMES), rows)
        for name, values in arrays.items():
            layout.add(file, name, values)
        layout.add_text(file, "class_names", NAMES)
        layout.finish(file, content_digest=layout.content_digest(file))
    return arrays


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dataset.h5"


def brighten(image: torch.Tensor) -> torch.Tensor:
    return image.float() / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subset", ["train", "test"])
def test_items_are_the_rows_of_the_file(path: Path, subset: str, channels: int) -> None:
    arrays = write(path, channels)
    dataset = ImageSet(path, subset)

    assert len(dataset) == COUNTS[subset]
    for row in range(len(dataset)):
        image, label = dataset[row]

        assert (image.dtype, image.shape) == (torch.uint8, (channels, 6, 6))
        assert (image.numpy() == arrays[f"{subset}_images"][row].transpose(2, 0, 1)).all()
        assert (type(label), label) == (int, arrays[f"{subset}_labels"][row])


def test_classes_are_named_by_label(path: Path) -> None:
    write(path)
    dataset = ImageSet(str(path))

    assert dataset.classes == NAMES
    assert dataset.num_labels == 3


def test_a_file_that_was_replaced_meanwhile_is_refused(path: Path) -> None:
    write(path, channels=3)
    dataset = ImageSet(path)
    write(path, channels=1)

    with pytest.raises(DataError, match="was replaced"):
        dataset[0]


def test_images_can_be_changed_without_changing_the_dataset(path: Path) -> None:
    write(path)
    dataset = ImageSet(path)
    before = dataset[0][0].clone()
    dataset[0][0].fill_(0)

    assert torch.equal(dataset[0][0], before)


def test_a_transform_makes_of_the_image_what_it_likes(path: Path) -> None:
    write(path)
    plain, bright = ImageSet(path, "test"), ImageSet(path, "test", transform=brighten)

    assert torch.equal(bright[2][0], plain[2][0].float() / 255)
    assert bright[2][1] == plain[2][1]


def test_indices_count_from_the_end_too(path: Path) -> None:
    write(path)
    dataset = ImageSet(path)

    for near, far in ((22, -1), (0, -23), (np.int64(3), np.int64(-20))):
        assert torch.equal(dataset[int(near)][0], dataset[int(far)][0])
        assert dataset[int(near)][1] == dataset[int(far)][1]


@pytest.mark.parametrize("index", [23, -24, 10**9])
def test_an_index_out_of_range_is_refused_with_both_numbers(path: Path, index: int) -> None:
    write(path)

    with pytest.raises(IndexError, match=f"index {index} is out of range for 23 images"):
        ImageSet(path)[index]


def test_a_loop_over_the_dataset_ends(path: Path) -> None:
    write(path)

    assert len([label for _, label in ImageSet(path)]) == 23  # type: ignore[attr-defined]  # by __getitem__


def test_a_subset_that_is_not_there_is_refused_with_those_that_are(path: Path) -> None:
    write(path)

    with pytest.raises(DataError, match=r"dataset\.h5 has no subset 'validation'; it has train, test$"):
        ImageSet(path, "validation")


def test_a_subset_without_rows_is_empty(path: Path) -> None:
    write(path, counts={"train": 3, "test": 0})
    dataset = ImageSet(path, "test")

    assert list(DataLoader(dataset)) == []
    with pytest.raises(IndexError):
        dataset[0]


@pytest.mark.parametrize("read_before", [False, True])
def test_a_dataset_travels_by_pickle(path: Path, read_before: bool) -> None:
    write(path)
    dataset = ImageSet(path, "test", transform=brighten)
    if read_before:
        dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))

    assert len(copy) == 5
    assert copy.classes == NAMES
    assert torch.equal(copy[4][0], dataset[4][0])


@pytest.mark.parametrize(("workers", "method", "read_before"), [
    (0, None, False), (2, "fork", False), (2, "fork", True), (2, "spawn", True),
])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_loaders_give_the_same_rows_in_order(path: Path, workers: int, method: str | None, read_before: bool) -> None:
    arrays = write(path)
    dataset = ImageSet(path)
    if read_before:
        dataset[5]  # a handle is open as the workers start
    images, labels = zip(*DataLoader(dataset, batch_size=4, num_workers=workers, multiprocessing_context=method),
                         strict=True)

    assert (torch.cat(images).numpy() == arrays["train_images"].transpose(0, 3, 1, 2)).all()
    assert torch.cat(labels).tolist() == arrays["train_labels"].tolist()


def test_a_fork_reads_through_a_handle_of_its_own_and_leaves_ours(path: Path) -> None:
    arrays = write(path)
    dataset = ImageSet(path)
    first = dataset[0][0]
    child = os.fork()
    if child == 0:
        right = (dataset[1][0].numpy() == arrays["train_images"][1].transpose(2, 0, 1)).all()
        os._exit(0 if right else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert torch.equal(dataset[0][0], first)


@pytest.mark.parametrize(("spoil", "problem"), [
    (lambda path: path.unlink(), "is missing"),
    (lambda path: path.write_bytes(b"<html>"), "cannot be read as HDF5"),
    (lambda path: os.truncate(path, path.stat().st_size - 1), "cannot be read as HDF5"),
    (lambda path: layout.create(path, layout.DATASET).close(), "is incomplete"),
    (lambda path: layout.create(path, layout.PROCESSED).close(), "is not a file of format imageset-dataset"),
])
def test_a_file_that_is_no_dataset_is_refused(path: Path, spoil: Any, problem: str) -> None:
    write(path)
    spoil(path)

    with pytest.raises(DataError, match=rf"dataset\.h5 {problem}"):
        ImageSet(path)
