"""A loader reads Subset and ConcatDataset of ImageSets, and tells which rows and groups a batch has."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset, random_split

from imageset.formats import hdf5
from imageset.reader import ImageSet, loader
from tests.dataset_files import COUNTS, write
from tests.project import ROOT

SHUFFLES: list[Any] = [False, True, "blocks"]
every_shuffle = pytest.mark.parametrize("shuffle", SHUFFLES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "dataset.h5")
    with h5py.File(tmp_path / "dataset.h5", "r+") as file:
        for number, (subset, count) in enumerate(COUNTS.items()):
            hdf5.add(file, f"{subset}_groups", 100 * number + np.arange(count) // 2)
    return tmp_path / "dataset.h5"


def nest(path: Path) -> dict[str, Any]:
    """Return datasets made of ImageSets, by name."""
    train, plain, test = ImageSet(path), ImageSet(path, augmented=False), ImageSet(path, "test")
    backwards, some = tuple[Any, Any]((np.arange(7)[::-1], torch.tensor([0, 6, 2])))  # as folds and randperm give them
    return {
        "one": train,
        "subset": Subset(train, [5, -1, 5, 0]),
        "subset of a subset": Subset(Subset(plain, backwards), some),
        "sum": train + test,
        "sum with itself": plain + plain,
        "subset of a sum": Subset(ConcatDataset([test, plain, train]), range(35, -36, -3)),
        "sum of subsets": ConcatDataset([Subset(test, [4]), Subset(train, []), *random_split(plain, [3, 5]), test]),
    }


@every_shuffle
@pytest.mark.parametrize(
    "name", ["one", "subset", "subset of a subset", "sum", "sum with itself", "subset of a sum", "sum of subsets"]
)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_loader_has_the_items_of_the_dataset(path: Path, name: str, shuffle: Any, normalize: bool) -> None:
    dataset = nest(path)[name]
    for part in parts_of(dataset):
        part.normalize = normalize
    items = list(DataLoader(dataset, batch_size=None))
    batches = loader(dataset, 4, shuffle, extras=("rows",), block_bytes=3 * 108, buffer_bytes=9 * 108)
    seen = []
    for images, labels, rows in batches:
        seen += rows.tolist()
        for image, label, row in zip(images, labels.tolist(), rows.tolist(), strict=True):
            assert torch.equal(image, items[row][0])
            assert label == items[row][1]

    assert sorted(seen) == list(range(len(dataset)))
    assert shuffle or seen == sorted(seen)


def parts_of(dataset: Any) -> list[ImageSet]:
    if isinstance(dataset, ImageSet):
        return [dataset]
    if isinstance(dataset, Subset):
        return parts_of(dataset.dataset)
    return [part for each in dataset.datasets for part in parts_of(each)]


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
def test_files_of_any_storage_can_be_joined(tmp_path: Path, compression: Any) -> None:
    """And of several files. Their means differ, so normalize is refused."""
    write(tmp_path / "one.h5", counts={"train": 5, "test": 3}, compression=compression)
    write(tmp_path / "other.h5", counts={"train": 9, "test": 3})
    dataset = ImageSet(tmp_path / "one.h5") + ImageSet(tmp_path / "other.h5")
    ((images, _),) = loader(dataset, 20, shuffle=True, seed=1)
    (order,) = (rows for *_, rows in loader(dataset, 20, shuffle=True, seed=1, extras=["rows"]))

    assert torch.equal(images, torch.stack([dataset[int(row)][0] for row in order]))
    with pytest.raises(ValueError, match="differ in mean: a loader needs the same"):
        loader(ImageSet(tmp_path / "one.h5", normalize=True) + ImageSet(tmp_path / "other.h5", normalize=True), 5)


def test_an_extra_is_in_the_place_where_it_was_asked_for(path: Path) -> None:
    train, dataset = ImageSet(path), ImageSet(path, augmented=False)
    assert train.groups is not None
    for images, labels, groups, rows in loader(dataset, 3, True, extras=("groups", "rows")):
        file_rows = dataset.file_rows[rows]
        assert (images[:, 0, 0, 0].numpy() == file_rows).all()
        assert groups.tolist() == (file_rows // 2).tolist()
        assert rows.dtype == groups.dtype == labels.dtype == torch.int64


def test_extras_come_with_transforms_too(path: Path) -> None:
    dataset = ImageSet(path, transform=torch.clone, target_transform=str)
    _, labels, rows = next(iter(loader(dataset, 4, True, extras=["rows"], device="meta")))

    assert len(labels) == 4
    assert rows.device.type == "meta"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: Subset(ImageSet(path), [0, 23]), IndexError, "index 23 is out of range for 23 images"),
        (lambda path: Subset(ImageSet(path), [-24]), IndexError, "index -24 is out of range"),
        (
            lambda path: ConcatDataset([ImageSet(path), TensorDataset(torch.zeros(1))]),
            TypeError,
            "__getitem__ of TensorDataset: use",
        ),
        (lambda path: [1], TypeError, "__getitem__ of list: use"),
        (lambda path: ImageSet(path) + ImageSet(path, normalize=True), ValueError, "differ in normalize"),
        (lambda path: ImageSet(path) + ImageSet(path, transform=torch.clone), ValueError, "differ in transform"),
        (lambda path: ImageSet(path) + ImageSet(gray(path)), ValueError, "differ in image_shape"),
        (lambda path: ImageSet(path) + ImageSet(renamed(path)), ValueError, "differ in classes"),
    ],
)
def test_what_a_loader_cannot_read_is_refused(path: Path, make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        loader(make(path), 4)


def gray(path: Path) -> Path:
    write(path.with_name("gray.h5"), channels=1)
    return path.with_name("gray.h5")


def renamed(path: Path) -> Path:
    write(path.with_name("renamed.h5"), names=["a", "b", "c"])
    return path.with_name("renamed.h5")


def test_options_that_are_changed_later_are_compared_again(path: Path) -> None:
    train, test = ImageSet(path), ImageSet(path, "test")
    batches = loader(train + test, 4)
    train.transform = torch.clone

    with pytest.raises(ValueError, match="differ in transform"):
        next(iter(batches))


def test_groups_that_are_not_there_or_of_several_files_are_refused(path: Path) -> None:
    version_1 = ImageSet(ROOT / "tests/dataset/version1.h5")
    other = path.with_name("other.h5")
    write(other, counts={"train": 4, "test": 2})
    with h5py.File(other, "r+") as file:
        hdf5.add(file, "train_groups", np.arange(4))

    with pytest.raises(ValueError, match=r"version1.h5 has format version 1, which has no groups"):
        loader(version_1, 4, extras=["groups"])
    with pytest.raises(ValueError, match="the groups of several files are not comparable"):
        loader(ImageSet(path) + ImageSet(other), 4, extras=["groups"])
    with pytest.raises(ValueError, match="extras has 'labels', it may have 'rows' and 'groups'"):
        loader(version_1, 4, extras=["labels"])  # type: ignore[list-item]


def test_a_state_of_other_rows_is_refused(path: Path) -> None:
    photos = ImageSet(path)
    one, other = (loader(Subset(photos, rows), 2) for rows in ([1, 2, 3], [1, 2, 4]))
    one.load_state_dict(loader(Subset(photos, (1, 2, 3)), 2).state_dict())

    with pytest.raises(ValueError, match="the state was saved with rows of the checksum"):
        one.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="the state was saved with subset 'test"):
        loader(photos + ImageSet(path, "test"), 2).load_state_dict(
            loader(ImageSet(path, "test") + photos, 2).state_dict()
        )
