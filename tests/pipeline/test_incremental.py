"""Masks and preprocess with their caches, on the real bucket: what was done is not done again, and no byte depends on
it."""

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from imageset.formats import tables
from imageset.photos import background, pixels
from imageset.photos.mask_recipe import identify_masks
from imageset.photos.pixel_cache import identify_pixels
from imageset.storage.bucket import Bucket, list_objects
from stages import embed, inventory, masks, preprocess
from tests.conftest import as_given, jpeg, photo_bytes, plain_image, put
from tests.forked import run_python
from tests.project import ROOT
from tests.storage.test_bulk import Wire, wire
from tests.warm_workers import kept_warm

__all__ = ["wire"]  # a fixture

MASKS = ("masks.h5", "masks.csv")
OUTPUTS = ("processed.h5", "thumbnails.h5", "processed.csv", "rejects.csv", "photos.csv", "previews.h5")
GARMENTS = {f"{number}.jpeg": photo_bytes(number) for number in range(1, 5)} | {"5.jpeg": b"<html>not found</html>"}
# Two batches of preprocess, and a photo that is no photo.
PLAIN = {
    f"{number}.jpeg": jpeg(plain_image((3 * number, 0, 0), (40, 40 + number)))
    for number in range(1, preprocess.PHOTOS_AT_ONCE + 6)
}
PLAIN["9.jpeg"] = b"<html>not found</html>"

Edit = Callable[[str, str], None]


@pytest.fixture(scope="module", autouse=True)
def warm_workers() -> Iterator[None]:
    """The tests share their worker processes."""
    with kept_warm():
        yield


@pytest.fixture
def project(in_project: Path, wire: Wire, edit_params: Edit, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of small images with a cache of its own, and a line to its bucket."""
    edit_params("image_side: 128", "image_side: 16")
    edit_params("\n  side: null", "\n  side: 128")  # a sixth of the time
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    monkeypatch.setenv("IMAGESET_CACHE", str(in_project / "cache"))
    monkeypatch.setenv("IMAGESET_OBJECTS_MB", "0")
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


def mask_paths(project: Path, weights: Path) -> list[Path]:
    """Return the arguments of stage masks."""
    int8 = ROOT / "models/u2netp-int8.zip"
    return [project / "data/inventory.csv", weights, int8, *(project / "data" / name for name in MASKS)]


def paths(project: Path) -> list[Path]:
    """Return the arguments of stage preprocess."""
    return [project / "data/inventory.csv", project / "data/masks.h5", *(project / "data" / name for name in OUTPUTS)]


def md5s(project: Path, names: tuple[str, ...] = OUTPUTS) -> list[str]:
    return [hashlib.md5((project / "data" / name).read_bytes()).hexdigest() for name in names]


def mask(project: Path, weights: Path) -> list[str]:
    """Run stage masks, without its outputs as DVC does, and return their md5."""
    for name in MASKS:
        (project / "data" / name).unlink(missing_ok=True)
    masks.main(*mask_paths(project, weights))
    return md5s(project, MASKS)


def run(project: Path) -> list[str]:
    """Run stage preprocess and return the md5 of its outputs."""
    preprocess.main(*paths(project))
    return md5s(project)


def cached(project: Path, table: str, query: str) -> list[Any]:
    """Return what a query finds in the project's cache of masks or pixels, nothing where there is none yet."""
    try:
        with closing(sqlite3.connect(f"file:{project}/cache/{table}.sqlite?mode=ro", uri=True)) as database:
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


def counts(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """Return the numbers that stage masks printed since the last call."""
    [line] = [line for line in capsys.readouterr().out.splitlines() if re.match(r"masks: \d+ photos, ", line)]
    found = re.match(r"masks: (\d+) photos, (\d+) masks, (\d+) known before, .*; the bucket was asked for (\d+)$", line)
    assert found, line
    return dict(zip(("photos", "masks", "known", "asked"), map(int, found.groups()), strict=True))


def test_nothing_new_means_no_request_and_other_pixels_mean_no_mask(
    project: Path, bucket: Bucket, wire: Wire, weights: Path, edit_params: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, project, GARMENTS)
    cold = mask(project, weights), run(project)

    # What is no photo has no mask, and preprocess does not get it again.
    assert wire.asked["GET"] == 5 + 4
    assert (project / "data/masks.csv").read_text().splitlines()[-1] == "5,0,,,,,,not_an_image"
    assert (project / "data/rejects.csv").read_text() == "product_id,position,reason\n5,0,not_an_image\n"

    for key in GARMENTS:
        bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + key)

    assert (mask(project, weights), run(project)) == cold
    assert wire.asked["GET"] == 9

    for key, body in GARMENTS.items():
        put(bucket, key, body)
    for old, new in (
        ("image_side: 16", "image_side: 24"),
        ("fill: [255, 255, 255]", "fill: [9, 99, 200]"),
        ("color: grayscale", "color: rgb"),
        ("fit: pad", "fit: crop"),
    ):
        edit_params(old, new)
    other = run(project)

    assert wire.asked["GET"] == 13
    assert mask(project, weights) == cold[0]
    assert wire.asked["GET"] == 13

    monkeypatch.setenv("IMAGESET_CACHE", str(project / "other cache"))

    assert (mask(project, weights), run(project)) == (cold[0], other)
    assert other != cold[1]


def test_another_limit_on_facts_asks_the_bucket_for_nothing(
    undisturbed: Undisturbed, project: Path, wire: Wire, edit_params: Edit
) -> None:
    shutil.copytree(undisturbed.cache, project / "cache")
    before = wire.asked["GET"]
    edit_params("max_rejected_share: 0.2\n\nduplicates:", "max_rejected_share: 1.0\n\nduplicates:")
    edit_params("\n  min_side: null", "\n  min_side: 1")

    assert run(project) == undisturbed.md5s

    edit_params("\n  max_aspect_ratio: null", "\n  max_aspect_ratio: 2.5")
    limited = run(project)

    assert wire.asked["GET"] == before
    assert limited[4:] == undisturbed.md5s[4:]
    assert limited[0] != undisturbed.md5s[0]
    rejects = tables.read(project / "data/rejects.csv", tables.REJECTS)
    # Photo n is 40 x (40 + n) pixels.
    assert rejects["product_id"].tolist() == [9, *range(61, len(PLAIN) + 1)]
    assert set(rejects["reason"][1:]) == {"extreme_aspect"}


def test_masks_are_the_same_bytes_cold_warm_imported_and_by_two_workers(
    project: Path,
    bucket: Bucket,
    wire: Wire,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = {f"{number}.jpeg": photo_bytes(number) for number in range(1, 12)} | {"12.jpeg": b"<html>"}
    fill(bucket, project, photos)
    cold = mask(project, weights)
    printed, asked = [counts(capsys)], [wire.asked["GET"]]
    keep_in_dvc(project, cold[0])

    def again() -> list[str]:
        made = mask(project, weights)
        printed.append(counts(capsys))
        asked.append(wire.asked["GET"])
        return made

    warm = again()
    shutil.rmtree(project / "cache")
    imported = again()
    # Some are in the cache, the others are imported.
    with closing(sqlite3.connect(project / "cache/masks.sqlite")) as database, database:
        database.execute("DELETE FROM masks WHERE rowid % 2")
    both = again()
    shutil.rmtree(project / "cache")
    shutil.rmtree(project / ".dvc/cache")
    monkeypatch.setenv("IMAGESET_WORKERS", "2")
    two_workers = again()

    assert [warm, imported, both, two_workers] == [cold] * 4
    assert [each["known"] for each in printed] == [0, 12, 12, 12, 0]
    assert [each["asked"] for each in printed] == [12, 0, 0, 0, 12]
    assert asked == [12, 12, 12, 12, 24]
    assert {each["masks"] for each in printed} == {11}


def keep_in_dvc(project: Path, md5: str) -> None:
    """Move masks.h5 into DVC's cache, with its md5 in dvc.lock, as DVC does before it runs the stage again."""
    assert run_python("dvc", "init", "--quiet", "--no-scm", cwd=project).returncode == 0
    cached = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    (project / "data/masks.h5").rename(cached)
    (project / "dvc.lock").write_text(
        f"stages:\n  masks:\n    outs:\n    - path: {project}/data/masks.h5\n      md5: {md5}\n"
    )


def test_masks_of_new_photos_alone_are_predicted_where_dvc_has_the_others(
    project: Path, bucket: Bucket, wire: Wire, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(bucket, project, GARMENTS)
    [first, _] = mask(project, weights)
    keep_in_dvc(project, first)
    shutil.rmtree(project / "cache")
    capsys.readouterr()
    # One is new, one has the bytes of another; what is new comes in between the others.
    fill(bucket, project, {"0.jpeg": photo_bytes(7), "30.jpeg": GARMENTS["3.jpeg"]})
    before = wire.asked["GET"]
    imported = mask(project, weights)

    assert counts(capsys) == {"photos": 7, "masks": 6, "known": 6, "asked": 1}
    assert wire.asked["GET"] == before + 1

    shutil.rmtree(project / "cache")
    (project / "dvc.lock").unlink()

    assert mask(project, weights) == imported
    assert counts(capsys)["known"] == 0


def test_masks_of_other_code_are_neither_found_nor_imported(
    project: Path,
    bucket: Bucket,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(bucket, project, GARMENTS)
    cold = mask(project, weights)
    keep_in_dvc(project, cold[0])
    capsys.readouterr()
    changed = project / "background.py"
    changed.write_text(Path(background.__file__).read_text() + "\nCHANGED = 1\n")
    with monkeypatch.context() as other:
        other.setattr(background, "__file__", str(changed))
        identify_masks.cache_clear()
        of_other_code = mask(project, weights)
        of_that_code = counts(capsys)
    identify_masks.cache_clear()

    # masks.h5 carries the recipe, masks.csv does not.
    assert of_other_code[0] != cold[0]
    assert of_other_code[1] == cold[1]
    assert of_that_code["known"] == 0
    assert mask(project, weights) == cold
    assert counts(capsys)["known"] == 5


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
    changed = project / "pixels.py"
    changed.write_text(Path(pixels.__file__).read_text() + "\nCHANGED = 1\n")
    before = wire.asked["GET"]
    with monkeypatch.context() as other:
        other.setattr(pixels, "__file__", str(changed))
        identify_pixels.cache_clear()

        assert run(project) == undisturbed.md5s
        assert wire.asked["GET"] == before + len(PLAIN)

    identify_pixels.cache_clear()

    assert run(project) == undisturbed.md5s
    assert wire.asked["GET"] == before + len(PLAIN)


EAGER_STAGE = """
import importlib
import sys

from imageset.photos import cache
from imageset.runtime import stage

cache.PHOTOS_BETWEEN_COMMITS = 1
name = sys.argv.pop(1)
stage.run(name, importlib.import_module(f"stages.{name}").main)
"""


def kill_when(done: Callable[[], bool], project: Path, *command: object) -> None:
    """Run EAGER_STAGE and kill it when so much is done."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", EAGER_STAGE, *map(str, command)], cwd=project, env=environment) as run:
        try:
            wait_until(done)
        finally:
            run.kill()


@pytest.mark.faults_only
def test_a_run_after_a_killed_one_repeats_only_the_unfinished_part(
    undisturbed: Undisturbed, project: Path, wire: Wire
) -> None:
    before, done = wire.asked["GET"], preprocess.PHOTOS_AT_ONCE
    wire.held_from = before + done + 1
    kill_when(
        lambda: (
            cached(project, "pixels", "SELECT count(*) FROM pixels") == [(done,)]
            and wire.asked["GET"] == before + len(PLAIN)
        ),
        project,
        "preprocess",
        *as_given("preprocess", list(map(str, paths(project)))),
    )
    wire.held_from = float("inf")

    assert not any((project / "data" / name).exists() for name in OUTPUTS)
    assert run(project) == undisturbed.md5s
    assert wire.asked["GET"] == before + len(PLAIN) + len(PLAIN) - done


@pytest.mark.faults_only
def test_masks_after_a_killed_run_repeat_only_the_unfinished_part(
    project: Path, bucket: Bucket, wire: Wire, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, more = masks.PHOTOS_AT_ONCE, 3
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(done + more)})
    wire.held_from = done + 1
    kill_when(
        lambda: (
            cached(project, "masks", "SELECT count(*) FROM masks") == [(done,)] and wire.asked["GET"] == done + more
        ),
        project,
        "masks",
        *mask_paths(project, weights),
    )
    wire.held_from = float("inf")

    assert not any((project / "data" / name).exists() for name in MASKS)

    resumed = mask(project, weights)

    assert counts(capsys) == {"photos": done + more, "masks": done + more, "known": done, "asked": more}
    assert wire.asked["GET"] == done + more + more

    shutil.rmtree(project / "cache")

    assert mask(project, weights) == resumed


@pytest.mark.faults_only
def test_embeddings_after_a_killed_run_repeat_only_the_unfinished_part(
    project: Path, bucket: Bucket, wire: Wire, embedding_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, more = embed.PHOTOS_AT_ONCE, 3
    arguments = [project / "data/inventory.csv", embedding_weights, project / "data/embeddings.h5"]
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(done + more)})
    wire.held_from = done + 1
    kill_when(
        lambda: (
            cached(project, "embeddings", "SELECT count(*) FROM embeddings") == [(done,)]
            and wire.asked["GET"] == done + more
        ),
        project,
        "embed",
        *arguments,
    )
    wire.held_from = float("inf")

    assert not arguments[-1].exists()

    embed.main(*arguments)
    resumed = md5s(project, ("embeddings.h5",))

    assert f"{done + more} embeddings, {done} known before, 0 rejected (none); the bucket was asked for {more}" in (
        capsys.readouterr().out
    )
    assert wire.asked["GET"] == done + more + more

    shutil.rmtree(project / "cache")
    embed.main(*arguments)

    assert md5s(project, ("embeddings.h5",)) == resumed


def start_stage(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a stage in a process of its own: forks run one after the other."""
    command = [sys.executable, "-m", f"stages.{name}", *as_given(name, list(map(str, arguments)))]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


@pytest.mark.faults_only
def test_two_runs_at_once_with_one_cache_both_succeed_with_the_same_bytes(
    undisturbed: Undisturbed, project: Path, wire: Wire
) -> None:
    other = project / "other"
    (other / "data").mkdir(parents=True)
    for name in ("params.yaml", "data/inventory.csv"):
        shutil.copy(project / name, other / name)
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(start_stage, "preprocess", *paths(tree), cwd=tree) for tree in (project, other)]
        said = [run.result() for run in runs]

    assert [done.returncode for done in said] == [0, 0], said
    assert md5s(project) == md5s(other) == undisturbed.md5s

    before = wire.asked["GET"]

    assert run(project) == undisturbed.md5s
    assert wire.asked["GET"] == before


@pytest.mark.faults_only
def test_two_runs_of_masks_at_once_with_one_cache_both_succeed_with_the_same_bytes(
    project: Path, bucket: Bucket, wire: Wire, weights: Path
) -> None:
    fill(bucket, project, GARMENTS)
    other = project / "other"
    (other / "data").mkdir(parents=True)
    for name in ("params.yaml", "data/inventory.csv"):
        shutil.copy(project / name, other / name)
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(start_stage, "masks", *mask_paths(tree, weights), cwd=tree) for tree in (project, other)]
        said = [run.result() for run in runs]

    assert [done.returncode for done in said] == [0, 0], said
    assert md5s(project, MASKS) == md5s(other, MASKS)

    before, made = wire.asked["GET"], md5s(project, MASKS)

    assert mask(project, weights) == made
    assert wire.asked["GET"] == before
