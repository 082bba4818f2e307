"""tools.export on small dataset files, written through imageset.layout."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from imageset import layout
from imageset.errors import DataError
from imageset.layout import Pixels
from tests.project import ROOT
from tools import export
from tools.export import Photo

SIDE = 16
# product_id, position, label, copy; in a mixed order, as build writes them.
TRAIN = [(7, 0, 1, 1), (5, 0, 0, 0), (7, 0, 1, 0), (5, 2, 0, 1), (5, 0, 0, 1), (5, 2, 0, 0)]
TEST = [(9, 0, 1, 0)]
FILES = {"1201/5.jpeg", "1201/5-2.jpeg", "1300/7.jpeg", "1300/9.jpeg"}


def photo(product_id: int, position: int, copy: int, channels: int) -> Pixels:
    """A smooth image, as JPEG keeps it nearly as it is: another one for each row."""
    ramp = np.linspace(20 * product_id, 20 * product_id + 60, SIDE, dtype=np.uint8)
    flat = np.full((SIDE, SIDE), (40 * copy + 10 * position) % 256, np.uint8)
    image = np.stack([np.tile(ramp, (SIDE, 1)), flat, np.tile(ramp[::-1], (SIDE, 1))], axis=-1)
    return image[..., :channels]


def write_dataset(path: Path, channels: int = 1, train: list[tuple[int, int, int, int]] = TRAIN) -> Path:
    with layout.create(path, layout.DATASET) as file:
        for subset, rows in (("train", train), ("test", TEST)):
            write_subset(file, subset, rows, channels)
        layout.add(file, "train_copies", np.array([copy for *_, copy in train], np.int16))
        layout.add(file, "label_map", np.array([b"0,1201", b"1,1300"]))
        layout.finish(file)
    return path


def write_subset(file: h5py.File, subset: str, rows: list[tuple[int, int, int, int]], channels: int) -> None:
    images = layout.add_images(file, f"{subset}_images", (len(rows), SIDE, SIDE, channels))
    images[...] = np.stack([photo(product_id, position, copy, channels) for product_id, position, _, copy in rows])
    for column, name in enumerate(("ids", "positions", "labels")):
        layout.add(file, f"{subset}_{name}", np.array([row[column] for row in rows], layout.ROW_DTYPES[name]))


def exported(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_photos_by_class_without_their_copies(tmp_path: Path, channels: int, mode: str) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5", channels)
    folder = tmp_path / "photos"

    assert export.export(dataset, "all", export.write_imagefolder, folder) == 4
    assert exported(folder) == FILES
    for name, product_id, position in (("1201/5.jpeg", 5, 0), ("1201/5-2.jpeg", 5, 2), ("1300/9.jpeg", 9, 0)):
        with Image.open(folder / name) as image:
            assert (image.format, image.mode) == ("JPEG", mode)
            pixels = np.asarray(image).reshape(SIDE, SIDE, channels).astype(int)
        assert np.abs(pixels - photo(product_id, position, 0, channels)).max() <= 6


def test_photos_keep_their_detail(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5", channels=3)
    export.export(dataset, "all", export.write_imagefolder, tmp_path / "photos")
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "reference.jpeg", quality=95, subsampling="4:4:4")
    with Image.open(tmp_path / "photos/1300/7.jpeg") as image, Image.open(tmp_path / "reference.jpeg") as reference:
        # layer: of each component its number, its sampling factors and its quantisation table's number.
        assert image.layer == reference.layer  # type: ignore[attr-defined]
        assert image.quantization == reference.quantization  # type: ignore[attr-defined]


def test_photos_of_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK_BYTES", 4 * SIDE * SIDE)
    count = 11
    rows = [(5, position, 0, 0) for position in range(1, count + 1)]
    dataset = write_dataset(tmp_path / "dataset.h5", train=rows)

    assert export.export(dataset, "train", export.write_imagefolder, tmp_path / "photos") == count
    assert exported(tmp_path / "photos") == {f"1201/5-{position}.jpeg" for position in range(1, count + 1)}


@pytest.mark.parametrize(("subset", "expected"), [("test", {"1300/9.jpeg"}), ("train", FILES - {"1300/9.jpeg"})])
def test_one_subset(tmp_path: Path, subset: str, expected: set[str]) -> None:
    export.export(write_dataset(tmp_path / "dataset.h5"), subset, export.write_imagefolder, tmp_path / "photos")

    assert exported(tmp_path / "photos") == expected


def test_a_subset_that_is_not_there(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")

    with pytest.raises(DataError, match=r"dataset\.h5 has no validation subset, but train, test"):
        export.export(dataset, "validation", export.write_imagefolder, tmp_path / "photos")
    assert not (tmp_path / "photos").exists()


def test_an_empty_folder_is_filled_and_any_other_refused(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    folder = tmp_path / "photos"
    folder.mkdir()
    export.export(dataset, "test", export.write_imagefolder, folder)
    (tmp_path / "file").write_text("kept")

    for taken in (folder, tmp_path / "file"):
        with pytest.raises(DataError, match=rf"{taken} is not an empty folder"):
            export.export(dataset, "all", export.write_imagefolder, taken)
    assert exported(folder) == {"1300/9.jpeg"}
    assert (tmp_path / "file").read_text() == "kept"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail_half_way(photos: Iterator[Photo], folder: Path) -> None:
        export.write_imagefolder(islice(photos, 2), folder)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        export.export(write_dataset(tmp_path / "dataset.h5"), "all", fail_half_way, tmp_path / "new" / "photos")
    assert exported(tmp_path) == {"dataset.h5"}
    assert list((tmp_path / "new").iterdir()) == []


def test_the_folder_is_as_open_as_any_other(tmp_path: Path) -> None:
    export.export(write_dataset(tmp_path / "dataset.h5"), "all", export.write_imagefolder, tmp_path / "photos")
    (tmp_path / "plain").mkdir()

    assert (tmp_path / "photos").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_command(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset.h5")
    done = run(tmp_path, "photos", "--dataset", "dataset.h5")

    assert done.returncode == 0
    assert done.stdout.startswith("export: 4 photos in photos\n")
    assert "--subset train" in done.stdout
    assert exported(tmp_path / "photos") == FILES


@pytest.mark.parametrize(("arguments", "message"), [
    (["."], "is not an empty folder"),
    (["photos", "--dataset", "not.h5"], "not.h5 cannot be read as HDF5"),
    (["photos"], "data/dataset.h5 is missing"),
])
def test_errors_are_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "not.h5").write_text("no HDF5")
    done = run(tmp_path, *arguments)

    assert done.returncode == 1
    assert done.stderr.startswith("export: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert exported(tmp_path) == {"not.h5"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tools.export", "--to", "imagefolder", *arguments], cwd=folder,
                          env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
