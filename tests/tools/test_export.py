"""tools.export on small files, written through imageset.formats.hdf5: which photos it writes, and which bytes."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from imageset.formats import hdf5, row_checksums, tables
from imageset.formats.hdf5 import Pixels
from tests.dataset_files import Storage, add_images
from tests.forked import run_python
from tests.project import ROOT
from tools.export import command
from tools.export.format import FORMATS, load_format
from tools.export.write import CLASSES

SIDE = 16
# Twelve, so that numbers have two digits; names that no file system and no `datasets` should see, one of two classes.
NAMES = ["hat", "..", "dev", "a/test", "x" * 300, "\u202eזנב.", "hat", "Été, Shirts", "日本", "train", "a\nval", "cap"]
CATALOG_IDS = [1201, 7, 1300, 12, 5, 99, 8, 4, 2**40, 3, 10, 1]


# EXPORT_VERSION, and a sum of all files but export.json, which has versions of libraries and the processor.
SUMS = {
    ("fiftyone", "png"): (3, "74a82175318d835296f2c046fb407e4b2c75636b5af1203af76246263141c484"),
    ("fiftyone", "jpeg"): (3, "bd5b1e89c045c14236e56328e7557486c971f661eea3d523b0db8a964c365e82"),
    ("imagefolder", "png"): (3, "0f5ab5751893cc15eedfa56b268ef4cbad35f23bfb3eaa16701046f056c7c34f"),
    ("imagefolder", "jpeg"): (3, "a6235a389e538520e3176f9ed958306fc1032f667176802abf0e4218ceb7234c"),
    ("webdataset", "png"): (3, "da6fcaf0fa43addb02efc8ad8b6fe49e4c7e27eba65cdcb505a61dd8f87df64e"),
    ("webdataset", "jpeg"): (3, "ae28eb3f9be4e6374877646c0c906cabae90d01021af49c38e66ca9b43ec7e6a"),
    ("parquet", "png"): (3, "8857156edf955e2d937410375b73818ad2739184877315d38d4f5f9b4f6a586c"),
    ("parquet", "jpeg"): (3, "8ce2ee0d9a18dde4420b8641da95dc6d640b46c0d1e2a032441f1b974775225e"),
    ("numpy", "raw"): (3, "ca9aa818cfdabb5a9e36157f768895c073f82de3b5ec53ea63047cc454f23452"),
}


class Row(NamedTuple):
    product_id: int
    position: int
    label: int
    copy: int = 0


def mixed(rows: list[Row]) -> list[Row]:
    """Shuffle rows, as build does."""
    return random.Random(0).sample(rows, len(rows))


# Class 11 has no photo, class 10 none in train.
ROWS = {
    "train": mixed(
        [
            Row(product_id, position, product_id % 10, copy)
            for product_id in range(1, 15)
            for position in (0, 2)[: 1 + product_id % 2]
            for copy in (0, 1)
        ]
    ),
    "validation": [Row(20, 0, 10), Row(21, 0, 3), Row(20, 1, 10)],
    "test": mixed([Row(30 + number, 0, number) for number in range(5)]),
}
PHOTOS = {subset: [row for row in rows if row.copy == 0] for subset, rows in ROWS.items()}
CATALOG = sorted(row for rows in PHOTOS.values() for row in rows)


def photo(row: Row, channels: int = 1) -> Pixels:
    """Return a smooth image, which JPEG keeps nearly as it is. Each row has a different one."""
    ramp = np.linspace(5 * row.product_id, 5 * row.product_id + 60, SIDE, dtype=np.uint8)
    flat = np.full((SIDE, SIDE), (90 * row.copy + 10 * row.position) % 256, np.uint8)
    image = np.stack([np.tile(ramp, (SIDE, 1)), flat, np.tile(ramp[::-1], (SIDE, 1))], axis=-1)
    image[0, 0] = row.position % 256, row.copy, row.label % 256
    return image[..., :channels]


def photos(rows: list[Row], channels: int = 1) -> Pixels:
    return np.array([photo(row, channels) for row in rows], np.uint8).reshape(-1, SIDE, SIDE, channels)


def write_dataset(
    path: Path,
    channels: int = 1,
    rows: dict[str, list[Row]] = ROWS,
    compression: Storage = "none",
    names: list[str] = NAMES,
) -> Path:
    with hdf5.create(path, hdf5.DATASET) as file:
        for subset, its in rows.items():
            add_images(file, f"{subset}_images", photos(its, channels), compression)
            for column, name in enumerate(("ids", "positions", "labels")):
                hdf5.add(file, f"{subset}_{name}", np.array([row[column] for row in its], hdf5.ROW_DTYPES[name]))
        hdf5.add(file, "train_copies", np.array([row.copy for row in rows["train"]], np.int16))
        hdf5.add(
            file,
            "label_map",
            np.array([f"{label},{catalog_id}".encode() for label, catalog_id in enumerate(CATALOG_IDS)]),
        )
        hdf5.add_text(file, "class_names", names)
        hdf5.finish(file, content_digest=hdf5.content_digest(file))
    return path


def write_processed(folder: Path, left_out: int = 2) -> Path:
    """Write processed.h5 and, as the catalog has them, data/catalog.csv and data/label_map.csv."""
    rows = sorted([*CATALOG, *(Row(100 + number, 0, 0) for number in range(left_out - 1)), Row(0, 0, 0)])
    with hdf5.create(folder / "processed.h5", hdf5.PROCESSED) as file:
        hdf5.add_images(file, "images", (len(rows), SIDE, SIDE, 1))[...] = photos(rows)
        for column, name in enumerate(("ids", "positions")):
            hdf5.add(file, name, np.array([row[column] for row in rows], hdf5.ROW_DTYPES[name]))
        row_checksums.finish(file)
    (folder / "data").mkdir()
    catalog = [(row.product_id, row.position, rows.index(row), CATALOG_IDS[row.label], row.label, 0) for row in CATALOG]
    tables.write(folder / "data/catalog.csv", tables.CATALOG, tables.frame(tables.CATALOG, catalog))
    classes = [(label, *pair) for label, pair in enumerate(zip(CATALOG_IDS, NAMES, strict=True))]
    tables.write(folder / "data/label_map.csv", tables.LABEL_MAP, tables.frame(tables.LABEL_MAP, classes))
    return folder / "processed.h5"


def run(to: str, destination: Path, source: Path, *options: str) -> Path:
    """Export in this process; return the destination."""
    command.run(command.parse_arguments(["--to", to, str(destination), "--from", str(source), *options]))
    return destination


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return each file's bytes by its path, and None for each folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def files_of(folder: Path) -> set[str]:
    return {name for name, content in contents(folder).items() if content is not None}


def make_shards_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have shards of five photos; read and encode two photos at a time."""
    monkeypatch.setattr("tools.export.shards.SHARD_PHOTOS", 5)
    monkeypatch.setattr("tools.export.source.BATCH_BYTES", 2 * SIDE * SIDE)


@pytest.mark.parametrize("to", FORMATS)
def test_the_bytes_do_not_depend_on_workers_or_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    make_shards_small(monkeypatch)
    made = []
    for workers, compression in (("1", "none"), ("3", "lzf"), ("2", "gzip")):
        monkeypatch.setenv("IMAGESET_WORKERS", workers)
        folder = tmp_path / f"{workers}-{compression}"
        folder.mkdir()
        dataset = write_dataset(folder / "dataset.h5", compression=compression)  # type: ignore[arg-type]
        made.append(contents(run(to, folder / "export", dataset)))

    assert made[0]
    assert made[0] == made[1] == made[2]


def test_every_format_has_a_sum_for_each_encoding() -> None:
    encodings = {to: command.ENCODINGS if load_format(to).ENCODED else ("raw",) for to in FORMATS}

    assert set(SUMS) == {(to, encoding) for to, its in encodings.items() for encoding in its}


@pytest.mark.parametrize(("to", "encoding"), SUMS)
def test_the_bytes_of_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, encoding: str) -> None:
    make_shards_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5", channels=3)
    options = [] if encoding == "raw" else ["--encoding", encoding]
    made = contents(run(to, tmp_path / "export", dataset, "--copies", *options))
    identity = json.loads(made.pop("export.json") or b"")
    found = hashlib.sha256(repr(sorted(made.items())).encode()).hexdigest()

    expected = {"source", "format", "encoding", "export_version", "part_photos", "versions"}
    assert identity.keys() == expected | ({"card"} if to == "parquet" else set())
    assert (identity["export_version"], found) == SUMS[to, encoding], "raise EXPORT_VERSION and change this on purpose"


@pytest.mark.parametrize("to", FORMATS)
def test_every_export_has_its_classes_and_no_temporary_file(tmp_path: Path, to: str) -> None:
    folder = run(to, tmp_path / "export", write_dataset(tmp_path / "dataset.h5"))
    classes = tables.read(folder / "classes.csv", CLASSES)
    (tmp_path / "plain").mkdir()

    assert classes["catalog_id"].tolist() == CATALOG_IDS
    assert classes["class_id"].tolist() == [str(catalog_id) for catalog_id in CATALOG_IDS]
    assert classes["name"].tolist() == NAMES
    assert {path.name for path in tmp_path.iterdir()} == {"dataset.h5", "export", "plain"}
    assert not [name for name in files_of(folder) if "lock" in name or "tmp" in name]
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_photos_that_are_far_apart_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards_small(monkeypatch)
    rows = {"train": [Row(1, number, 0, int(number % 40 > 0)) for number in range(200)], "test": []}
    folder = run("numpy", tmp_path / "export", write_dataset(tmp_path / "dataset.h5", rows=rows))

    assert np.load(folder / "train_positions.npy").tolist() == [0, 40, 80, 120, 160]
    assert (np.load(folder / "train_images.npy") == photos([row for row in rows["train"] if not row.copy])).all()


def test_one_subset(tmp_path: Path) -> None:
    folder = run("webdataset", tmp_path / "export", write_dataset(tmp_path / "dataset.h5"), "--subset", "validation")

    assert files_of(folder) == {"classes.csv", "export.json", "data/validation-00000-of-00001.tar"}


def test_photos_that_the_catalog_leaves_out_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    processed = write_processed(tmp_path, left_out=3)
    monkeypatch.chdir(tmp_path)
    run("webdataset", tmp_path / "export", processed)

    assert f"export: 3 photos of {processed} are left out: the catalog" in capsys.readouterr().out
    assert files_of(tmp_path / "export") == {"classes.csv", "export.json", "data/photos-00000-of-00001.tar"}


def run_command(folder: Path, *arguments: str, driver: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command as people do, or a driver instead."""
    if not driver:
        return run_python("tools.export", *arguments, cwd=folder)
    return subprocess.run(
        [sys.executable, "-c", driver, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_dataset(tmp_path / "data/dataset.h5")
    done = run_command(tmp_path, "--to", "imagefolder", "export")

    assert done.returncode == 0, done.stderr
    assert done.stdout == "export: 21 train, 3 validation, 5 test in export\n"
    assert len(files_of(tmp_path / "export")) == 32
