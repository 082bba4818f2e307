"""The PyTorch dataset returns the rows of the file, in any process, thread or worker."""

import multiprocessing
import os
import pickle
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, ConcatDataset, DataLoader, RandomSampler, SequentialSampler, Subset

from imageset.errors import DataError
from imageset.formats import hdf5
from imageset.reader import ImageSet, loader
from tests.dataset_files import CATALOG_IDS, COPIES, COUNTS, NAMES, write
from tests.project import ROOT
from tests.samples import sample


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
    assert dataset.catalog_ids == CATALOG_IDS
    assert dataset.class_to_idx == {"shirt": 0, "été 👗": 1, "bag": 2}


VERSION_1 = ROOT / "tests/dataset/version1.h5"


def add_texts(path: Path) -> None:
    """Add what files of version 2 may have."""

    def add(file: h5py.File) -> None:
        for subset, count in COUNTS.items():
            hdf5.add(file, f"{subset}_groups", np.arange(count) // 2)
            hdf5.add_text(file, f"{subset}_source_ids", [f"{subset}-{row}" for row in range(count)])
            hdf5.add_text(file, f"{subset}_column_brand", ["", "Größe", "007"] * (count // 3) + [""] * (count % 3))
        hdf5.add_text(file, "class_ids", ["tops", "7", "bags"])

    change(path, add)


@pytest.mark.parametrize("augmented", [True, False])
def test_ids_groups_and_columns_of_version_2_follow_the_items(path: Path, augmented: bool) -> None:
    write(path)
    add_texts(path)
    dataset = ImageSet(path, augmented=augmented)
    rows = dataset.file_rows

    assert len(rows) == (COUNTS["train"] if augmented else 8)
    assert dataset.groups is not None
    assert dataset.groups.dtype == torch.int64
    assert dataset.groups.tolist() == (rows // 2).tolist()
    assert dataset.source_ids.tolist() == [f"train-{row}" for row in rows]
    assert list(dataset.columns) == ["brand"]
    assert dataset.columns["brand"].tolist() == ["" if row >= 21 else ("", "Größe", "007")[row % 3] for row in rows]
    assert dataset.class_ids == ["tops", "7", "bags"]


def test_texts_are_read_again_in_another_process(path: Path) -> None:
    write(path)
    add_texts(path)
    dataset = ImageSet(path, "test")
    texts, columns = dataset.source_ids, dataset.columns
    other = pickle.loads(pickle.dumps(dataset))

    assert len(pickle.dumps(dataset)) == len(pickle.dumps(ImageSet(path, "test")))
    assert (other.source_ids == texts).all()
    assert (other.columns["brand"] == columns["brand"]).all()


def test_whole_numbers_are_their_own_source_ids_and_a_file_may_have_no_columns(path: Path) -> None:
    write(path)
    dataset = ImageSet(path)

    assert dataset.source_ids.dtype == np.int64
    assert (dataset.source_ids == dataset.product_ids.numpy()).all()
    assert dataset.columns == {}
    assert dataset.class_ids == CATALOG_IDS


def test_a_file_of_version_1_is_read_and_has_no_groups() -> None:
    dataset = ImageSet(VERSION_1, verify=True)

    assert len(dataset) == 40
    assert dataset.groups is None
    assert dataset.columns == {}
    assert set(dataset.source_ids.tolist()) == {100, 103, 106, 112, 115, 118}
    assert next(iter(loader(dataset, 4)))[0].shape == (4, 1, 16, 16)


def create(path: Path, kind: str) -> None:
    with hdf5.create(path, kind):
        pass


@pytest.mark.parametrize("name", ["source_ids", "column_brand"])
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda values: values[:-1], "lacks a value of train_"),
        (lambda values: np.full(len(values), b"\xff"), "is damaged"),
    ],
)
def test_damaged_texts_are_refused_when_they_are_read(path: Path, name: str, spoil: Any, problem: str) -> None:
    write(path)
    add_texts(path)
    with h5py.File(path, "r+") as file:
        values = file[f"train_{name}"][:]
        del file[f"train_{name}"]
        file[f"train_{name}"] = spoil(values)
    dataset = ImageSet(path)

    with pytest.raises(DataError, match=problem):
        _ = (dataset.source_ids, dataset.columns)


def test_a_shared_class_name_gets_its_catalog_id(path: Path) -> None:
    write(path, names=["other", "shirt", "other"])
    dataset = ImageSet(path)

    assert dataset.classes == ["other (1201)", "shirt", "other (1300)"]
    assert dataset.class_to_idx == {"other (1201)": 0, "shirt": 1, "other (1300)": 2}


def test_rows_have_targets_and_products(path: Path) -> None:
    arrays = write(path)
    dataset = ImageSet(path, "test")

    assert dataset.targets == arrays["test_labels"].tolist()
    assert type(dataset.targets[0]) is int
    assert dataset.product_ids.tolist() == arrays["test_ids"].tolist()


def test_without_augmented_copies_only_photos_are_left(path: Path) -> None:
    arrays = write(path)
    plain = np.flatnonzero(arrays["train_copies"] == 0)
    dataset = ImageSet(path, augmented=False)

    assert len(dataset) == len(plain) == -(-COUNTS["train"] // COPIES)
    assert dataset.product_ids.tolist() == arrays["train_ids"][plain].tolist()
    for item, row in enumerate(plain):
        assert (dataset[item][0].numpy() == arrays["train_images"][row].transpose(2, 0, 1)).all()
        assert dataset[item][1] == dataset.targets[item] == arrays["train_labels"][row]
    assert len(ImageSet(path, "test", augmented=False)) == COUNTS["test"]


def test_several_items_at_once_equal_single_items(path: Path) -> None:
    write(path)
    dataset = ImageSet(path)
    indices = [3, -1, 0, 3, 22]
    samples = dataset.__getitems__(indices)

    assert dataset.__getitems__([]) == []
    for index, (image, label) in zip(indices, samples, strict=True):
        assert torch.equal(image, dataset[index][0])
        assert label == dataset[index][1]
    with pytest.raises(IndexError, match="index 23 is out of range for 23 images"):
        dataset.__getitems__([0, 23])


class Numbered(ImageSet):
    def __getitem__(self, index: int) -> Any:
        return (*super().__getitem__(index), index)


def test_a_subclass_decides_what_an_item_is(path: Path) -> None:
    write(path)
    dataset = Numbered(path)

    assert dataset[3][2] == 3
    assert [part.tolist() for *_, part in DataLoader(dataset, batch_size=12)] == [[*range(12)], [*range(12, 23)]]
    with pytest.raises(TypeError, match="does not call the __getitem__ of Numbered: use"):
        loader(dataset, 4)
    with pytest.raises(TypeError, match="does not call the __getitem__ of Numbered: use"):
        loader(Subset(dataset, [1]), 4)


@pytest.mark.parametrize("index", [3.7, "3", None])
def test_an_index_is_a_whole_number(path: Path, index: Any) -> None:
    write(path)

    with pytest.raises(TypeError):
        ImageSet(path)[index]


def test_targets_cannot_be_set(path: Path) -> None:
    write(path)

    with pytest.raises(AttributeError):
        ImageSet(path).targets = [0] * 23  # type: ignore[misc]


def test_a_dataset_is_found_from_another_folder(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(path)
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(ImageSet(path.name))
    monkeypatch.chdir("/")

    assert pickle.loads(pickled)[0][0].shape == (3, 6, 6)


def test_datasets_can_be_concatenated_and_subset(path: Path) -> None:
    write(path)
    both = ImageSet(path) + ImageSet(path, "test")
    part = Subset(ImageSet(path), [4, 7])

    assert isinstance(both, ConcatDataset)
    assert len(both) == 28
    assert torch.equal(both[23][0], ImageSet(path, "test")[0][0])
    images, _ = next(iter(DataLoader(part, batch_size=2)))
    assert torch.equal(images[1], ImageSet(path)[7][0])


def test_a_target_transform_may_return_anything(path: Path) -> None:
    arrays = write(path)
    dataset = ImageSet(path, target_transform=NAMES.__getitem__)

    assert dataset[4][1] == NAMES[arrays["train_labels"][4]]
    assert dataset.targets[4] == arrays["train_labels"][4]


@pytest.mark.parametrize("channels", [1, 3])
def test_normalised_photos_have_mean_0_and_standard_deviation_1(path: Path, channels: int) -> None:
    write(path, channels)
    dataset = ImageSet(path, normalize=True)
    photos = torch.stack([image for image, _ in ImageSet(path, normalize=True, augmented=False)])  # type: ignore[attr-defined]
    raw = ImageSet(path)[5][0].double()
    expected = (raw - dataset.mean.double()[:, None, None]) / dataset.std.double()[:, None, None]

    assert photos.dtype == torch.float32
    assert photos.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (photos.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert (dataset[5][0] - expected).abs().max() < 1e-5


def test_normalising_follows_the_transform_which_must_return_uint8(path: Path) -> None:
    write(path)
    flipped = ImageSet(path, transform=lambda image: image.flip(-1), normalize=True)

    assert torch.equal(flipped[2][0], ImageSet(path, normalize=True)[2][0].flip(-1))
    with pytest.raises(TypeError, match=r"uint8 tensors, a transform made torch\.float32"):
        ImageSet(path, transform=brighten, normalize=True)[0]


def test_a_file_whose_pixels_are_all_equal_can_be_normalised(path: Path) -> None:
    write(path)
    dataset = ImageSet(path)
    dataset.std = torch.zeros(3)

    assert torch.isfinite(dataset.normalized(dataset[0][0])).all()


def test_a_digest_can_be_checked(path: Path) -> None:
    write(path)
    assert len(ImageSet(path, verify=True)) == 23
    with h5py.File(path, "r+") as file:
        file["test_images"][2, 1, 1, 0] ^= 1

    with pytest.raises(DataError, match=r"dataset\.h5 does not hold what its content_digest says"):
        ImageSet(path, verify=True)


@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_mean_or_a_standard_deviation_of_other_photos_is_found(path: Path, name: str) -> None:
    """Nobody sees it in the photos: the digest covers the arrays alone."""
    write(path)
    with h5py.File(path, "r+") as file:
        file.attrs[name] = np.nextafter(file.attrs[name], 256)

    with pytest.raises(DataError, match=r"dataset\.h5 has another mean or standard deviation than its training photos"):
        ImageSet(path, verify=True)


def test_repr(path: Path) -> None:
    write(path)

    assert repr(ImageSet(path, "test")) == f"ImageSet('{path}', 'test'): 5 images of 6 x 6 x 3, 3 classes"


def test_a_file_that_was_written_to_meanwhile_is_refused(path: Path) -> None:
    write(path, channels=3)
    dataset = ImageSet(path)
    write(path, channels=1)

    with pytest.raises(DataError, match="was written to since this dataset was opened"):
        dataset[0]


def test_a_replaced_file_is_refused_when_it_must_be_opened_again(path: Path) -> None:
    arrays = write(path)
    dataset = ImageSet(path)
    write(path.with_name("other.h5"), channels=1)
    path.with_name("other.h5").replace(path)

    assert (dataset[0][0].numpy() == arrays["train_images"][0].transpose(2, 0, 1)).all()
    with pytest.raises(DataError, match="was replaced since this dataset was opened"):
        pickle.loads(pickle.dumps(dataset))[0]


def test_images_can_be_changed_without_changing_the_dataset(path: Path) -> None:
    write(path)
    dataset = ImageSet(path)
    before = dataset[0][0].clone()
    dataset[0][0].fill_(0)

    assert torch.equal(dataset[0][0], before)


def test_a_transform_may_return_anything(path: Path) -> None:
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


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ([3, 0, -1, 3], [3, 0, 22, 3]),
        ((4, 2), [4, 2]),
        (range(5, 2, -1), [5, 4, 3]),
        (slice(-2, None), [21, 22]),
        (slice(20, 99), [20, 21, 22]),
        (slice(5, 5), []),
        (slice(None, None, -11), [22, 11, 0]),
        (np.array([7, -23], np.int8), [7, 0]),
        (np.array([9], np.uint64), [9]),
        (torch.tensor([8]), [8]),
        (np.arange(23) % 11 == 0, [0, 11, 22]),
        (torch.arange(23) < 2, [0, 1]),
        ([], []),
    ],
    ids=str,
)
@pytest.mark.parametrize("augmented", [False, True])
def test_several_indices_give_a_batch(path: Path, index: Any, expected: list[int], augmented: bool) -> None:
    arrays = write(path)
    kept = np.arange(23) if augmented else np.flatnonzero(arrays["train_copies"] == 0)
    dataset = ImageSet(path, augmented=augmented)
    if not augmented:  # 8 items
        index, expected = [number % 8 for number in expected], [number % 8 for number in expected]
    images, labels = dataset[index]

    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert images.is_contiguous()
    assert tuple(images.shape) == (len(expected), 3, 6, 6)
    assert (images.numpy() == arrays["train_images"][kept[expected]].transpose(0, 3, 1, 2)).all()
    assert labels.tolist() == arrays["train_labels"][kept[expected]].tolist()


@pytest.mark.parametrize("index", [np.int64(5), np.array(5), torch.tensor(5)], ids=repr)
def test_a_number_of_numpy_or_torch_is_one_item(path: Path, index: Any) -> None:
    write(path)
    image, label = ImageSet(path)[index]

    assert torch.equal(image, ImageSet(path)[5][0])
    assert type(label) is int


@pytest.mark.parametrize(
    ("index", "error", "named"),
    [
        ([0, 23], IndexError, "index 23 is out of range for 23 images"),
        (np.array([-24]), IndexError, "index -24 is out of range"),
        ([1.0, 2.0], IndexError, r"float64 \(2,\) selects no images: an index is a whole number, a slice"),
        ([[1, 2]], IndexError, r"int64 \(1, 2\) selects no images"),
        ([True, False], IndexError, r"bool \(2,\) selects no images.* one bool for each of the 23 images"),
        ("3", TypeError, "'str' object cannot be interpreted as an integer"),
        (1.5, TypeError, "'float' object cannot be interpreted"),
    ],
)
def test_what_selects_no_images_is_refused(path: Path, index: Any, error: type[Exception], named: str) -> None:
    write(path)

    with pytest.raises(error, match=named):
        ImageSet(path)[index]


def halve_pixels(image: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"half": image[:, ::2] / 2}


def label_pair(label: int) -> tuple[int, float]:
    return label, label / 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize": True},
        {"augmented": False},
        {"transform": torch.fliplr, "normalize": True},
        {"transform": halve_pixels, "target_transform": label_pair},
        {"target_transform": float},
    ],
    ids=" ".join,
)
def test_a_batch_sampler_may_be_the_sampler(path: Path, options: dict[str, Any]) -> None:
    """torch's page on loading without automatic batching: sampler=BatchSampler(...), batch_size=None."""
    write(path)
    dataset = ImageSet(path, **options)
    batches = BatchSampler(SequentialSampler(dataset), 5, drop_last=False)
    ours = list(DataLoader(dataset, sampler=batches, batch_size=None))
    theirs = list(DataLoader(dataset, batch_size=5))

    assert len(ours) == len(theirs) == (2 if "augmented" in options else 5)
    for batch, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(batch, other, rtol=0, atol=0)  # of the same dtypes and shapes


def test_a_batch_sampler_may_shuffle_a_part_of_a_dataset(path: Path) -> None:
    arrays = write(path)
    part = Subset(ImageSet(path), range(3, 17))
    batches = BatchSampler(RandomSampler(part, generator=torch.Generator().manual_seed(1)), 4, drop_last=True)
    found = list(DataLoader(part, sampler=batches, batch_size=None))
    rows = [int(image[0, 0, 0]) for images, _ in found for image in images]

    assert [len(labels) for _, labels in found] == [4, 4, 4]
    assert len(set(rows)) == 12
    assert set(rows) <= set(range(3, 17))
    assert [int(label) for _, labels in found for label in labels] == arrays["train_labels"][rows].tolist()


def test_iterating_the_dataset_ends(path: Path) -> None:
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
def test_a_dataset_can_be_pickled(path: Path, read_before: bool) -> None:
    write(path)
    dataset = ImageSet(path, "test", transform=brighten)
    if read_before:
        dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))

    assert len(copy) == 5
    assert copy.classes == NAMES
    assert torch.equal(copy[4][0], dataset[4][0])


def read_with_workers(path: Path, workers: int, method: str | None, read_before: bool) -> tuple[Any, list[int]]:
    """Return the images and the labels of a file, read by a DataLoader."""
    dataset = ImageSet(path)
    if read_before:
        dataset[5]  # a handle is open when the workers start
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        warnings.filterwarnings("ignore", "This DataLoader will create 8 worker processes", UserWarning)
        batches = DataLoader(dataset, batch_size=4, num_workers=workers, multiprocessing_context=method)
        images, labels = zip(*batches, strict=True)
    return torch.cat(images).numpy(), torch.cat(labels).tolist()


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """A process that has run nothing else: a fork of one whose threads hold locks, as after other tests, may hang."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


STARTED = [
    (compression, 2, *how) for how in (("spawn", True), ("forkserver", False)) for compression in ("none", "lzf")
]


@pytest.mark.parametrize(
    ("compression", "workers", "method", "read_before"),
    [
        ("none", 0, None, False),
        ("lzf", 0, None, False),
        ("none", 2, "fork", False),
        ("lzf", 2, "fork", False),
        ("none", 8, "fork", True),
        ("lzf", 8, "fork", True),
        *sample(STARTED, STARTED[0]),
    ],
)
def test_workers_give_the_same_rows_in_order(
    path: Path, compression: Any, workers: int, method: str | None, read_before: bool, process: ProcessPoolExecutor
) -> None:
    arrays = write(path, compression=compression)
    images, labels = process.submit(read_with_workers, path, workers, method, read_before).result()

    assert (images == arrays["train_images"].transpose(0, 3, 1, 2)).all()
    assert labels == arrays["train_labels"].tolist()


def test_a_fork_reads_without_disturbing_its_parent(path: Path) -> None:
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


def change(path: Path, edit: Any) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def replace(name: str, values: Any) -> Any:
    """Return an edit that replaces the values of an array."""

    def edit(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return edit


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"<html>"), "cannot be read as HDF5"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), "cannot be read as HDF5"),
        (lambda path: create(path, hdf5.DATASET), "is incomplete"),
        (lambda path: create(path, hdf5.PROCESSED), "is not a file of format imageset-dataset"),
        (
            lambda path: change(path, lambda file: file.attrs.modify("format_version", 3)),
            "has format version 3.*: update",
        ),
        (lambda path: change(path, lambda file: file.attrs.create("format_version", [1, 2])), "is damaged"),
        (lambda path: change(path, lambda file: file.pop("class_names")), "is damaged .*class_names"),
        (lambda path: change(path, replace("class_names", np.arange(3))), "is damaged"),
        (lambda path: change(path, replace("class_names", np.array([b"\xff", b"a", b"b"]))), "is damaged"),
        (lambda path: change(path, replace("class_names", np.array([b"a", b"b"]))), "has labels or class names that"),
        (lambda path: change(path, replace("label_map", np.array([b"?", b"1,7", b"2,8"]))), "has a label map"),
        (lambda path: change(path, replace("label_map", np.array([b"1,9", b"0,7", b"2,8"]))), "has a label map"),
        (lambda path: change(path, replace("label_map", np.array([b"0,9", b"1,x", b"2,8"]))), "is damaged"),
        (lambda path: change(path, replace("train_labels", np.zeros((23, 1), int))), "lacks a label"),
        (lambda path: change(path, replace("train_labels", np.zeros(23))), "lacks a label"),
        (
            lambda path: change(path, replace("train_labels", np.zeros(23, ">i8"))),
            "is refused: its array",
        ),
        (
            lambda path: change(path, replace("train_labels", np.int64(0))),
            "is refused: its array",
        ),
        (lambda path: change(path, replace("train_ids", np.arange(22))), "lacks a label, an id"),
        (
            lambda path: change(path, replace("train_copies", np.zeros(22, np.int16))),
            "lacks a label, an id, a group or a copy",
        ),
        (
            lambda path: change(path, lambda file: (file.pop("train_ids"), file.create_group("train_ids"))),
            "is refused",
        ),
        (
            lambda path: change(path, lambda file: file.attrs.create("mean", [1.0])),
            "lacks a mean or a standard deviation",
        ),
        (lambda path: change(path, lambda file: file.attrs.modify("std", [1.0, np.nan, 1.0])), "lacks a mean"),
        (lambda path: change(path, lambda file: file.pop("train_labels")), "is damaged .*train_labels"),
        (
            lambda path: change(path, lambda file: file["train_labels"].write_direct(np.full(23, 3))),
            "has labels or class names",
        ),
        (lambda path: change(path, replace("train_images", np.zeros((23, 6, 6, 3)))), "has float64 .* are no images"),
        (
            lambda path: change(path, replace("train_images", np.zeros((23, 6, 6), np.uint8))),
            "has uint8 .* are no images",
        ),
        (lambda path: change(path, replace("train_images", np.zeros((22, 6, 6, 3), np.uint8))), "lacks a label"),
    ],
)
def test_a_file_that_is_not_a_dataset_is_refused(path: Path, spoil: Any, problem: str) -> None:
    write(path)
    spoil(path)

    with pytest.raises(DataError, match=rf"dataset\.h5 {problem}"):
        ImageSet(path)


def test_no_items_with_a_transform_are_refused(path: Path) -> None:
    write(path)
    with pytest.raises(IndexError, match="no items were chosen"):
        ImageSet(path, transform=lambda image: image)[[]]
