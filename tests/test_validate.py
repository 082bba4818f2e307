import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from imageset import layout, tables
from imageset.errors import DataError
from stages import validate
from tests.test_build import build_in

CHECKS = {"products_in_one_subset", "groups_in_one_subset", "photos_as_split", "copies_complete", "labels_as_catalog",
          "labels_in_map", "label_map_as_catalog", "digest_matches"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a good dataset and its tables."""
    return build_in(tmp_path_factory.mktemp("good")).parent


@pytest.fixture
def data(good: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to plant faults in."""
    return Path(shutil.copytree(good, tmp_path / "data"))


def run(data: Path) -> None:
    validate.main(data / "dataset.h5", data / "catalog.csv", data / "split.csv", data / "validation.json")


def failed(data: Path) -> set[str]:
    """Return the checks that reports/validation.json calls failed."""
    verdicts = json.loads((data / "validation.json").read_text())
    found = {name for name, verdict in verdicts["checks"].items() if not verdict["passed"]}

    assert set(verdicts["checks"]) == CHECKS
    assert verdicts["passed"] == (not found)
    assert all(bool(verdict["violations"]) == bool(verdict["examples"]) == (name in found)
               for name, verdict in verdicts["checks"].items())
    return found


def change_rows(file: h5py.File, subset: str, rows: list[int]) -> None:
    """Let the subset consist of these rows."""
    for name in [name for name in file if name.startswith(subset)]:
        values = file[name][:][rows]
        del file[name]
        layout.add(file, name, values)


def photo_in_both_subsets(file: h5py.File) -> None:
    for name in ("ids", "positions", "labels"):
        file[f"test_{name}"][0] = file[f"train_{name}"][0]


def photo_left_out(file: h5py.File) -> None:
    change_rows(file, "test", [0])


def photo_twice(file: h5py.File) -> None:
    change_rows(file, "test", [0, 1, 2, 2])


def photo_of_nobody(file: h5py.File) -> None:
    file["test_ids"][0] = 999_999


def other_label(file: h5py.File) -> None:
    file["test_labels"][0] = (file["test_labels"][0] + 1) % 3


def label_above_the_map(file: h5py.File) -> None:
    file["test_labels"][0] = 3


def label_below_the_map(file: h5py.File) -> None:
    file["test_labels"][0] = -1


def copy_left_out(file: h5py.File) -> None:
    last = int(np.flatnonzero(file["train_copies"][:] == 4)[0])
    change_rows(file, "train", [row for row in range(len(file["train_ids"])) if row != last])


def copy_twice(file: h5py.File) -> None:
    file["train_copies"][int(np.flatnonzero(file["train_copies"][:] == 4)[0])] = 3


def copy_in_place_of_the_photo(file: h5py.File) -> None:
    file["train_copies"][int(np.flatnonzero(file["train_copies"][:] == 0)[0])] = 5


def other_catalog_id(file: h5py.File) -> None:
    file["label_map"][1] = b"1,1999"


def map_out_of_order(file: h5py.File) -> None:
    file["label_map"][:] = file["label_map"][:][::-1]


FAULTS: dict[Callable[[h5py.File], None], set[str]] = {
    photo_in_both_subsets: {"products_in_one_subset", "groups_in_one_subset", "photos_as_split"},
    photo_left_out: {"photos_as_split"},
    photo_twice: {"photos_as_split", "copies_complete"},
    photo_of_nobody: {"photos_as_split", "labels_as_catalog"},
    other_label: {"labels_as_catalog"},
    label_above_the_map: {"labels_as_catalog", "labels_in_map"},
    label_below_the_map: {"labels_as_catalog", "labels_in_map"},
    copy_left_out: {"copies_complete"},
    copy_twice: {"copies_complete"},
    copy_in_place_of_the_photo: {"photos_as_split", "copies_complete"},
    other_catalog_id: {"label_map_as_catalog"},
    map_out_of_order: {"label_map_as_catalog"},
}


def test_a_good_dataset_passes_every_check(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(data)

    assert failed(data) == set()
    assert capsys.readouterr().out == "validate: 8 checks passed\n"


@pytest.mark.parametrize(("plant", "checks"), FAULTS.items())
def test_a_writer_that_errs_fails_just_the_checks_for_it(plant: Callable[[h5py.File], None], checks: set[str],
                                                         data: Path) -> None:
    with h5py.File(data / "dataset.h5", "r+") as file:
        plant(file)
        file.attrs["content_digest"] = layout.content_digest(file)

    with pytest.raises(DataError, match=r"dataset\.h5 is wrong: ") as caught:
        run(data)

    assert failed(data) == checks
    assert all(f"{check}: " in str(caught.value) for check in checks)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["train_images", "test_images", "train_labels", "class_names"])
def test_a_change_after_writing_shows_in_the_digest(name: str, data: Path) -> None:
    with h5py.File(data / "dataset.h5", "r+") as file:
        values = file[name][:]
        values[0] = b"?" if name == "class_names" else values[0] ^ 1
        file[name][:] = values

    with pytest.raises(DataError, match=r"digest_matches: 1, such as [0-9a-f]{64}, noted [0-9a-f]{64}"):
        run(data)

    assert "digest_matches" in failed(data)


def test_near_duplicates_on_two_sides_fail_although_their_products_differ(data: Path) -> None:
    catalog = tables.read(data / "catalog.csv", tables.CATALOG)
    tables.write(data / "catalog.csv", tables.CATALOG, catalog.assign(group=catalog["group"].replace(109, 100)))

    with pytest.raises(DataError, match="groups_in_one_subset: 1, such as 100 test"):
        run(data)

    assert failed(data) == {"groups_in_one_subset"}


def test_a_photo_on_another_side_than_in_the_split_fails(data: Path) -> None:
    split = tables.read(data / "split.csv", tables.SPLIT)
    split.loc[split["product_id"] == 103, "subset"] = "test"
    tables.write(data / "split.csv", tables.SPLIT, split)

    with pytest.raises(DataError, match="photos_as_split: 2, such as 103 0 train"):
        run(data)

    assert failed(data) == {"photos_as_split"}


def test_a_class_that_the_map_lacks_fails(data: Path) -> None:
    catalog = tables.read(data / "catalog.csv", tables.CATALOG)
    more = pd.concat([catalog, catalog[:1].assign(product_id=999, label=3, catalog_id=1003, group=999)])
    tables.write(data / "catalog.csv", tables.CATALOG, more)

    with pytest.raises(DataError, match="label_map_as_catalog: 1, such as 3 1003"):
        run(data)


def test_an_incomplete_file_is_not_even_opened(data: Path) -> None:
    with h5py.File(data / "dataset.h5", "r+") as file:
        file.attrs["complete"] = False

    with pytest.raises(DataError, match="is incomplete"):
        run(data)

    assert not (data / "validation.json").exists()


@pytest.mark.parametrize("name", ["train_copies", "test_positions", "label_map"])
def test_a_file_without_one_of_its_arrays_is_refused(name: str, data: Path) -> None:
    with h5py.File(data / "dataset.h5", "r+") as file:
        del file[name]

    with pytest.raises(DataError):
        run(data)


def test_columns_of_another_length_than_the_images_are_refused(data: Path) -> None:
    with h5py.File(data / "dataset.h5", "r+") as file:
        labels = file["test_labels"][:-1]
        del file["test_labels"]
        layout.add(file, "test_labels", labels)

    with pytest.raises(DataError, match="test has 3 images and another number of label values"):
        run(data)
