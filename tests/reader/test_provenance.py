"""What a dataset file says of itself, and that the pages' lines for trackers of experiments log it."""

import json
from pathlib import Path
from typing import Any

import h5py
import pytest
import yaml

from imageset.errors import DataError
from imageset.reader import ImageSet, provenance
from tests.dataset_files import write
from tests.documents import blocks, section
from tests.project import ROOT

PARAMS = {"augment": {"copies": 4, "rotate": 10.5}, "build": {"compression": "none"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data/dataset.h5")
    with h5py.File(tmp_path / "data/dataset.h5", "r+") as file:
        file.attrs["params"] = json.dumps(PARAMS)
    return tmp_path / "data/dataset.h5"


def test_it_is_plain_values_of_the_file(path: Path) -> None:
    photos = ImageSet(path)

    assert (
        provenance(photos)
        == provenance(photos.path)
        == {
            "content_digest": photos.content_digest,
            "format_version": 2,
            "params": PARAMS,
        }
    )
    assert json.loads(json.dumps(provenance(path))) == provenance(str(path))


def test_a_file_of_version_1_has_it_too() -> None:
    found = provenance(ROOT / "tests/dataset/version1.h5")

    assert found["format_version"] == 1
    assert set(found["params"]) == {"augment", "build"}


@pytest.mark.parametrize("params", ["no json", "[1]", 3.5, "[" * 10_000])
def test_params_that_are_damaged_are_refused(path: Path, params: Any) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["params"] = params

    with pytest.raises(DataError, match=r"dataset.h5 (is damaged|has params that are no sections)"):
        provenance(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset.h5 is missing$"):
        provenance(tmp_path / "dataset.h5")


def test_the_lines_for_dvclive_log_it_and_those_for_others_are_python(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [dvclive, mlflow, wandb] = blocks(section("docs/training.md", "Experiments"), "python")
    for block, name in ((mlflow, "mlflow"), (wandb, "wandb")):
        assert f"import {name}\n" in block
        compile(block, name, "exec")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.chdir(path.parent.parent)

    exec(dvclive, {"accuracy": 0.75})

    assert yaml.safe_load(Path("dvclive/params.yaml").read_text()) == {"dataset": provenance(path)}
    assert json.loads(Path("dvclive/metrics.json").read_text()) == {"accuracy": 0.75}
    assert not Path("dvc.yaml").exists()
