"""Each format of tools.export is read by the tool that it is for."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imageset.formats import hdf5
from tests.tools.test_export import (
    CATALOG,
    CATALOG_IDS,
    NAMES,
    PHOTOS,
    ROWS,
    SIDE,
    Row,
    files_of,
    make_shards_small,
    photo,
    photos,
    run,
    write_dataset,
    write_processed,
)

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
UNIQUE_NAMES = [f"hat ({CATALOG_IDS[label]})" if name == "hat" else name for label, name in enumerate(NAMES)]


FOLDERS = [
    "00-hat",
    "01",
    "02-Dev",
    "03-a_Test",
    f"04-{'x' * 100}",
    "05-זנב",
    "06-hat",
    "07-Été_Shirts",
    "08-日本",
    "09-Train",
    "10-a_Val",
    "11-cap",
]


def key(row: Row) -> str:
    return f"{row.product_id}{f'-{row.position}' if row.position else ''}{f'_{row.copy}' if row.copy else ''}"


def image_folder(root: Path) -> list[tuple[Path, int]]:
    """Return files and their labels as torchvision's ImageFolder finds them, its find_classes and make_dataset.

    torchvision itself cannot be imported beside this torch.
    """
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    return [
        (Path(folder) / name, label)
        for label, found in enumerate(classes)
        for folder, _, names in sorted(os.walk(root / found, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith(EXTENSIONS)
    ]


def pixels(file: Path | io.BytesIO) -> hdf5.Pixels:
    with Image.open(file) as image:
        array = np.asarray(image)
    return array if array.ndim == 3 else array[..., None]


@pytest.mark.parametrize(("channels", "options"), [(1, []), (3, []), (1, ["--copies"])])
def test_imagefolder(tmp_path: Path, channels: int, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards_small(monkeypatch)
    folder = run("imagefolder", tmp_path / "export", write_dataset(tmp_path / "dataset.h5", channels), *options)

    for subset, rows in (ROWS if options else PHOTOS).items():
        found = {path.stem: (label, path) for path, label in image_folder(folder / subset)}
        assert sorted(found) == sorted(map(key, rows))
        for row in rows:
            label, path = found[key(row)]
            assert label == row.label
            assert (pixels(path) == photo(row, channels)).all()
    assert {path.name for path in folder.iterdir()} == {*ROWS, "classes.csv", "export.json", "photos.csv"}
    assert sorted(entry.name for entry in os.scandir(folder / "test")) == FOLDERS


def test_imagefolder_of_a_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards_small(monkeypatch)
    monkeypatch.chdir(tmp_path)
    found = image_folder(run("imagefolder", tmp_path / "export", write_processed(tmp_path)))

    assert sorted((path.stem, label) for path, label in found) == sorted((key(row), row.label) for row in CATALOG)
    for row in CATALOG:
        (path,) = (path for path, _ in found if path.stem == key(row))
        assert (pixels(path) == photo(row)).all()


def test_jpeg_keeps_detail(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5", channels=3)
    folder = run("imagefolder", tmp_path / "export", dataset, "--encoding", "jpeg", "--subset", "test")
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "reference.jpeg", quality=95, subsampling="4:4:4")

    for row in PHOTOS["test"]:
        (path,) = folder.rglob(f"{key(row)}.jpeg")
        assert np.abs(pixels(path).astype(int) - photo(row, 3))[1:, 1:].mean() < 3
        with Image.open(path) as image, Image.open(tmp_path / "reference.jpeg") as reference:
            # layer: of each component its number, its sampling factors and its quantisation table's number.
            assert image.layer == reference.layer  # type: ignore[attr-defined]
            assert image.quantization == reference.quantization  # type: ignore[attr-defined]


# In a process of its own: webdataset leaves files to the collector to close.
READ_TARS = """
import glob, hashlib, json, sys
import webdataset

def samples(folder, subset):
    shards = sorted(glob.glob(f"{folder}/data/{subset}-*.tar"))
    read = webdataset.WebDataset(shards, shardshuffle=False).decode("l8").to_tuple("__key__", "png", "cls", "json")
    return [[key, hashlib.sha256(image.tobytes()).hexdigest(), label, about] for key, image, label, about in read]

print(json.dumps({folder: {subset: samples(folder, subset) for subset in sys.argv[1].split()}
                  for folder in sys.argv[2:]}))
"""


def test_webdataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5")
    run("webdataset", tmp_path / "plain", dataset)
    run("webdataset", tmp_path / "copies", dataset, "--copies")
    found = read_with(READ_TARS, tmp_path, " ".join(ROWS), "plain", "copies")

    assert found == {
        folder: {subset: list(map(as_sample, rows)) for subset, rows in expected.items()}
        for folder, expected in (("plain", PHOTOS), ("copies", ROWS))
    }
    assert files_of(tmp_path / "plain") == {
        "classes.csv",
        "export.json",
        "data/validation-00000-of-00001.tar",
        "data/test-00000-of-00001.tar",
        *(f"data/train-{number:05}-of-00005.tar" for number in range(5)),
    }


def as_sample(row: Row, group: int | None = None) -> list[Any]:
    return [
        key(row),
        digest(photo(row)),
        row.label,
        {
            "product_id": row.product_id,
            "position": row.position,
            "copy": row.copy,
            "catalog_id": CATALOG_IDS[row.label],
            "class_id": str(CATALOG_IDS[row.label]),
            "class_name": NAMES[row.label],
            "source_id": str(row.product_id),
            **({"group": group} if group is not None else {}),
        },
    ]


def read_with(program: str, folder: Path, *arguments: str) -> Any:
    """Return what a program prints, run offline in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tars_have_no_owner_and_no_time(tmp_path: Path) -> None:
    folder = run("webdataset", tmp_path / "export", write_dataset(tmp_path / "dataset.h5"))
    with tarfile.open(folder / "data/train-00000-of-00001.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert (member.mode, member.type) == (0o644, tarfile.REGTYPE)


@pytest.mark.parametrize("options", [[], ["--copies"]])
def test_fiftyone(tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is what FiftyOne 1.22.1 read; it needs MongoDB, which the Python index does not have."""
    make_shards_small(monkeypatch)
    folder = run("fiftyone", tmp_path / "export", write_dataset(tmp_path / "dataset.h5"), *options)
    samples = json.loads((folder / "samples.json").read_text("utf-8"))["samples"]
    metadata = json.loads((folder / "metadata.json").read_text("utf-8"))
    expected = [(subset, row) for subset, rows in (ROWS if options else PHOTOS).items() for row in rows]

    for (subset, row), sample in zip(expected, samples, strict=True):
        assert sample == {
            "filepath": f"data/{subset}/{key(row)}.png",
            "tags": [subset],
            "ground_truth": {"_cls": "Classification", "tags": [], "label": UNIQUE_NAMES[row.label]},
            "label": row.label,
            "catalog_id": CATALOG_IDS[row.label],
            "class_id": str(CATALOG_IDS[row.label]),
            "product_id": row.product_id,
            "position": row.position,
            "copy": row.copy,
            "source_id": str(row.product_id),
        }
        assert (pixels(folder / sample["filepath"]) == photo(row)).all()
    assert set(metadata["sample_fields"]) == set(samples[0])
    assert metadata["info"] == {"default_classes": UNIQUE_NAMES}
    files = {sample["filepath"] for sample in samples}
    assert files_of(folder) == {"classes.csv", "export.json", "metadata.json", "samples.json", *files}


def test_fiftyone_of_a_catalog_has_no_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run("fiftyone", tmp_path / "export", write_processed(tmp_path))
    samples = json.loads((folder / "samples.json").read_text("utf-8"))["samples"]

    assert [sample["filepath"] for sample in samples] == [f"data/{key(row)}.png" for row in CATALOG]
    assert [sample["group"] for sample in samples] == [0] * len(CATALOG)
    assert not any(sample["tags"] for sample in samples)


@pytest.mark.parametrize("empty", [("train",), ("validation",), ("test",), ("train", "validation", "test")])
def test_fiftyone_has_whole_json_whichever_subset_is_empty(tmp_path: Path, empty: tuple[str, ...]) -> None:
    rows = {subset: [] if subset in empty else rows for subset, rows in PHOTOS.items()}
    folder = run("fiftyone", tmp_path / "export", write_dataset(tmp_path / "dataset.h5", rows=rows))

    assert len(json.loads((folder / "samples.json").read_text("utf-8"))["samples"]) == sum(map(len, rows.values()))


@pytest.mark.parametrize("options", [[], ["--copies"]])
def test_numpy(tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards_small(monkeypatch)
    folder = run("numpy", tmp_path / "export", write_dataset(tmp_path / "dataset.h5", channels=3), *options)

    for subset, rows in (ROWS if options else PHOTOS).items():
        arrays = {
            name: np.load(folder / f"{subset}_{name}.npy", mmap_mode="r")
            for name in ("images", "ids", "positions", "labels", "copies")
        }
        assert arrays["images"].dtype == np.uint8
        assert (arrays["images"] == photos(rows, 3)).all()
        for place, (name, kind) in enumerate(
            [("ids", "int64"), ("positions", "int16"), ("labels", "int64"), ("copies", "int16")]
        ):
            assert arrays[name].tolist() == [row[place] for row in rows]
            assert arrays[name].dtype == kind
        assert np.load(folder / f"{subset}_source_ids.npy").tolist() == [str(row.product_id) for row in rows]
    assert len(files_of(folder)) == 6 * len(ROWS) + 2


def test_numpy_of_a_subset_without_photos(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5", rows={"train": ROWS["train"], "test": []})
    folder = run("numpy", tmp_path / "export", dataset)

    assert (folder / "test_images.npy").stat().st_size == 128  # a header
    assert np.load(folder / "test_images.npy").shape == (0, SIDE, SIDE, 1)
    assert np.load(folder / "test_labels.npy").shape == (0,)


# In a process of its own: `datasets` reads its settings when it is imported.
READ_WITH_DATASETS = """
import hashlib, json, sys
import numpy as np
from datasets import load_dataset
from PIL.Image import Image

def plain(value):
    return hashlib.sha256(np.asarray(value).tobytes()).hexdigest() if isinstance(value, Image) else value

def read(path, how):
    return {subset: {"rows": [{name: plain(value) for name, value in row.items()} for row in loaded],
                     "names": getattr(loaded.features.get("label"), "names", None)}
            for subset, loaded in load_dataset(path, **how).items()}

print(json.dumps([read(path, how) for path, how in json.loads(sys.argv[1])]))
"""


def as_read(row: Row, group: int | None = None) -> dict[str, Any]:
    return {
        "image": digest(photo(row)),
        "label": row.label,
        "catalog_id": CATALOG_IDS[row.label],
        "class_id": str(CATALOG_IDS[row.label]),
        "product_id": row.product_id,
        "position": row.position,
        "copy": row.copy,
        "source_id": str(row.product_id),
        **({"group": group} if group is not None else {}),
    }


def digest(image: hdf5.Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


@pytest.mark.faults_only
def test_datasets_reads_every_format_with_image_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards_small(monkeypatch)
    monkeypatch.chdir(tmp_path)
    dataset, processed = write_dataset(tmp_path / "dataset.h5"), write_processed(tmp_path)
    without_test = write_dataset(tmp_path / "empty.h5", rows=ROWS | {"test": []})
    exports: dict[str, tuple[dict[str, list[Row]], Path, list[str]]] = {
        "plain": (PHOTOS, dataset, []),
        "copies": (ROWS, dataset, ["--copies"]),
        "empty": ({subset: PHOTOS[subset] for subset in ("train", "validation")}, without_test, []),
        "catalog": ({"photos": CATALOG}, processed, []),
    }
    asked: list[tuple[str, str, Any]] = []
    for name, (_, source, options) in exports.items():
        for to in ("imagefolder", "webdataset", "parquet"):
            folder = str(run(to, tmp_path / f"{to}-{name}", source, *options))
            asked += [(name, to, (folder, {})), (name, to, (to, {"data_dir": folder}))]
            asked += [
                (name, to, (path, how | {"streaming": True})) for _, _, (path, how) in asked[-2:] if to == "parquet"
            ]
    answers = read_with(READ_WITH_DATASETS, tmp_path, json.dumps([call for *_, call in asked]))

    for (name, to, call), found in zip(asked, answers, strict=True):
        rows, group = exports[name][0], 0 if name == "catalog" else None
        if to == "imagefolder":  # where no folder is named for a subset, all is train
            rows = {"train": CATALOG} if name == "catalog" else rows
            assert {subset: sorted(row["image"] for row in read["rows"]) for subset, read in found.items()} == {
                subset: sorted(digest(photo(row)) for row in its) for subset, its in rows.items()
            }, call
        elif to == "webdataset":
            assert {
                subset: [[row[column] for column in ("__key__", "png", "cls", "json")] for row in read["rows"]]
                for subset, read in found.items()
            } == {subset: [as_sample(row, group) for row in its] for subset, its in rows.items()}, call
        else:
            assert found == {
                subset: {"rows": [as_read(row, group) for row in its], "names": UNIQUE_NAMES}
                for subset, its in rows.items()
            }, call


def test_parquet_has_groups_that_can_be_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.export.formats.parquet.GROUP_BYTES", 4 * SIDE * SIDE)
    folder = run("parquet", tmp_path / "export", write_dataset(tmp_path / "dataset.h5"), "--subset", "train")
    with pq.ParquetFile(folder / "data/train-00000-of-00001.parquet") as file:
        groups = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
        image = file.read_row_group(0).column("image")[0].as_py()

    assert groups == [4, 4, 4, 4, 4, 1]
    assert image["path"] == f"{key(PHOTOS['train'][0])}.png"
    assert (pixels(io.BytesIO(image["bytes"])) == photo(PHOTOS["train"][0])).all()
