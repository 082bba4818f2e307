"""What the benchmark of loaders runs on: the photos' files, the peers' environments, a process for each measurement."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from benchmarks.build.workload import read_photos
from benchmarks.loader.workload import AUTO, GZIP, MEANS, MOMENTS, ONE_A_CHUNK, PLAIN, SHAPE, SIDE, Settings
from benchmarks.shared.measure import ROOT, started
from imageset.formats import hdf5

ENVIRONMENTS = ROOT / ".cache/bench-loader"
REQUIREMENTS = ROOT / "benchmarks/loader/requirements.txt"
HEADING = "# environment: "
MISSING = 3  # the exit code of benchmarks/loader/peers.py
BYTES_PER_PHOTO = SIDE * SIDE
FILES = 16  # of as many bytes, at most, are made of the photos for a comparison


class Contender(NamedTuple):
    """A reader of workload or, with an environment, of peers, and the settings that it may have."""

    reader: str
    settings: Sequence[Settings] = ({},)
    environment: str = ""


class Workload(NamedTuple):
    """A folder with the photos, and why peers take no part, by reader."""

    folder: Path
    missing: dict[str, str]

    def rate(
        self,
        contender: Contender,
        settings: Settings,
        seconds: float,
        action: str = "read",
        prefix: Sequence[str] = (),
    ) -> float:
        """Return images/s of a contender. prefix: what starts its process."""
        arguments = [action, contender.reader, str(self.folder), json.dumps(settings), str(seconds)]
        return float(said(self.folder, contender.environment, arguments, prefix)[1])

    def write_h5(self) -> None:
        """Write the photos once more: compressed as the stage does, and in chunks."""
        with h5py.File(self.folder / PLAIN) as source:
            images = source["train_images"]
            with hdf5.create(self.folder / GZIP, hdf5.DATASET) as file:
                copy(images, hdf5.add_images(file, "train_images", images.shape, "gzip"))
                write_columns(file, len(images))
            for name, chunks in ((ONE_A_CHUNK, (1, *SHAPE)), (AUTO, True)):
                with h5py.File(self.folder / name, "w") as file:
                    copy(images, file.create_dataset("train_images", images.shape, "uint8", chunks=chunks))

    def write_peers(self, wanted: Sequence[Contender]) -> None:
        """Have each peer write the file that it reads. A peer that cannot be installed takes no part."""
        for reader, environment in sorted({(each.reader, each.environment) for each in wanted if each.environment}):
            problem = install(environment)
            if not problem:
                code, last = said(self.folder, environment, ["write", reader, str(self.folder)])
                problem = last if code == MISSING else ""
            if problem:
                self.missing[reader] = problem
                print(f"{reader} takes no part: {problem}\n", flush=True)


@contextmanager
def set_up(photos: Path, count: int, files: int = FILES) -> Iterator[Workload]:
    """Make `count` photos from a folder's, or from drawn ones if it is missing. They are removed at the end.

    Ends the benchmark when the disk has no room for so many photos.
    """
    with tempfile.TemporaryDirectory(prefix="imageset-bench-") as home:
        needed, free = files * count * BYTES_PER_PHOTO, shutil.disk_usage(home).free
        if free < needed:
            raise SystemExit(f"{home} has {free / 1e9:.1f} GB left, {needed / 1e9:.1f} GB are needed: set TMPDIR")
        write_plain(Path(home), photos, count)
        yield Workload(Path(home), {})


def write_plain(folder: Path, photos: Path, count: int) -> None:
    """Write so many photos, no two alike, as build would without compression; and the mean of each."""
    grey = np.stack([np.asarray(photo.image.convert("L"))[..., None] for photo in read_photos(photos)])
    means, known = np.empty(count), set[bytes]()
    with hdf5.create(folder / PLAIN, hdf5.DATASET) as file:
        images = hdf5.add_images(file, "train_images", (count, *SHAPE))
        for block in hdf5.blocks(images):
            pixels = np.stack([varied(grey, number) for number in range(block.start, block.stop)])
            means[block] = pixels.mean(axis=(1, 2, 3))
            known.update(hashlib.md5(image.tobytes(), usedforsecurity=False).digest() for image in pixels)
            images[block] = pixels
        write_columns(file, count)
    if len(known) != count:
        raise SystemExit(f"{count - len(known)} of the photos are there twice")
    np.save(folder / MEANS, means)


def varied(photos: hdf5.Pixels, number: int) -> hdf5.Pixels:
    """Return photo `number`: the given ones repeated, each time further right and darker, then mirrored."""
    turn, which = divmod(number, len(photos))
    moved = np.roll(photos[which], turn % SIDE, axis=1)
    darker: hdf5.Pixels = np.maximum(moved, turn % SIDE) - np.uint8(turn % SIDE)
    return darker[:, ::-1] if turn // SIDE % 2 else darker


def write_columns(file: h5py.File, count: int) -> None:
    """Write all but the images. A photo's label is its row."""
    rows = np.arange(count)
    for name, values in (("labels", rows), ("ids", rows), ("positions", 0 * rows), ("copies", 0 * rows)):
        hdf5.add(file, f"train_{name}", values.astype(hdf5.ROW_DTYPES[name]))
    hdf5.add(file, "label_map", np.array([b"%d,%d" % (row, row) for row in rows.tolist()]))
    hdf5.add_text(file, "class_names", [f"class {row}" for row in rows.tolist()])
    hdf5.finish(
        file,
        content_digest="0" * 64,
        **{name: np.array([value]) for name, value in zip(("mean", "std"), MOMENTS, strict=True)},
    )


def copy(source: h5py.Dataset, target: h5py.Dataset) -> None:
    for block in hdf5.blocks(source):
        target[block] = source[block]


def said(folder: Path, environment: str, arguments: list[str], prefix: Sequence[str] = ()) -> tuple[int, str]:
    """Run a module in an environment; return its exit code and last line. Ends the benchmark at other codes."""
    module = "benchmarks.loader.peers" if environment else "benchmarks.loader.workload"
    command = [*prefix, str(python(environment)), "-m", module, *arguments]
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder)}
    with (
        (folder / "out").open("wb") as out,
        (folder / "log").open("wb") as log,
        started(command, cwd=folder, env=settings, stdout=out, stderr=log) as child,
    ):
        code = child.wait()
    if code not in (0, MISSING):
        log_text = (folder / "log").read_text(errors="replace")
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{log_text[-2000:]}")
    return code, (folder / "out").read_text(errors="replace").strip().rpartition("\n")[2]


def python(environment: str) -> Path:
    return ENVIRONMENTS / environment / "bin/python" if environment else Path(sys.executable)


def install(environment: str) -> str:
    """Make an environment if it is missing or out of date. Return why it cannot be made, or ""."""
    wanted, home = "\n".join(requirements()[environment]), ENVIRONMENTS / environment
    stamp = home / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return ""
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    (home / "wanted.txt").write_text(wanted)
    done = subprocess.run(
        [str(python(environment)), "-m", "pip", "install", "--quiet", "-r", str(home / "wanted.txt")],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        print(done.stderr[-2000:], file=sys.stderr)
        problems = [line.strip() for line in done.stderr.splitlines() if "error: " in line.lower()]
        problems.sort(key=lambda line: "Error: " not in line)  # what a build raised, before what pip says of it
        return f"{problems[0][:200] if problems else 'pip failed'} (see {REQUIREMENTS.name})"
    stamp.write_text(wanted)
    return ""


def requirements() -> dict[str, list[str]]:
    """Return what each environment holds, by its name."""
    parts = (part.splitlines() for part in REQUIREMENTS.read_text().split(HEADING)[1:])
    return {name: [line for line in lines if "==" in line] for name, *lines in parts}
