"""The card and croissant.json of the Parquet export, as huggingface_hub, datasets and mlcroissant read them."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard

from imageset.errors import DataError
from tests.project import ROOT
from tests.tools.test_export import (
    CATALOG_IDS,
    NAMES,
    PHOTOS,
    ROWS,
    contents,
    make_shards_small,
    photo,
    run,
    write_dataset,
    write_processed,
)
from tests.tools.test_export_formats import UNIQUE_NAMES, read_with

pytestmark = [  # of mlcroissant and of its rdflib
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a params.yaml, to export in."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    make_shards_small(monkeypatch)
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def fill_in(project: Path, **filled: str) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["card"] |= filled
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def head_of(folder: Path) -> dict[str, Any]:
    head: dict[str, Any] = DatasetCard((folder / "README.md").read_text()).data.to_dict()  # type: ignore[no-untyped-call]
    return head


def test_the_head_names_the_files_of_each_subset_that_has_photos(project: Path) -> None:
    fill_in(project, license="CC0-1.0", name="Hats", contact="data@shop.example")
    dataset = write_dataset(project / "dataset.h5", rows=ROWS | {"test": []})
    folder = run("parquet", project / "export", dataset)

    assert head_of(folder) == {
        "pretty_name": "Hats",
        "license": "cc0-1.0",
        "task_categories": ["image-classification"],
        "size_categories": ["n<1K"],
        "source_datasets": ["original"],
        "tags": ["image", "croissant"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "data/train-*.parquet"},
                    {"split": "validation", "path": "data/validation-*.parquet"},
                ],
            }
        ],
    }
    assert "## Contact\n\ndata@shop.example\n" in (folder / "README.md").read_text()


def test_the_subset_of_a_catalog_is_a_split(project: Path) -> None:
    folder = run("parquet", project / "export", write_processed(project))

    assert head_of(folder)["configs"][0]["data_files"] == [{"split": "photos", "path": "data/photos-*.parquet"}]


LOAD = """
import json, sys
from datasets import load_dataset_builder

builder = load_dataset_builder(sys.argv[1])
print(json.dumps([builder.config.name, {split: len(files) for split, files in builder.config.data_files.items()}]))
"""


def test_datasets_takes_the_files_from_the_head(project: Path) -> None:
    folder = run("parquet", project / "export", write_dataset(project / "dataset.h5"))
    (folder / "data/strange.parquet").write_bytes(b"no file of a subset")

    assert read_with(LOAD, project, str(folder)) == ["default", {"train": 5, "validation": 1, "test": 1}]


@pytest.mark.usefixtures("offline")
def test_croissant_reads_every_photo_with_its_subset_label_and_pixels(project: Path) -> None:
    folder = run("parquet", project / "export", write_dataset(project / "dataset.h5"))
    read = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    expected = {(row.product_id, row.position): (subset, row) for subset, rows in PHOTOS.items() for row in rows}
    found = list(read.records("photos"))

    assert not read.metadata.ctx.issues.errors
    assert len(found) == len(expected)
    for record in found:
        subset, row = expected[record["photos/product_id"], record["photos/position"]]
        assert record["photos/subset"].decode() == subset
        assert record["photos/label"] == row.label
        assert record["photos/catalog_id"] == CATALOG_IDS[row.label]
        assert (np.asarray(record["photos/image"])[..., None] == photo(row)).all()
    assert [record["classes/name"] for record in read.records("classes")] == UNIQUE_NAMES
    assert {record["subsets/name"]: record["subsets/rows"] for record in read.records("subsets")} == {
        subset: len(rows) for subset, rows in PHOTOS.items()
    }


def test_another_card_is_another_export(project: Path) -> None:
    dataset = write_dataset(project / "dataset.h5")
    before = contents(run("parquet", project / "export", dataset))
    run("numpy", project / "arrays", dataset)
    fill_in(project, contact="data@shop.example")

    with pytest.raises(DataError, match="name a new folder"):
        run("parquet", project / "export", dataset)
    assert contents(project / "export") == before
    run("numpy", project / "arrays", dataset)  # has no card, so it is the same export


def test_outside_of_a_project_the_card_is_not_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run("parquet", tmp_path / "export", write_dataset(tmp_path / "dataset.h5"))

    assert "## Licence\n\nNot filled in." in (folder / "README.md").read_text()
    assert "license" not in json.loads((folder / "croissant.json").read_text())


def test_names_of_classes_do_not_act(project: Path) -> None:
    names = ["<img src=x>", "a | b", "---", "![x](http://evil.example)", *NAMES[4:]]
    folder = run("parquet", project / "export", write_dataset(project / "dataset.h5", names=names))
    text = (folder / "README.md").read_text()

    assert "`<img src=x>`" in text
    assert r"a \| b" in text
    assert "`![x](http://evil.example)`" in text
    assert head_of(folder)["configs"]
    assert json.loads((folder / "croissant.json").read_text())["recordSet"][0]["data"][0]["classes/name"] == names[0]
