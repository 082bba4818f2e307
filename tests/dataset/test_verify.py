"""Each fault that a dataset file can have on its own, planted in a file that build made."""

import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from imageset.dataset import row_checks, verify
from imageset.dataset.check import Check
from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5, source_ids
from imageset.formats.channel_stats import ChannelStats
from imageset.runtime import params
from tests.dataset_files import Storage, add_images
from tests.project import ROOT
from tests.stages.test_build import SIDE, build_in, make_inputs, photo_table
from tests.stages.test_build import run as run_build
from tools import verify as tool

Fault = Callable[[h5py.File], None]

FORMAT = ("attributes_as_format", "arrays_as_format")
CHECKS = (
    *FORMAT,
    "products_in_one_subset",
    "augmented_as_photos",
    "copies_complete",
    "labels_in_map",
    "label_map_complete",
    "groups_in_one_subset",
    "products_in_one_group",
    "pixels_in_one_subset",
    "mean_and_std",
    "digest_matches",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_in(tmp_path_factory.mktemp("good"))


@pytest.fixture
def path(good: Path, tmp_path: Path) -> Path:
    """A copy of a good file, to plant faults in."""
    return Path(shutil.copy(good, tmp_path / "dataset.h5"))


def outcomes(path: Path) -> dict[str, Check]:
    with hdf5.open_file(path, hdf5.DATASET) as file:
        found = list(verify.verify(file))
    assert all(type(check.examined) is type(check.violations) is int for check in found)
    assert all(len(check.examples) == min(5, check.violations) for check in found)
    return {check.name: check for check in found}


def failed(path: Path) -> set[str]:
    return {name for name, check in outcomes(path).items() if not check.passed}


def plant(path: Path, fault: Fault, noted: bool = True) -> None:
    """Plant a fault; noted: by a writer that notes the digest of what it wrote."""
    with h5py.File(path, "r+") as file:
        fault(file)
        if noted:
            file.attrs["content_digest"] = hdf5.content_digest(file)


def note_moments(file: h5py.File) -> None:
    """Note the mean and deviation of what the file holds."""
    stats = ChannelStats(file["train_images"].shape[-1])
    stats.add(file["train_images"][:][file["train_copies"][:] == 0])
    file.attrs["mean"], file.attrs["std"] = stats.mean(), stats.std()


def row_of_copy(file: h5py.File, copy: int) -> int:
    return int(np.flatnonzero(file["train_copies"][:] == copy)[0])


def change_rows(file: h5py.File, subset: str, rows: list[int]) -> None:
    """Let the subset consist of these rows."""
    for name in [name for name in file if name.startswith(subset)]:
        values = file[name][:][rows]
        del file[name]
        hdf5.add(file, name, values)


def replace(file: h5py.File, name: str, values: object) -> None:
    del file[name]
    file.create_dataset(name, data=values)


def product_in_both_subsets(file: h5py.File) -> None:
    file["test_ids"][0] = file["train_ids"][0]


def pixels_in_both_subsets(file: h5py.File) -> None:
    file["test_images"][1] = file["train_images"][row_of_copy(file, 0)]


def blank_in_both_subsets(file: h5py.File) -> None:
    file["test_images"][0] = 255
    file["train_images"][row_of_copy(file, 0)] = 255
    note_moments(file)


def augmented_of_nobody(file: h5py.File) -> None:
    # One row more, not another id in its place: then the photo whose copy it was would lack that as well.
    change_rows(file, "train", [*range(len(file["train_ids"])), row_of_copy(file, 4)])
    file["train_ids"][-1] = 999_999


def augmented_of_another_position(file: h5py.File) -> None:
    change_rows(file, "train", [*range(len(file["train_ids"])), row_of_copy(file, 4)])
    file["train_positions"][-1] = 7


def augmented_with_another_label(file: h5py.File) -> None:
    row = row_of_copy(file, 3)
    file["train_labels"][row] = (file["train_labels"][row] + 1) % 3


def augmented_without_their_photo(file: h5py.File) -> None:
    zero = row_of_copy(file, 0)
    change_rows(file, "train", [row for row in range(len(file["train_ids"])) if row != zero])
    note_moments(file)


def copy_left_out(file: h5py.File) -> None:
    last = row_of_copy(file, 4)
    change_rows(file, "train", [row for row in range(len(file["train_ids"])) if row != last])


def copy_twice(file: h5py.File) -> None:
    file["train_copies"][row_of_copy(file, 4)] = 3


def copy_too_many(file: h5py.File) -> None:
    change_rows(file, "train", [*range(len(file["train_ids"])), row_of_copy(file, 4)])
    file["train_copies"][-1] = 5


def copy_below_zero(file: h5py.File) -> None:
    file["train_copies"][row_of_copy(file, 4)] = -1


def photo_twice_in_train(file: h5py.File) -> None:
    change_rows(file, "train", [*range(len(file["train_ids"])), row_of_copy(file, 0)])
    note_moments(file)


def photo_twice_in_test(file: h5py.File) -> None:
    change_rows(file, "test", [0, 1, 2, 2])


def other_params(file: h5py.File) -> None:
    sections = json.loads(file.attrs["params"])
    sections["augment"]["balance"] = "to_max"
    file.attrs["params"] = json.dumps(sections)


def label_above_the_map(file: h5py.File) -> None:
    file["test_labels"][0] = 3


def label_below_the_map(file: h5py.File) -> None:
    file["test_labels"][0] = -1


def map_out_of_order(file: h5py.File) -> None:
    file["label_map"][:] = file["label_map"][:][::-1]


def catalog_id_twice(file: h5py.File) -> None:
    file["label_map"][1] = b"1,1000"


def catalog_id_of_letters(file: h5py.File) -> None:
    file["label_map"][1] = b"1,coat"


def class_without_a_name(file: h5py.File) -> None:
    file["class_names"][2] = b""


def class_name_of_no_text(file: h5py.File) -> None:
    file["class_names"][2] = b"\xff\n"


def a_name_too_few(file: h5py.File) -> None:
    replace(file, "class_names", file["class_names"][:-1])


def other_mean(file: h5py.File) -> None:
    file.attrs["mean"] = np.nextafter(file.attrs["mean"], 256)


def std_of_three_channels(file: h5py.File) -> None:
    file.attrs["std"] = np.repeat(file.attrs["std"], 3)


def mean_of_all_rows(file: h5py.File) -> None:
    file.attrs["mean"] = file["train_images"][:].mean(axis=(0, 1, 2))


def no_number(file: h5py.File) -> None:
    file.attrs["std"] = np.array([np.nan])


def no_training_photo(file: h5py.File) -> None:
    change_rows(file, "train", [])


def group_in_both_subsets(file: h5py.File) -> None:
    groups = file["test_groups"][:]
    groups[file["test_ids"][:] == file["test_ids"][0]] = file["train_groups"][0]
    file["test_groups"][:] = groups


def product_in_two_groups(file: h5py.File) -> None:
    file["train_groups"][3] = 7


FAULTS: dict[Fault, str] = {
    pixels_in_both_subsets: "pixels_in_one_subset",
    blank_in_both_subsets: "pixels_in_one_subset",
    augmented_of_nobody: "augmented_as_photos",
    augmented_of_another_position: "augmented_as_photos",
    augmented_with_another_label: "augmented_as_photos",
    augmented_without_their_photo: "augmented_as_photos",
    copy_left_out: "copies_complete",
    copy_twice: "copies_complete",
    copy_too_many: "copies_complete",
    copy_below_zero: "copies_complete",
    photo_twice_in_train: "copies_complete",
    photo_twice_in_test: "copies_complete",
    other_params: "copies_complete",
    label_above_the_map: "labels_in_map",
    label_below_the_map: "labels_in_map",
    map_out_of_order: "label_map_complete",
    catalog_id_twice: "label_map_complete",
    catalog_id_of_letters: "label_map_complete",
    class_without_a_name: "label_map_complete",
    class_name_of_no_text: "label_map_complete",
    a_name_too_few: "label_map_complete",
    other_mean: "mean_and_std",
    std_of_three_channels: "mean_and_std",
    mean_of_all_rows: "mean_and_std",
    no_number: "mean_and_std",
    no_training_photo: "mean_and_std",
    group_in_both_subsets: "groups_in_one_subset",
    product_in_two_groups: "products_in_one_group",
}


def test_a_product_in_both_subsets_is_in_two_groups_as_well(path: Path) -> None:
    plant(path, product_in_both_subsets)

    assert failed(path) == {"products_in_one_subset", "products_in_one_group"}


def test_a_file_of_version_1_passes_the_checks_of_version_1() -> None:
    path = ROOT / "tests/dataset/version1.h5"

    assert tuple(outcomes(path)) == tuple(name for name in CHECKS if "group" not in name)
    assert failed(path) == set()


def test_a_file_of_version_1_has_none_of_the_arrays_of_version_2(tmp_path: Path) -> None:
    path = Path(shutil.copy(ROOT / "tests/dataset/version1.h5", tmp_path))
    plant(path, lambda file: hdf5.add(file, "test_groups", file["test_ids"][:]))

    assert outcomes(path)["arrays_as_format"].examples == ["'test_groups' is no array of the format"]


def test_a_good_file_passes_every_check(good: Path) -> None:
    found = outcomes(good)

    assert tuple(found) == CHECKS
    assert [check.examined for check in found.values()] == [7, 13, 11, 32, 11, 43, 3, 43, 43, 43, 8 * SIDE * SIDE, 13]
    assert failed(good) == set()


@pytest.fixture(scope="module")
def with_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file with text ids and a further column."""
    path = build_in(tmp_path_factory.mktemp("texts"), columns="[brand]")
    with h5py.File(path, "r+") as file:
        texts = {}
        for subset in ("train", "test"):
            texts[subset] = [f"p-{product_id}" for product_id in file[f"{subset}_ids"][:].tolist()]
            hdf5.add_text(file, f"{subset}_source_ids", texts[subset])
            file[f"{subset}_ids"][:] = list(map(source_ids.number, texts[subset]))
        names = ["hats", "1001", "bags"]
        hdf5.add_text(file, "class_ids", names)
        pairs = [f"{label},{source_ids.number(name)}".encode() for label, name in enumerate(names)]
        replace(file, "label_map", np.array(pairs))
        file.attrs["content_digest"] = hdf5.content_digest(file)
    return path


def other_source_id(file: h5py.File) -> None:
    file["test_source_ids"][0] = b"p-999"


def source_id_of_no_text(file: h5py.File) -> None:
    file["test_source_ids"][0] = b"\xff"


def source_ids_of_train_alone(file: h5py.File) -> None:
    del file["test_source_ids"]


def other_class_id(file: h5py.File) -> None:
    file["class_ids"][2] = b"boots"


def a_class_id_too_few(file: h5py.File) -> None:
    replace(file, "class_ids", file["class_ids"][:-1])


def column_of_train_alone(file: h5py.File) -> None:
    del file["test_column_brand"]


def column_a_row_short(file: h5py.File) -> None:
    replace(file, "test_column_brand", file["test_column_brand"][:-1])


def column_of_numbers(file: h5py.File) -> None:
    replace(file, "test_column_brand", np.arange(len(file["test_ids"])))


def column_with_a_strange_name(file: h5py.File) -> None:
    file.move("test_column_brand", "test_column_007")


FAULTS_OF_TEXTS: dict[Fault, str] = {
    other_source_id: "ids_of_source_ids",
    source_id_of_no_text: "ids_of_source_ids",
    source_ids_of_train_alone: "arrays_as_format",
    other_class_id: "label_map_complete",
    a_class_id_too_few: "label_map_complete",
    column_of_train_alone: "arrays_as_format",
    column_a_row_short: "arrays_as_format",
    column_of_numbers: "arrays_as_format",
    column_with_a_strange_name: "arrays_as_format",
}


def test_a_good_file_with_text_ids_and_columns_passes_every_check(with_texts: Path) -> None:
    assert failed(with_texts) == set()
    assert set(outcomes(with_texts)) == {*CHECKS, "ids_of_source_ids"}


@pytest.mark.parametrize(("fault", "name"), FAULTS_OF_TEXTS.items())
def test_each_fault_of_texts_fails_just_the_check_for_it(
    fault: Fault, name: str, with_texts: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(with_texts, tmp_path))
    plant(path, fault)

    assert failed(path) == {name}
    assert "\n" not in outcomes(path)[name].summary()


@pytest.mark.parametrize(("fault", "name"), FAULTS.items())
def test_each_fault_fails_just_the_check_for_it(fault: Fault, name: str, path: Path) -> None:
    plant(path, fault)

    assert failed(path) == {name}
    assert "\n" not in outcomes(path)[name].summary()


@pytest.mark.parametrize(
    "name", ["train_images", "test_images", "train_positions", "test_groups", "label_map", "class_names"]
)
def test_a_change_after_writing_shows_in_the_digest(name: str, path: Path) -> None:
    def change(file: h5py.File) -> None:
        values = file[name][:]
        values[-1] = values[-1][:-1] + b"9" if values.dtype.kind == "S" else values[-1] ^ 64
        file[name][:] = values

    plant(path, change, noted=False)

    assert "digest_matches" in failed(path)


def test_a_photo_whose_copy_became_nobodys_lacks_it_too(path: Path) -> None:
    """Two checks: the row is of no photo, and its photo is a row short."""

    def rename(file: h5py.File) -> None:
        file["train_ids"][row_of_copy(file, 4)] = 999_999

    plant(path, rename)

    assert failed(path) == {"augmented_as_photos", "copies_complete"}


def test_an_augmented_copy_may_equal_its_photo_and_not_a_held_out_one(path: Path) -> None:
    def equal(file: h5py.File) -> None:
        file["train_images"][row_of_copy(file, 1)] = file["train_images"][row_of_copy(file, 0)]

    def leak(file: h5py.File) -> None:
        file["train_images"][row_of_copy(file, 2)] = file["test_images"][0]

    plant(path, equal)

    assert failed(path) == set()

    plant(path, leak)

    assert failed(path) == {"pixels_in_one_subset"}


def test_photos_of_one_subset_may_be_equal(path: Path) -> None:
    def equal(file: h5py.File) -> None:
        file["test_images"][:] = 255

    plant(path, equal)

    assert failed(path) == set()


def test_every_held_out_photo_that_equals_another_subsets_is_counted_and_advice_given(path: Path) -> None:
    def equal(file: h5py.File) -> None:
        file["test_images"][:] = file["train_images"][row_of_copy(file, 0)]

    plant(path, equal)
    check = outcomes(path)["pixels_in_one_subset"]

    assert (check.violations, check.examined) == (3, 43)
    assert re.fullmatch(r"test 1\d\d [01] with the pixels of train 1\d\d [01]", check.examples[0])
    assert "raise preprocess.min_foreground" in check.summary()
    advised = re.findall(r"([a-z]+)\.([a-z_]+)", check.advice)
    assert advised
    assert all(name in params.parse(ROOT / "params.yaml")[section] for section, name in advised)


def test_held_out_subsets_are_held_against_each_other(in_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    table = photo_table(8)
    table.loc[table["product_id"] == 103, "subset"] = "validation"
    make_inputs(in_project, table)
    path = run_build(in_project)

    assert failed(path) == set()

    def equal(file: h5py.File) -> None:
        file["test_images"][0] = file["validation_images"][0]

    plant(path, equal)

    (example,) = outcomes(path)["pixels_in_one_subset"].examples
    assert re.fullmatch(r"test \d+ [01] with the pixels of validation 103 0", example)


def test_copies_are_those_of_balanced_classes(
    in_project: Path, edit_params: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    edit_params("  balance: none", "  balance: to_max")
    make_inputs(in_project, photo_table(8))
    path = run_build(in_project)

    assert failed(path) == set()

    plant(path, lambda file: change_rows(file, "train", [*np.flatnonzero(file["train_copies"][:] < 5)]))

    assert failed(path) == {"copies_complete"}


def test_a_file_of_before_balance_is_right(path: Path) -> None:
    def older(file: h5py.File) -> None:
        sections = json.loads(file.attrs["params"])
        for name in ("balance", "max_copies"):
            del sections["augment"][name]
        file.attrs["params"] = json.dumps(sections)

    plant(path, older)

    assert failed(path) == set()


@pytest.mark.parametrize("name", ["content_digest", "mean", "params", "std"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        "{",
        "{}",
        7,
        np.array([1, 2]),
        h5py.Empty("f8"),
        b"\xff",
        '{"augment": {"copies": "5"}, "build": {}}',
        '{"augment": {"copies": 5}}',
    ],
)
def test_attributes_that_are_not_there_or_of_another_type_fail(name: str, value: object, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    found = outcomes(path)

    assert tuple(found) == FORMAT
    assert found["attributes_as_format"].violations == 1
    assert failed(path) == {"attributes_as_format"}


@pytest.mark.parametrize(
    "name",
    ["train_images", "train_copies", "test_images", "test_positions", "train_labels", "label_map", "class_names"],
)
@pytest.mark.parametrize(
    "kind", ["missing", "group", "floats", "scalar", "nothing", "shorter", "text", "dangling", "elsewhere", "square"]
)
def test_arrays_that_are_not_there_or_of_another_kind_fail(name: str, kind: str, path: Path) -> None:
    if kind == "shorter" and name in ("label_map", "class_names"):
        pytest.skip("the label map's check says that")
    with h5py.File(path, "r+") as file:
        values = file[name][:]
        del file[name]
        if kind == "group":
            file.create_group(name)
        elif kind == "dangling":
            file[name] = h5py.SoftLink("/nowhere")
        elif kind == "elsewhere":
            shutil.copy(path, path.with_name("other.h5"))
            file[name] = h5py.ExternalLink("other.h5", "/test_labels")
        elif kind != "missing":
            file.create_dataset(
                name,
                data={
                    "floats": np.zeros(len(values)),
                    "scalar": 7,
                    "nothing": h5py.Empty("i8"),
                    "shorter": values[:-1],
                    "text": ["a"] * len(values),
                    "square": np.zeros((len(values), 0, 0, 1), np.uint8),
                }[kind],
            )

    if kind in ("missing", "floats", "shorter", "square"):
        assert tuple(outcomes(path)) == FORMAT
        assert failed(path) == {"arrays_as_format"}
    else:  # nothing of it is read
        with pytest.raises(DamagedFile, match=rf"is refused: .*{name}"):
            outcomes(path)


@pytest.mark.parametrize("name", ["extra", "validation_ids"])
def test_an_array_that_the_format_has_not_fails(name: str, path: Path) -> None:
    plant(path, lambda file: hdf5.add(file, name, np.arange(3)))

    assert failed(path) == {"arrays_as_format"}


@pytest.mark.parametrize("compression", ["lzf", "gzip"])
def test_neither_compression_nor_blocks_change_what_is_found(
    compression: Storage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(path, pixels_in_both_subsets)
    plain = outcomes(path)
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 7 * SIDE * SIDE)
    with h5py.File(path, "r+") as file:
        for name in ("train_images", "test_images"):
            values = file[name][:]
            del file[name]
            add_images(file, name, values, compression)

    assert outcomes(path) == plain


def test_the_digest_is_the_writers(good: Path) -> None:
    with hdf5.open_file(good, hdf5.DATASET) as file:
        assert verify.scan(file).digest == hdf5.content_digest(file)


def test_memory_is_bounded_by_blocks_and_not_by_pixels(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 1 << 20)
    rows, side = 2_000, 128

    def widen(file: h5py.File) -> None:
        change_rows(file, "test", [0] * rows)
        del file["test_images"]
        hdf5.add_images(file, "test_images", (rows, side, side, 1))[:] = np.zeros((rows, side, side, 1))
        change_rows(file, "train", [])
        del file["train_images"]
        hdf5.add_images(file, "train_images", (0, side, side, 1))

    plant(path, widen, noted=False)
    tracemalloc.start()
    try:
        found = outcomes(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found["pixels_in_one_subset"].examined == rows
    assert most < 6 << 20 < rows * side * side // 5


def test_a_damaged_chunk_is_one_line(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        values = file["train_images"][:]
        del file["train_images"]
        hdf5.add_images(file, "train_images", values.shape, "gzip")[:] = values
        file["train_images"].id.write_direct_chunk((3, 0, 0, 0), b"no deflated data")

    with pytest.raises(DataError, match=r"dataset\.h5 is damaged \(.*\): remove it, then `dvc checkout"):
        outcomes(path)


def test_damage_anywhere_but_in_pixels_is_one_line_or_a_failed_check(good: Path, path: Path) -> None:
    """Pixels are left alone as they are most of the file, and the digest's; some bytes of HDF5 mean nothing."""
    content = good.read_bytes()
    with h5py.File(good) as file:
        images = [(file[name].id.get_offset(), file[name].nbytes) for name in ("train_images", "test_images")]
    places = [
        place for place in range(len(content)) if not any(start <= place < start + length for start, length in images)
    ]
    messages = set()
    for place in np.random.default_rng(1).choice(places, 100, replace=False).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            failed(path)
        except DataError as error:
            messages.add(str(error))

    assert any("is damaged" in message for message in messages)
    assert not any("\n" in message for message in messages)


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.verify", *map(str, arguments)],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_the_command_needs_the_file_alone(path: Path) -> None:
    done = command(path.name, cwd=path.parent)
    *lines, verdict = done.stdout.splitlines()

    assert done.returncode == 0
    assert [line.split()[:2] for line in lines] == [[name, "passed"] for name in CHECKS]
    assert lines[2].endswith("11 examined")
    with h5py.File(path) as file:
        assert verdict == (
            f"dataset.h5: complete and consistent, 12 checks passed, content_digest {file.attrs['content_digest']}"
        )
    assert [name.name for name in path.parent.iterdir()] == ["dataset.h5"]


def test_the_command_says_what_is_wrong(path: Path) -> None:
    plant(path, blank_in_both_subsets)
    done = command(path.name, cwd=path.parent)
    verdict = done.stdout.splitlines()[-1]

    assert done.returncode == 1
    assert verdict.startswith("dataset.h5: WRONG: pixels_in_one_subset: 1, such as test ")
    assert "raise preprocess.min_foreground" in verdict


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "is missing"),
        ("truncated", "cannot be read as HDF5"),
        ("foreign", "is not a file of format"),
        ("newer", "has format version 3; this code reads version 1 and 2"),
        ("incomplete", "is incomplete"),
        ("text", "cannot be read as HDF5"),
    ],
)
def test_what_is_no_whole_dataset_of_this_version_is_one_line(
    kind: str, message: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "missing":
        path.unlink()
    elif kind == "text":
        path.write_text("product_id,position\n")
    elif kind == "truncated":
        os.truncate(path, path.stat().st_size - 1)
    else:
        name, value = {
            "foreign": ("format", "other"),
            "newer": ("format_version", 3),
            "incomplete": ("complete", False),
        }[kind]
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value
    monkeypatch.setattr(sys, "argv", ["tools.verify", str(path)])

    with pytest.raises(DataError) as caught:  # which command.run prints
        tool.main()

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_id_of_no_text_is_not_that_of_class_0() -> None:
    assert row_checks.label_map_complete([b"0,0"], [b"hat"], [b"0"]).passed
    assert not row_checks.label_map_complete([b"0,0"], [b"hat"], [b"\xff"]).passed
