"""What exports say of photos and classes besides their numbers: the source's ids, groups and further columns."""

import csv
import io
import json
import shutil
import tarfile
import unicodedata
from pathlib import Path
from typing import Any

import h5py
import mlcroissant
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.formats import hdf5, tables
from tests.project import ROOT
from tests.tools.test_export import CATALOG_IDS, NAMES, PHOTOS, ROWS, Row, contents, run, write_dataset
from tools.export.spelling import LONGEST_BYTES, spell_safely
from tools.export.write import CLASSES

CLASS_IDS = [f"class/{label}" for label in range(len(NAMES))]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with text ids, groups and two further columns, in a folder without a project."""
    monkeypatch.chdir(tmp_path)
    path = write_dataset(tmp_path / "dataset.h5")
    with h5py.File(path, "r+") as file:
        for subset, rows in ROWS.items():
            hdf5.add(file, f"{subset}_groups", np.array([group_of(row) for row in rows]))
            hdf5.add_text(file, f"{subset}_source_ids", [source_id(row) for row in rows])
            hdf5.add_text(file, f"{subset}_column_brand", [brand_of(row) for row in rows])
            hdf5.add_text(file, f"{subset}_column_price", ["" for _ in rows])
        hdf5.add_text(file, "class_ids", CLASS_IDS)
        file.attrs["content_digest"] = hdf5.content_digest(file)
    return path


def group_of(row: Row) -> int:
    return row.product_id // 2


def source_id(row: Row) -> str:
    return f"ä-{row.product_id}"


def brand_of(row: Row) -> str:
    return f'Größe "{row.position}", 007'


def said_of(row: Row) -> dict[str, Any]:
    return {
        "product_id": row.product_id,
        "position": row.position,
        "copy": row.copy,
        "catalog_id": CATALOG_IDS[row.label],
        "class_id": CLASS_IDS[row.label],
        "source_id": source_id(row),
        "group": group_of(row),
        "brand": brand_of(row),
        "price": "",
    }


def test_classes_have_the_ids_of_the_source(dataset: Path, tmp_path: Path) -> None:
    classes = tables.read(run("numpy", tmp_path / "export", dataset) / "classes.csv", CLASSES)

    assert classes["catalog_id"].tolist() == CATALOG_IDS
    assert classes["class_id"].tolist() == CLASS_IDS


def test_webdataset_says_it_in_json(dataset: Path, tmp_path: Path) -> None:
    folder = run("webdataset", tmp_path / "export", dataset, "--copies")
    found = []
    with tarfile.open(folder / "data/train-00000-of-00001.tar") as tar:
        for member in tar:
            if member.name.endswith(".json"):
                found.append(json.load(tar.extractfile(member) or io.BytesIO()))

    assert found == [said_of(row) | {"class_name": NAMES[row.label]} for row in ROWS["train"]]


def test_parquet_has_a_column_for_each(dataset: Path, tmp_path: Path) -> None:
    folder = run("parquet", tmp_path / "export", dataset)
    for subset, rows in PHOTOS.items():
        table = pq.read_table(folder / f"data/{subset}-00000-of-00001.parquet").drop(["image"])
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]

        assert table.to_pylist() == [said_of(row) | {"label": row.label} for row in rows]
        assert set(features) == {*table.column_names, "image"}
        assert (features["brand"]["dtype"], features["group"]["dtype"]) == ("string", "int64")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_croissant_describes_all_columns_of_the_parquet_files(dataset: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    folder = run("parquet", tmp_path / "export", dataset)
    read = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    found = {record["photos/product_id"]: record for record in read.records("photos")}
    classes = [record["classes/class_id"] for record in read.records("classes")]

    assert not read.metadata.ctx.issues.errors
    for row in PHOTOS["test"]:
        record = found[row.product_id]
        assert record["photos/source_id"].decode() == source_id(row)
        assert record["photos/class_id"].decode() == CLASS_IDS[row.label]
        assert record["photos/brand"].decode() == brand_of(row)
        assert record["photos/group"] == group_of(row)
    assert classes == CLASS_IDS
    assert "| class/3 |" in (folder / "README.md").read_text()


def test_imagefolder_has_a_table_of_its_files(dataset: Path, tmp_path: Path) -> None:
    folder = run("imagefolder", tmp_path / "export", dataset)
    with (folder / "photos.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))

    assert len(found) == sum(map(len, PHOTOS.values()))
    for row, (subset, photo) in zip(
        found, ((subset, row) for subset, rows in PHOTOS.items() for row in rows), strict=True
    ):
        expected = said_of(photo) | {"subset": subset, "label": photo.label}
        assert row.items() >= {name: str(value) for name, value in expected.items()}.items()
        assert (folder / row["file_name"]).is_file()


def test_no_cell_of_the_tables_for_people_is_a_formula(dataset: Path, tmp_path: Path) -> None:
    """Other formats have the texts as they are."""
    hostile = ("=cmd|'/C calc'!A0", "+1+1", "-1.5", "@SUM(1)", "\t=1", "\r=1", "\uff1d1", "-1\rred")
    with h5py.File(dataset, "r+") as file:
        del file["class_ids"], file["class_names"]
        names = [hostile[label % len(hostile)] + "x" for label in range(len(NAMES))]
        hdf5.add_text(file, "class_ids", [f"={label}" for label in range(len(NAMES))])
        hdf5.add_text(file, "class_names", names)
        for subset, rows in ROWS.items():
            del file[f"{subset}_column_brand"], file[f"{subset}_source_ids"]
            hdf5.add_text(file, f"{subset}_column_brand", [hostile[row.position % len(hostile)] for row in rows])
            hdf5.add_text(file, f"{subset}_source_ids", [f"-{row.product_id}-" for row in rows])
        file.attrs["content_digest"] = hdf5.content_digest(file)
    folder = run("imagefolder", tmp_path / "export", dataset)
    for name in ("photos.csv", "classes.csv"):
        text = (folder / name).read_bytes().decode()
        found = list(csv.reader(io.StringIO(text, newline=""), strict=True))

        assert len({len(row) for row in found}) == 1
        cells = {cell for row in found for cell in row}
        assert {cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))} <= {"-1.5"}
    table = pq.read_table(next((run("parquet", tmp_path / "other", dataset) / "data").glob("train-*")))

    assert set(table["brand"].to_pylist()) <= set(hostile)
    assert all(text.startswith("-") for text in table["source_id"].to_pylist())


def test_fiftyone_has_a_field_for_each(dataset: Path, tmp_path: Path) -> None:
    folder = run("fiftyone", tmp_path / "export", dataset)
    samples = json.loads((folder / "samples.json").read_text("utf-8"))["samples"]
    fields = json.loads((folder / "metadata.json").read_text("utf-8"))["sample_fields"]

    for sample, row in zip(samples, (row for rows in PHOTOS.values() for row in rows), strict=True):
        said = {name.removeprefix("column_"): value for name, value in sample.items()}
        assert said.items() >= (said_of(row) | {"label": row.label}).items()
        assert {"column_brand", "column_price"} <= sample.keys() == fields.keys()
    assert (fields["column_brand"], fields["group"]) == (
        "fiftyone.core.fields.StringField",
        "fiftyone.core.fields.IntField",
    )


def test_numpy_has_an_array_for_each(dataset: Path, tmp_path: Path) -> None:
    folder = run("numpy", tmp_path / "export", dataset)
    for subset, rows in PHOTOS.items():
        assert np.load(folder / f"{subset}_groups.npy").tolist() == [group_of(row) for row in rows]
        assert np.load(folder / f"{subset}_source_ids.npy").tolist() == [source_id(row) for row in rows]
        assert np.load(folder / f"{subset}_column_brand.npy").tolist() == [brand_of(row) for row in rows]


def test_numpy_writes_the_same_text_in_pieces(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("numpy", tmp_path / "whole", dataset)
    monkeypatch.setattr("tools.export.formats.numpy.VALUES_AT_ONCE", 3)
    in_pieces = run("numpy", tmp_path / "pieces", dataset)

    assert contents(in_pieces) == contents(whole)
    texts = [source_id(row) for row in PHOTOS["train"]]
    assert np.load(in_pieces / "train_source_ids.npy").dtype == np.array(texts).dtype


def test_another_further_column_is_another_export(dataset: Path, tmp_path: Path) -> None:
    identity = contents(run("webdataset", tmp_path / "export", dataset))["export.json"]
    with h5py.File(dataset, "r+") as file:
        file["train_column_price"][0] = b"1"
        file.attrs["content_digest"] = hdf5.content_digest(file)

    assert contents(run("webdataset", tmp_path / "other", dataset))["export.json"] != identity


def test_a_file_of_version_1_is_exported_without_groups(tmp_path: Path) -> None:
    folder = run("numpy", tmp_path / "export", ROOT / "tests/dataset/version1.h5")

    assert np.load(folder / "train_source_ids.npy").tolist() == np.load(folder / "train_ids.npy").astype(str).tolist()
    assert not list(folder.glob("*_groups.npy"))


@given(st.text())
def test_a_folder_name_has_only_what_every_file_system_takes(name: str) -> None:
    spelt = spell_safely(name)

    assert len(spelt.encode()) <= LONGEST_BYTES
    assert not set(spelt) & set('<>:"/\\|?*. \t\r\n\x00')
    assert all(unicodedata.category(letter)[0] in "LMNS" or letter in "-_" for letter in spelt)
    assert spelt == spelt.strip("-_")


@pytest.mark.parametrize("name", ["Ботинки", "靴", "אחר", "حذاء", "รองเท้า", "जूते", "παπούτσια", "giày", "👟"])
def test_a_name_of_any_script_stays(name: str) -> None:
    assert spell_safely(name) == unicodedata.normalize("NFC", name)
