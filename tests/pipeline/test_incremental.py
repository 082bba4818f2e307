"""Preprocess with its cache, on the real bucket: what was done is not done again, and no byte depends on it."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from imageset.formats import tables
from imageset.photos import pixels
from imageset.photos.batches import PHOTOS_TO_FIT
from imageset.photos.fingerprint import identify
from imageset.storage.bucket import Bucket, list_objects
from stages import inventory, preprocess
from tests.conftest import jpeg, photo_bytes, plain_image, put, run_stage
from tests.project import ROOT
from tests.storage.test_bulk import Wire, wire

__all__ = ["wire"]  # a fixture

OUTPUTS = ("processed.h5", "thumbnails.h5", "processed.csv", "rejects.csv")
GARMENTS = {f"{number}.jpeg": photo_bytes(number) for number in range(1, 5)} | {"5.jpeg": b"<html>not found</html>"}
# Two batches, and a photo that is no photo.
PLAIN = {
    f"{number}.jpeg": jpeg(plain_image((3 * number, 0, 0), (40, 40 + number))) for number in range(1, PHOTOS_TO_FIT + 6)
}
PLAIN["9.jpeg"] = b"<html>not found</html>"

Edit = Callable[[str, str], None]


@pytest.fixture
def project(in_project: Path, wire: Wire, edit_params: Edit, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of small images with a cache of its own, and a line to its bucket."""
    edit_params("image_side: 128", "image_side: 16")
    edit_params("mask_side: null", "mask_side: 128")  # a sixth of the time
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    monkeypatch.setenv("IMAGESET_CACHE", str(in_project / "cache"))
    return in_project


@pytest.fixture
def keep(project: Path, edit_params: Edit) -> None:
    """Backgrounds are kept."""
    edit_params("background: remove", "background: keep")


def fill(bucket: Bucket, project: Path, photos: dict[str, bytes]) -> None:
    """Put photos by key into the bucket and take the inventory."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(partial(put, bucket), photos, photos.values()))
    table, _ = inventory.choose_objects(list_objects(bucket), None)
    tables.write(project / "data/inventory.csv", tables.INVENTORY, table)


def arguments(project: Path, weights: Path) -> list[Path]:
    return [project / "data/inventory.csv", weights, *(project / "data" / name for name in OUTPUTS)]


def md5s(project: Path) -> list[str]:
    return [hashlib.md5((project / "data" / name).read_bytes()).hexdigest() for name in OUTPUTS]


def run(project: Path, weights: Path = Path("no weights")) -> list[str]:
    preprocess.main(*arguments(project, weights))
    return md5s(project)


def cached(project: Path, query: str) -> list[Any]:
    """Return what a query finds in the project's cache, nothing where there is none yet."""
    try:
        with closing(sqlite3.connect(f"file:{project}/cache/photos.sqlite?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


class Undisturbed(NamedTuple):
    """What a cold run on PLAIN left."""

    cache: Path
    md5s: list[str]


undisturbed_runs: list[Undisturbed] = []


@pytest.fixture
def undisturbed(
    keep: None, project: Path, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Undisturbed:
    """A cold run on PLAIN with another cache, once for all tests; the bucket is filled, the project without outputs."""
    fill(bucket, project, PLAIN)
    if not undisturbed_runs:
        cache = tmp_path_factory.mktemp("undisturbed")
        with monkeypatch.context() as other:
            other.setenv("IMAGESET_CACHE", str(cache))
            undisturbed_runs.append(Undisturbed(cache, run(project)))
        for name in OUTPUTS:
            (project / "data" / name).unlink()
    return undisturbed_runs[0]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_neither_nothing_new_nor_other_pixels_mean_a_request_or_a_mask(
    project: Path, bucket: Bucket, wire: Wire, weights: Path, edit_params: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, project, GARMENTS)
    cold = run(project, weights)
    masks = cached(project, "SELECT rowid, key, mask FROM masks ORDER BY rowid")

    assert len(masks) == 4
    assert wire.asked["GET"] == 5
    assert (project / "data/rejects.csv").read_text() == "product_id,position,reason\n5,0,not_an_image\n"

    for key in GARMENTS:
        bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + key)

    assert run(project, weights) == cold
    assert wire.asked["GET"] == 5

    for old, new in (
        ("image_side: 16", "image_side: 24"),
        ("fill: [255, 255, 255]", "fill: [9, 99, 200]"),
        ("color: grayscale", "color: rgb"),
        ("fit: pad", "fit: crop"),
    ):
        edit_params(old, new)
    other = run(project, weights)

    assert wire.asked["GET"] == 5
    assert cached(project, "SELECT rowid, key, mask FROM masks ORDER BY rowid") == masks

    for key, body in GARMENTS.items():
        put(bucket, key, body)
    monkeypatch.setenv("IMAGESET_CACHE", str(project / "other cache"))

    assert run(project, weights) == other
    assert wire.asked["GET"] == 10
    assert other != cold


def test_one_more_photo_costs_one_get_and_a_copy_of_one_none(
    undisturbed: Undisturbed, project: Path, bucket: Bucket, wire: Wire
) -> None:
    shutil.copytree(undisturbed.cache, project / "cache")
    before = wire.asked["GET"]
    fill(bucket, project, {"1000.jpeg": photo_bytes(), "1001.jpeg": PLAIN["7.jpeg"]})
    run(project)

    assert wire.asked["GET"] == before + 1
    assert len(tables.read(project / "data/processed.csv", tables.PROCESSED)) == len(PLAIN) + 1


def test_entries_of_other_code_in_the_cache_are_replaced(
    undisturbed: Undisturbed, project: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(undisturbed.cache, project / "cache")
    monkeypatch.setenv("IMAGESET_OBJECTS_MB", "0")  # so that a photo that is made again is one that is asked for
    changed = project / "pixels.py"
    changed.write_text(Path(pixels.__file__).read_text() + "\nCHANGED = 1\n")
    before = wire.asked["GET"]
    with monkeypatch.context() as other:
        other.setattr(pixels, "__file__", str(changed))
        identify.cache_clear()

        assert run(project) == undisturbed.md5s
        assert wire.asked["GET"] == before + len(PLAIN)

    identify.cache_clear()

    assert run(project) == undisturbed.md5s
    assert wire.asked["GET"] == before + len(PLAIN)


EAGER_STAGE = """
from imageset.photos import cache
from imageset.runtime import stage
from stages import preprocess

cache.PHOTOS_BETWEEN_COMMITS = 1
stage.run("preprocess", preprocess.main)
"""


def test_a_run_after_a_killed_one_repeats_only_the_unfinished_part(
    undisturbed: Undisturbed, project: Path, wire: Wire
) -> None:
    before, done = wire.asked["GET"], PHOTOS_TO_FIT
    wire.held_from = before + done + 1
    command = [sys.executable, "-c", EAGER_STAGE, *map(str, arguments(project, Path("no weights")))]
    with subprocess.Popen(command, cwd=project, env=os.environ | {"PYTHONPATH": str(ROOT)}) as stage:
        try:
            wait_until(
                lambda: (
                    cached(project, "SELECT count(*) FROM pixels") == [(done,)]
                    and wire.asked["GET"] == before + len(PLAIN)
                )
            )
        finally:
            stage.kill()
    wire.held_from = float("inf")

    assert not any((project / "data" / name).exists() for name in OUTPUTS)
    assert run(project) == undisturbed.md5s
    assert wire.asked["GET"] == before + len(PLAIN) + len(PLAIN) - done


def test_two_runs_at_once_with_one_cache_both_succeed_with_the_same_bytes(
    undisturbed: Undisturbed, project: Path, wire: Wire
) -> None:
    other = project / "other"
    (other / "data").mkdir(parents=True)
    for name in ("params.yaml", "data/inventory.csv"):
        shutil.copy(project / name, other / name)
    with ThreadPoolExecutor(2) as threads:
        runs = [
            threads.submit(run_stage, "preprocess", *arguments(tree, Path("no weights")), cwd=tree)
            for tree in (project, other)
        ]
        said = [run.result() for run in runs]

    assert [done.returncode for done in said] == [0, 0], said
    assert md5s(project) == md5s(other) == undisturbed.md5s

    before = wire.asked["GET"]

    assert run(project) == undisturbed.md5s
    assert wire.asked["GET"] == before
