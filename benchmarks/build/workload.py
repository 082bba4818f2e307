"""What stage build is measured on: photos as preprocess and as a download script leave them, tables, runs on them."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.shared.environments import install
from benchmarks.shared.measure import ROOT, Run, measure
from benchmarks.shared.workload import DRAWN_PHOTOS, drawn
from imageset.formats import hdf5, row_checksums, tables
from imageset.photos import decode, pixels
from imageset.photos.decode import PhotoLimits

SIDE = 128
WHITE = (255, 255, 255)
LIMITS = PhotoLimits(50_000_000)
HELD_OUT = 5  # every fifth photo is for testing
COPIES = 5  # as in params.yaml
BYTES_PER_PHOTO = 7 * SIDE * SIDE  # in processed.h5 and dataset.h5, with some to spare
JPEG_QUALITY = 75  # Pillow's default

BENCH = ROOT / ".cache/bench-build"
REQUIREMENTS = ROOT / "benchmarks/build/requirements.txt"


Source = Literal["small", "whole", "h5"]


class Photo(NamedTuple):
    """A photo's class, from 0, its bytes as they came, and its pixels: mode RGB, SIDE x SIDE, on white."""

    label: int
    body: bytes
    image: Image.Image


@dataclass(frozen=True)
class Workload:
    """A folder with what the contenders read, made for each number of photos when it is first needed."""

    home: Path
    photos: list[Photo]

    def project(self, count: int) -> Path:
        """Return a folder with what the stage reads, and params.yaml as it is shipped."""
        folder = self.home / f"project-{count}"
        if not folder.exists():
            (folder / "data").mkdir(parents=True)
            shutil.copy(ROOT / "params.yaml", folder)
            write_processed(folder / "data/processed.h5", self.photos, count)
            write_tables(folder / "data", self.photos, count)
        return folder

    def dataset(self, count: int) -> Path:
        return self.project(count) / "data/dataset.h5"

    def stage(self, count: int, checkout: Path = ROOT, prefix: Sequence[str] = ()) -> Run:
        """Run the stage of a checkout as DVC does. Ends the benchmark when it fails. prefix: what starts it."""
        command = [
            *prefix,
            sys.executable,
            "-m",
            "stages.build",
            "data/processed.h5",
            "data/catalog.csv",
            "data/label_map.csv",
            "data/split.csv",
            # Earlier checkouts have no further columns.
            *(["data/attributes.csv"] if (checkout / "imageset/formats/attributes.py").exists() else []),
            "data/dataset.h5",
        ]
        return measure(command, self.emptied(count), {"PYTHONPATH": str(checkout)})

    def digest(self, count: int, checkout: Path) -> str:
        """Return the md5 of what the stage of a checkout makes."""
        self.stage(count, checkout)
        with self.dataset(count).open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()

    def peer(self, name: str, source: Source, count: int) -> Run:
        """Run one of benchmarks/build/peers.py in its own environment. Ends the benchmark when rows are missing."""
        read = self.project(count) / "data/processed.h5" if source == "h5" else self.jpegs(source, count)
        run = measure(
            [str(BENCH / "bin/python"), "-m", "benchmarks.build.peers", name, str(read), "data/dataset.h5"],
            self.emptied(count),
            {},
        )
        with h5py.File(self.dataset(count)) as file:
            photos = len(file["test_images"]) + len(file["train_images"]) / COPIES
            if photos != count:
                raise SystemExit(f"{name} kept {photos} of {count} photos: {run.said}")
        return run

    def emptied(self, count: int) -> Path:
        """Return the project without a dataset, once everything is on the disk: all contenders start alike."""
        self.dataset(count).unlink(missing_ok=True)
        os.sync()
        return self.project(count)

    def jpegs(self, source: Source, count: int) -> Path:
        """Return a folder of JPEGs per class: made small by a download script, or as they came."""
        folder = self.home / f"{source}-{count}"
        if not folder.exists():
            for number, photo in enumerate(varied(self.photos, count)):
                place = folder / str(catalog_id(photo.label)) / f"{number}.jpeg"
                place.parent.mkdir(parents=True, exist_ok=True)
                if source == "small":
                    photo.image.save(place, "JPEG", quality=JPEG_QUALITY)
                else:
                    place.write_bytes(photo.body)
        return folder


@contextmanager
def set_up(folder: Path, largest: int) -> Iterator[Workload]:
    """Make a workload from a folder's photos, or from drawn ones if it is missing. It is removed at the end.

    Ends the benchmark when the disk has no room for so many photos.
    """
    with tempfile.TemporaryDirectory(prefix="imageset-bench-") as home:
        needed, free = largest * BYTES_PER_PHOTO, shutil.disk_usage(home).free
        if free < needed:
            raise SystemExit(f"{home} has {free / 1e9:.1f} GB left, {needed / 1e9:.1f} GB are needed: set TMPDIR")
        yield Workload(Path(home), read_photos(folder))


def install_peers() -> None:
    """Make the peers' environment where it is missing or out of date."""
    install(REQUIREMENTS, BENCH)


def read_photos(folder: Path) -> list[Photo]:
    """Return the JPEGs of a folder per class, classes mixed; drawn ones of one class where there is no such folder."""
    if not folder.is_dir():
        bodies = [(0, drawn(number)) for number in range(DRAWN_PHOTOS)]
    else:
        paths = sorted(folder.glob("*/*.jp*g"), key=lambda path: path.name)
        classes = sorted({path.parent.name for path in paths})
        bodies = [(classes.index(path.parent.name), path.read_bytes()) for path in paths]
    return [Photo(label, body, square(body)) for label, body in bodies]


def square(body: bytes) -> Image.Image:
    return pixels.fit(decode.decode(body, LIMITS).convert("RGB"), SIDE, "pad", WHITE)


def varied(photos: Sequence[Photo], count: int) -> Iterator[Photo]:
    """Yield `count` photos: the given ones repeated, each time one pixel further right and one level darker.

    Their bytes stay as they are, but for the number after their end, where no decoder looks.
    """
    for number in range(count):
        label, body, image = photos[number % len(photos)]
        turn = number // len(photos)
        moved = np.roll(np.asarray(image), turn % SIDE, axis=1)
        darker = np.maximum(moved, turn % 256) - np.uint8(turn % 256)
        yield Photo(label, body + number.to_bytes(4, "big"), Image.fromarray(darker))


def catalog_id(label: int) -> int:
    return 100 + label


def write_processed(path: Path, photos: Sequence[Photo], count: int) -> None:
    """Write what preprocess would."""
    with hdf5.create(path, hdf5.PROCESSED) as file:
        images = hdf5.add_images(file, "images", (count, SIDE, SIDE, 1))
        waiting: list[hdf5.Pixels] = []
        checksums: list[int] = []
        for number, photo in enumerate(varied(photos, count), 1):
            waiting.append(pixels.to_array(photo.image.convert("L")))
            if len(waiting) == hdf5.block_rows(SIDE * SIDE) or number == count:
                images[number - len(waiting) : number] = waiting
                checksums += row_checksums.checksum_rows(np.stack(waiting)).tolist()
                waiting.clear()
        hdf5.add(file, "ids", np.arange(count))
        hdf5.add(file, "positions", np.zeros(count, np.int16))
        row_checksums.finish(file, checksums, fill=np.array(WHITE, np.uint8))


def write_tables(folder: Path, photos: Sequence[Photo], count: int) -> None:
    """Write what catalog and split would."""
    numbers = np.arange(count)
    labels = np.resize([photo.label for photo in photos], count)
    names = pd.DataFrame(
        [(label, catalog_id(label), f"class {label}") for label in sorted(set(labels.tolist()))],
        columns=list(tables.LABEL_MAP.columns),
    )
    catalog = pd.DataFrame(
        {
            "product_id": numbers,
            "position": 0,
            "row": numbers,
            "label": labels,
            "group": numbers,
            "catalog_id": [catalog_id(label) for label in labels.tolist()],
        }
    )
    subsets = np.where(numbers % HELD_OUT == 0, "test", "train")
    split = pd.DataFrame({"product_id": numbers, "position": 0, "subset": subsets})
    for name, table, rows in (
        ("catalog", tables.CATALOG, catalog),
        ("label_map", tables.LABEL_MAP, names),
        ("split", tables.SPLIT, split),
    ):
        tables.write(folder / f"{name}.csv", table, rows)
