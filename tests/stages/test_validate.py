"""The dataset file against its tables; what the file says of itself is tests/dataset/test_verify.py's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from imageset.errors import DataError
from imageset.formats import hdf5, tables
from stages import validate
from tests.conftest import run_stage
from tests.dataset.test_verify import CHECKS as OF_THE_FILE
from tests.dataset.test_verify import (
    FORMAT,
    change_rows,
    copy_left_out,
    label_above_the_map,
    note_moments,
    other_params,
    photo_twice_in_test,
    pixels_in_both_subsets,
    plant,
    row_of_copy,
)
from tests.project import ROOT
from tests.stages.test_build import build_in, photo_table

Fault = Callable[[h5py.File], None]

OF_TABLES = {
    "groups_as_catalog",
    "columns_as_attributes",
    "photos_as_split",
    "labels_as_catalog",
    "label_map_as_table",
    "counts_as_tables",
    "hashes_in_one_subset",
    "pixels_as_processed",
    "copies_as_rendered",
}
INPUTS = (
    "dataset.h5",
    "processed.h5",
    "processed.csv",
    "catalog.csv",
    "label_map.csv",
    "split.csv",
    "attributes.csv",
)


def make_hashes(data: Path) -> None:
    """Write processed.csv for the photos of tests.stages.test_build: each with hashes of its own."""
    table = photo_table(8)
    table["sha256"] = [f"{row:064x}" for row in table["row"]]
    table["phash"] = [f"{row:016x}" for row in table["row"]]
    table["phash_mirrored"] = [f"{2**63 + row:016x}" for row in table["row"]]
    tables.write(data / "processed.csv", tables.PROCESSED, table)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a good dataset and its tables."""
    data = build_in(tmp_path_factory.mktemp("good")).parent
    make_hashes(data)
    return data


@pytest.fixture
def data(good: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to plant faults in."""
    return Path(shutil.copytree(good, tmp_path / "data"))


def run(data: Path) -> None:
    validate.main(*[data / name for name in (*INPUTS, "verdict.json", "validation.json")])


def failed(data: Path) -> set[str]:
    """Return the checks that data/validation.json calls failed."""
    written = json.loads((data / "validation.json").read_text())
    verdicts: dict[str, dict[str, Any]] = written["checks"]
    found = {name for name, verdict in verdicts.items() if not verdict["passed"]}

    assert set(verdicts) in (OF_TABLES | set(OF_THE_FILE), set(FORMAT))
    assert written["passed"] == (not found)
    assert json.loads((data / "verdict.json").read_text()) == {
        "passed": not found,
        "checks": len(verdicts),
        "failed": len(found),
        "leaks": sum(verdicts[name]["violations"] for name in found if name.endswith("_in_one_subset")),
    }
    assert all(set(verdict) == {"passed", "examined", "violations", "examples"} for verdict in verdicts.values())
    assert all(
        bool(verdict["violations"]) == bool(verdict["examples"]) == (name in found)
        for name, verdict in verdicts.items()
    )
    return found


def refused(data: Path) -> str:
    """Run the stage and return the message that it fails with."""
    with pytest.raises(DataError) as caught:
        run(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(data: Path, name: str, table: tables.Table, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    tables.write(data / name, table, change(tables.read(data / name, table)))


def test_a_good_dataset_passes_every_check(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(data)
    verdicts = json.loads((data / "validation.json").read_text())["checks"]

    assert failed(data) == set()
    assert {name: verdicts[name]["examined"] for name in OF_TABLES} == {
        "groups_as_catalog": 43,
        "columns_as_attributes": 0,
        "photos_as_split": 11,
        "labels_as_catalog": 43,
        "label_map_as_table": 3,
        "counts_as_tables": 3 * 5 + 2,
        "hashes_in_one_subset": 11,
        "pixels_as_processed": 11,
        "copies_as_rendered": 32,
    }
    assert capsys.readouterr().out == "validate: 21 checks passed\n"


def labels_swapped(file: h5py.File) -> None:
    ids, labels = file["test_ids"][:], file["test_labels"][:]
    swapped = [int(np.flatnonzero(ids == product_id)[0]) for product_id in (109, 121)]
    file["test_labels"][:] = np.where(np.isin(np.arange(3), swapped), 1 - labels, labels)


def other_catalog_id(file: h5py.File) -> None:
    file["label_map"][1] = b"1,1999"


def other_class_name(file: h5py.File) -> None:
    file["class_names"][1] = b"coats"


def photo_in_both_subsets(file: h5py.File) -> None:
    row = row_of_copy(file, 0)
    for name in ("ids", "positions", "groups"):
        file[f"test_{name}"][0] = file[f"train_{name}"][row]
    file["test_labels"][0] = file["train_labels"][row]


def photo_left_out(file: h5py.File) -> None:
    change_rows(file, "test", [0, 1])


def photo_of_nobody(file: h5py.File) -> None:
    file["test_ids"][0] = 999_999


def other_label(file: h5py.File) -> None:
    file["test_labels"][0] = (file["test_labels"][0] + 1) % 3


def photo_gone_and_its_copies_left(file: h5py.File) -> None:
    zero = row_of_copy(file, 0)
    change_rows(file, "train", [row for row in range(len(file["train_ids"])) if row != zero])
    note_moments(file)


def pixels_of_another_photo(file: h5py.File) -> None:
    """Two test photos change places, but not their labels."""
    file["test_images"][:2] = file["test_images"][:2][::-1]


def copy_of_another_photo(file: h5py.File) -> None:
    copies = np.flatnonzero(file["train_copies"][:] > 0)
    other = next(row for row in copies if file["train_ids"][row] != file["train_ids"][copies[0]])
    file["train_images"][copies[0]] = file["train_images"][other]


def copy_of_a_test_photo(file: h5py.File) -> None:
    file["train_images"][row_of_copy(file, 1)] = file["test_images"][0]


# Where several checks fail, each sees another side of the one fault.
FAULTS: dict[Fault, set[str]] = {
    labels_swapped: {"labels_as_catalog"},
    other_catalog_id: {"label_map_as_table"},
    other_class_name: {"label_map_as_table"},
    # Pixels of another photo are not the photo's own either.
    pixels_in_both_subsets: {"pixels_in_one_subset", "pixels_as_processed"},
    pixels_of_another_photo: {"pixels_as_processed"},
    copy_of_another_photo: {"copies_as_rendered"},
    copy_of_a_test_photo: {"copies_as_rendered", "pixels_in_one_subset"},
    # A row less, or one of another label, is one less of the tables' count.
    photo_left_out: {"photos_as_split", "counts_as_tables"},
    other_label: {"labels_as_catalog", "counts_as_tables"},
    label_above_the_map: {"labels_as_catalog", "labels_in_map", "counts_as_tables"},
    copy_left_out: {"copies_complete", "counts_as_tables"},
    photo_twice_in_test: {"copies_complete", "counts_as_tables"},
    photo_gone_and_its_copies_left: {"augmented_as_photos", "photos_as_split", "counts_as_tables"},
    # The params decide what either check expects.
    other_params: {"copies_complete", "counts_as_tables"},
    # A photo that no table knows is not the split's, and its label not the catalog's.
    photo_of_nobody: {"photos_as_split", "labels_as_catalog"},
    # A photo has its product, its group and its hash with it.
    photo_in_both_subsets: {
        "products_in_one_subset",
        "groups_in_one_subset",
        "hashes_in_one_subset",
        "photos_as_split",
        "counts_as_tables",
        "pixels_as_processed",
    },
}


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_a_writer_that_errs_fails_just_the_checks_for_it(fault: Fault, names: set[str], data: Path) -> None:
    plant(data / "dataset.h5", fault)
    message = refused(data)

    assert failed(data) == names
    assert "dataset.h5 is wrong: " in message
    assert all(f"{name}: " in message for name in names)


def test_near_duplicates_on_two_sides_fail_although_their_products_differ(data: Path) -> None:
    edit(data, "catalog.csv", tables.CATALOG, lambda table: table.assign(group=table["group"].replace(109, 100)))
    plant(data / "dataset.h5", group_109_as_100)

    assert "groups_in_one_subset: 2, such as test 109 0 of group 100" in refused(data)
    assert failed(data) == {"groups_in_one_subset"}


def group_109_as_100(file: h5py.File) -> None:
    for subset in ("train", "test"):
        groups = file[f"{subset}_groups"][:]
        file[f"{subset}_groups"][:] = np.where(groups == 109, 100, groups)


def test_other_groups_than_the_catalogs_fail(data: Path) -> None:
    edit(data, "catalog.csv", tables.CATALOG, lambda table: table.assign(group=table["group"].replace(112, 90)))

    assert "groups_as_catalog: 5, such as train 112 0" in refused(data)
    assert failed(data) == {"groups_as_catalog"}


def test_other_further_columns_than_the_tables_fail(tmp_path: Path) -> None:
    data = build_in(tmp_path, columns="[brand]").parent
    make_hashes(data)
    run(data)
    assert failed(data) == set()
    (data / "attributes.csv").write_text("product_id,position,brand\n100,0,Other\n103,0,Zed\n")

    assert "columns_as_attributes: 5, such as train 100 0" in refused(data)
    assert failed(data) == {"columns_as_attributes"}


def test_a_further_column_that_the_file_cuts_off_fails(tmp_path: Path) -> None:
    """The longest text of the file fills its width."""
    data = build_in(tmp_path, columns="[brand]").parent
    make_hashes(data)
    with h5py.File(data / "dataset.h5") as file:
        width = file["train_column_brand"].dtype.itemsize
    written = (data / "attributes.csv").read_text().splitlines()
    longer = [line + "x" if len(line.partition(",0,")[2].encode()) == width else line for line in written]
    assert longer != written
    (data / "attributes.csv").write_text("\n".join(longer) + "\n")

    assert "columns_as_attributes" in refused(data)


def test_photos_in_other_subsets_than_in_the_split_fail(data: Path) -> None:
    """100 and 109, two photos of one class each, have changed places: the counts stay as they are."""
    places = {100: "test", 109: "train"}
    edit(
        data,
        "split.csv",
        tables.SPLIT,
        lambda table: table.assign(subset=table["product_id"].map(places).fillna(table["subset"])),
    )

    assert "photos_as_split: 8, such as train 100 0 is only in the file" in refused(data)
    assert failed(data) == {"photos_as_split"}


@pytest.mark.parametrize(
    ("held_out", "of_train"), [("phash", "phash"), ("phash", "phash_mirrored"), ("phash_mirrored", "phash")]
)
def test_a_held_out_photo_with_the_hash_of_a_training_photo_fails(held_out: str, of_train: str, data: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        value = table.loc[table["product_id"] == 103, of_train].item()
        table.loc[table["product_id"] == 121, held_out] = value
        return table

    edit(data, "processed.csv", tables.PROCESSED, change)

    assert "hashes_in_one_subset: 1, such as test 121 0 with hash " in refused(data)
    assert failed(data) == {"hashes_in_one_subset"}


def test_equal_hashes_of_one_subset_and_of_two_mirror_images_pass(data: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["product_id"].isin([109, 121]), "phash"] = "f" * 16
        return table.assign(phash_mirrored="e" * 16)

    edit(data, "processed.csv", tables.PROCESSED, change)
    run(data)

    assert failed(data) == set()


def test_a_class_that_the_files_map_lacks_fails(data: Path) -> None:
    more = pd.DataFrame([(3, 1003, "hats")], columns=["label", "catalog_id", "name"])
    edit(data, "label_map.csv", tables.LABEL_MAP, lambda table: pd.concat([table, more]))

    assert "label_map_as_table: 1, such as row 3: [], the table has [(b'3,1003', b'hats')]" in refused(data)
    assert failed(data) == {"label_map_as_table"}


def test_balanced_classes_are_counted_as_the_files_params_say(
    in_project: Path, monkeypatch: pytest.MonkeyPatch, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("  balance: none", "  balance: to_max")
    monkeypatch.setattr("tests.stages.test_build.ROOT", in_project)
    data = build_in(in_project).parent
    make_hashes(data)
    run(data)

    assert failed(data) == set()


def test_ids_beyond_what_a_float_holds_are_told_apart(data: Path) -> None:
    """As integers throughout: pandas makes floats of those among which one is missing."""
    large = 2**53
    with h5py.File(data / "dataset.h5", "r+") as file:
        for name in ("train_ids", "test_ids", "train_groups", "test_groups"):
            file[name][:] += large
        file.attrs["content_digest"] = hdf5.content_digest(file)
    for name, table in {
        "catalog.csv": tables.CATALOG,
        "processed.csv": tables.PROCESSED,
        "split.csv": tables.SPLIT,
    }.items():
        edit(data, name, table, lambda rows: rows.assign(product_id=rows["product_id"] + large))
    edit(data, "catalog.csv", tables.CATALOG, lambda rows: rows.assign(group=rows["group"] + large))

    assert "copies_as_rendered" in refused(data)  # with other ids other copies are drawn
    assert failed(data) == {"copies_as_rendered"}

    plant(data / "dataset.h5", lambda file: file["test_ids"].write_direct(file["test_ids"][:] + np.array([0, 0, 1])))
    refused(data)

    assert "photos_as_split" in failed(data)


def test_an_incomplete_file_is_not_even_opened(data: Path) -> None:
    with h5py.File(data / "dataset.h5", "r+") as file:
        file.attrs["complete"] = False

    assert "is incomplete" in refused(data)
    assert not (data / "validation.json").exists()


def test_without_its_arrays_there_is_nothing_to_hold_against_the_tables(data: Path) -> None:
    with h5py.File(data / "dataset.h5", "r+") as file:
        del file["train_copies"]
        labels = file["test_labels"][:-1]
        del file["test_labels"]
        hdf5.add(file, "test_labels", labels)

    assert "arrays_as_format: 1, such as train_copies is missing" in refused(data)
    assert failed(data) == {"arrays_as_format"}


def test_tables_that_do_not_name_the_same_photos_are_refused(data: Path) -> None:
    edit(data, "split.csv", tables.SPLIT, lambda table: table[1:])

    assert "split.csv and " in refused(data)


def test_a_subset_that_is_none_of_ours_is_refused(data: Path) -> None:
    edit(data, "split.csv", tables.SPLIT, lambda table: table.assign(subset="training"))

    assert "split.csv names a subset 'training'" in refused(data)


@pytest.mark.parametrize("value", ["", "hash", "f" * 17])
def test_a_hash_that_is_none_is_refused(value: str, data: Path) -> None:
    edit(data, "processed.csv", tables.PROCESSED, lambda table: table.assign(phash=value))

    assert "processed.csv has a hash that is none" in refused(data)


def test_the_stage_writes_its_report_and_then_fails_in_one_line(data: Path) -> None:
    plant(data / "dataset.h5", pixels_in_both_subsets)
    shutil.copy(ROOT / "params.yaml", data)  # which every stage checks
    done = run_stage(
        "validate", *(data / name for name in INPUTS), data / "verdict.json", data / "validation.json", cwd=data
    )

    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("validate: ")] == [
        done.stderr.splitlines()[-1]
    ]
    assert "raise preprocess.min_foreground" in done.stderr
    assert failed(data) == {"pixels_in_one_subset", "pixels_as_processed"}
