"""What tools.export refuses with one line, without changing anything."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imageset.errors import DataError, ImagesetError
from imageset.formats import tables
from tests.tools.test_export import ROWS, Row, contents, files_of, run, run_command, write_dataset, write_processed


def test_options_that_do_not_apply_to_a_file(tmp_path: Path) -> None:
    dataset, processed = write_dataset(tmp_path / "dataset.h5"), write_processed(tmp_path)
    refused = [
        (dataset, ["--catalog", "catalog.csv"], "names its photos and classes itself: leave out --catalog"),
        (dataset, ["--label-map", "m.csv"], "names its photos and classes itself: leave out --label-map"),
        (processed, ["--subset", "train"], "before they are split and augmented: leave out --subset"),
        (processed, ["--copies"], "before they are split and augmented: leave out --copies"),
    ]
    for source, options, message in refused:
        with pytest.raises(DataError, match=message):
            run("webdataset", tmp_path / "export", source, *options)
    with pytest.raises(DataError, match="numpy writes pixels as they are: leave out --encoding"):
        run("numpy", tmp_path / "export", dataset, "--encoding", "png")
    assert not (tmp_path / "export").exists()


def test_tables_of_other_photos_or_classes(tmp_path: Path) -> None:
    processed, catalog_csv, label_map_csv = (
        write_processed(tmp_path),
        tmp_path / "data/catalog.csv",
        tmp_path / "data/label_map.csv",
    )
    paths = ["--catalog", str(catalog_csv), "--label-map", str(label_map_csv)]
    catalog, label_map = tables.read(catalog_csv, tables.CATALOG), tables.read(label_map_csv, tables.LABEL_MAP)

    for changed, message in (
        (catalog.assign(row=catalog["row"] + 1), "has other photos than the tables"),
        (catalog.assign(label=12), "have different classes"),
        (catalog.assign(catalog_id=catalog["catalog_id"] + 1), "have different classes"),
    ):
        tables.write(catalog_csv, tables.CATALOG, changed)
        with pytest.raises(DataError, match=message):
            run("numpy", tmp_path / "export", processed, *paths)
    tables.write(catalog_csv, tables.CATALOG, catalog)
    tables.write(label_map_csv, tables.LABEL_MAP, label_map[1:])
    with pytest.raises(DataError, match="have different classes"):
        run("numpy", tmp_path / "export", processed, *paths)


def test_a_label_without_a_class(tmp_path: Path) -> None:
    for label in (-1, 12):
        dataset = write_dataset(tmp_path / "dataset.h5", rows={"train": [Row(1, 0, label)], "test": []})

        with pytest.raises(DataError, match=r"dataset\.h5 is damaged \(labels without a class\)"):
            run("numpy", tmp_path / "export", dataset)


def test_a_missing_subset(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5", rows={"train": ROWS["train"], "test": []})

    with pytest.raises(DataError, match=r"dataset\.h5 has no validation subset, but train, test"):
        run("imagefolder", tmp_path / "export", dataset, "--subset", "validation")
    assert not (tmp_path / "export").exists()


def test_a_photo_that_occurs_twice(tmp_path: Path) -> None:
    rows = {"train": [Row(1, 0, 0), Row(1, 0, 0, 1), Row(1, 0, 0, 1)], "test": [Row(2, 1, 0), Row(2, 0, 0)]}
    dataset = write_dataset(tmp_path / "dataset.h5", rows=rows)

    with pytest.raises(DataError, match=r"dataset\.h5 is damaged \(a photo of train comes twice\)"):
        run("imagefolder", tmp_path / "export", dataset, "--copies")
    run("imagefolder", tmp_path / "export", dataset)


def test_images_that_are_neither_grayscale_nor_rgb(tmp_path: Path) -> None:
    for shape in ((2, 8, 8, 2), (2, 8, 8, 4), (2, 8, 0, 1)):
        dataset = write_dataset(tmp_path / "dataset.h5", rows={"train": [Row(1, 0, 0), Row(2, 0, 0)]})
        change(dataset, "train_images", np.zeros(shape, np.uint8))

        with pytest.raises(
            DataError,
            match=r"dataset\.h5 (is damaged \(images of train are .*, neither grayscale nor|has .* are no images)",
        ):
            run("imagefolder", tmp_path / "export", dataset)


def change(dataset: Path, name: str, values: Any) -> None:
    """Replace a dataset by other values or by a group, and keep the file's digest."""
    with h5py.File(dataset, "r+") as file:
        file.pop(name, None)
        file[name] = values if values is not None else file.create_group("group")


def test_content_that_differs_from_its_digest(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5", rows={"train": [Row(1, 0, 0), Row(2, 0, 0)]})
    change(dataset, "train_positions", np.array([0, 1], np.int16))

    with pytest.raises(DataError, match=r"dataset\.h5 does not hold what its content_digest says: remove it, then"):
        run("numpy", tmp_path / "export", dataset)
    assert files_of(tmp_path) == {"dataset.h5"}


@pytest.mark.parametrize("name", ["train_labels", "train_ids", "train_copies", "label_map", "another"])
@pytest.mark.parametrize("values", [None, 5])
def test_a_dataset_that_is_not_an_array(tmp_path: Path, name: str, values: int | None) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    change(dataset, name, values)

    with pytest.raises(DataError, match=r"dataset\.h5 is refused: .* in it is no array of its own|has no rows"):
        run("numpy", tmp_path / "export", dataset)


def test_an_existing_destination_is_refused(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    run("webdataset", tmp_path / "export", dataset, "--subset", "test")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    before = contents(tmp_path)

    for taken in ("export", "folder", "file", "dangling", "loop"):
        with pytest.raises(DataError, match=rf"{taken} exists: name a new folder"):
            run("webdataset", tmp_path / taken, dataset)
    for taken in ("new/..", "."):
        with pytest.raises(DataError, match=rf"{tmp_path} exists: name a new folder"):
            run("webdataset", tmp_path / taken, dataset)
    with pytest.raises(ImagesetError, match="Too many levels of symbolic links"):
        run("webdataset", tmp_path / "loop/export", dataset)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("not.h5", "not.h5 cannot be read as HDF5"),
        ("data/dataset.h5", "data/dataset.h5 is missing"),
        ("processed.h5", "data/catalog.csv is missing: run `dvc repro`, or name another"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, source: str, message: str) -> None:
    write_processed(tmp_path)
    (tmp_path / "data/catalog.csv").unlink()
    (tmp_path / "not.h5").write_text("no HDF5")
    before = contents(tmp_path)
    done = run_command(tmp_path, "--to", "imagefolder", "export", "--from", source)

    assert done.returncode == 1
    assert done.stderr.startswith("export: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert contents(tmp_path) == before
