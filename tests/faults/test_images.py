"""Pillow's own strange images through both paths, ingest's check and preprocess: no crash, and the verdicts agree.

`make faults` takes the 1,060 files of Tests/images from the source of the Pillow that is installed. `make test` takes
some of them where they were fetched before, and the images of this repository.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import PIL
import pytest

from imageset.runtime import files
from tests.faults.trials import ALL, Trials
from tests.project import ROOT

VERDICTS = ROOT / "tests/faults/pillow_verdicts.csv"
CACHE = ROOT / ".cache" / "pillow"
INDEX = "https://pypi.org/simple/pillow/"
SOURCE = f"pillow-{PIL.__version__}.tar.gz"
FILES_AT_ONCE = 100
OWN = ["docs/images/*.webp", "tests/photos/samples/*.heic"]


@dataclass(frozen=True)
class Image:
    """A file, its name in the table of verdicts, and the verdict there: a reason, or "" for a photo."""

    path: Path
    name: str
    verdict: str


def read_verdicts() -> dict[str, str]:
    with VERDICTS.open(newline="", encoding="utf-8") as file:
        return {row["file"]: row["verdict"] for row in csv.DictReader(file)}


def fetch_source(folder: Path) -> Path:
    """Return the folder of Pillow's images, out of its source distribution. Skip where there is no package index.

    Its sha256 is among those that requirements.lock pins.
    """
    images = folder / SOURCE.removesuffix(".tar.gz") / "Tests/images"
    if images.is_dir():
        return images
    if not ALL:
        pytest.skip(f"Pillow's images are not in {folder.relative_to(ROOT)}: `make faults` fetches them")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(INDEX, timeout=30) as page:
            [link] = re.findall(rf'href="([^"#]+/{re.escape(SOURCE)})#', page.read().decode())
        with urllib.request.urlopen(link, timeout=120) as body, (folder / SOURCE).open("wb") as file:
            shutil.copyfileobj(body, file)
    except OSError as error:
        pytest.skip(f"no package index: {error}")
    assert f"--hash=sha256:{files.sha256(folder / SOURCE)}" in (ROOT / "requirements.lock").read_text()
    unpacked = folder / "unpacked"
    with tarfile.open(folder / SOURCE) as archive:
        archive.extractall(unpacked, filter="data")
    (unpacked / images.parent.parent.name).rename(images.parent.parent)
    return images


def judge(paths: list[Path]) -> list[tuple[str, str]]:
    """Return ingest's and preprocess's verdict of each file; where the process ends, the rest of them is missing."""
    command = [sys.executable, "-m", "tests.faults.both_paths", *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    found = [(ingest, preprocess) for ingest, preprocess in map(json.loads, done.stdout.splitlines())]
    return found if len(found) == len(paths) else [*found, (f"crash: {done.returncode}", done.stderr[-1000:])]


def judge_all(images: list[Image]) -> list[tuple[str, str]]:
    """Return the verdicts of all files, those behind one that crashes too."""
    found: list[tuple[str, str]] = []
    while len(found) < len(images):
        found += judge([image.path for image in images[len(found) : len(found) + FILES_AT_ONCE]])
    return found


def try_images(trials: Trials, images: list[Image]) -> None:
    for image, (ingest, preprocess) in zip(images, judge_all(images), strict=True):
        with trials.trial(image.name):
            assert ingest == preprocess
            assert ingest == image.verdict


@pytest.mark.fault("Images", "one of Pillow's strange images", "its bytes, to ingest's check and to preprocess")
def test_pillows_images_get_their_verdicts(trials: Trials) -> None:
    folder = fetch_source(CACHE)
    verdicts = read_verdicts()
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    assert found == sorted(verdicts), "a new Pillow: write tests/faults/pillow_verdicts.csv anew, and read what changed"
    images = [Image(folder / name, name, verdicts[name]) for name in found]
    try_images(trials, trials.choose(images, sample=60))


@pytest.mark.fault("Images", "an image of this repository, whole and cut", "the same")
def test_images_of_the_repository_get_their_verdicts(trials: Trials, tmp_path: Path) -> None:
    paths = sorted(path for pattern in OWN for path in ROOT.glob(pattern))
    images = []
    for path in paths:
        (tmp_path / f"cut-{path.name}").write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        # The formats that are decoded by default: no HEIC.
        whole, cut = ("format_heic", "format_heic") if path.suffix == ".heic" else ("", "truncated")
        images += [Image(path, path.name, whole), Image(tmp_path / f"cut-{path.name}", f"cut {path.name}", cut)]

    assert len(images) >= 12
    try_images(trials, images)


def test_a_file_that_crashes_its_decoder_is_named(tmp_path: Path) -> None:
    """The control: a process that ends counts against the file that it was at, and the others are judged."""
    whole = ROOT / "docs/images/page.webp"
    missing = tmp_path / "missing.png"

    results = judge_all([Image(whole, "1", ""), Image(missing, "2", ""), Image(whole, "3", "")])

    assert [ingest for ingest, _ in results] == ["", "crash: 1", ""]
