"""tools.plan on small repositories: what it says before a real `dvc repro`, and what that then does."""

import re
import shutil
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from imageset.curation.duplicate_search import search_part
from imageset.curation.search_cache import open_memory
from imageset.curation.search_recipe import describe_recipe
from imageset.curation.union_find import UnionFind
from imageset.formats import tables
from imageset.photos import mask_recipe
from imageset.photos.mask_cache import MaskCache
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.photos.pixel_cache import PixelCache
from imageset.runtime import params, settings
from imageset.runtime.rates import StageRun
from imageset.storage.bucket import StoredObject, open_bucket
from imageset.storage.object_keys import object_key
from imageset.web.refusals import DECIDING_PARAMS, RefusalCache
from tests.forked import run_python
from tests.project import ROOT
from tests.tools.test_compare import commit, dvc, edit, git, write
from tools.plan.command import plan
from tools.plan.estimate import Task, estimate
from tools.plan.photo_work import count_requests, count_work, find_network
from tools.plan.shipped import DVC_START, OTHER, SHIPPED
from tools.plan.text import WIDTH

# The stages copy text. split keeps the line of test_share, so another seed changes no output.
GRAPH = """\
stages:
  listings:
    cmd: cat queries/listings.sql > data/listings.csv
    deps:
      - queries/listings.sql
    params:
      - source
    outs:
      - data/listings.csv
  pixels:
    cmd: >-
      cat data/listings.csv > data/processed.csv && grep fill params.yaml >> data/processed.csv
      && cat stages/templates/a/b.txt > data/copy.txt
    deps:
      - data/listings.csv
      - stages/templates
      - tool.sh
    params:
      - preprocess
      - masks.background
    outs:
      - data/copy.txt
      - data/processed.csv
  labels:
    cmd: grep as_of params.yaml > data/labels.csv
    params:
      - source.as_of
    outs:
      - data/labels.csv
  split:
    cmd: grep test_share params.yaml > data/shares.txt
    deps:
      - data/listings.csv
    params:
      - split
    outs:
      - data/shares.txt
  report:
    cmd: cat data/shares.txt data/processed.csv > reports/card.md
    deps:
      - data/processed.csv
      - data/shares.txt
    outs:
      - reports/card.md:
          cache: false
"""
ALL = {"labels", "listings", "pixels", "split", "report"}
COLOUR = ("  fill: [255, 255, 255]", "  fill: [0, 0, 0]")
SHARE = ("  test_share: 0.2", "  test_share: 0.3")
SEED = ("  validation_share: 0.0\n", "  validation_share: 0.0  # none\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with all stages run and committed."""
    root = tmp_path_factory.mktemp("finished")
    write(root, {"dvc.yaml": GRAPH, "queries/listings.sql": "one\n", "tool.sh": "true\n", ".gitignore": "/.cache/\n"})
    write(root, {"stages/templates/a/b.txt": "b\n", "stages/templates/c.txt": "c\n"})
    shutil.copy(ROOT / "params.yaml", root)
    (root / "tool.sh").chmod(0o755)
    (root / "data").mkdir()
    (root / "reports").mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    dvc(root, "init", "--quiet")
    assert dvc(root, "repro") == ALL
    commit(root)
    return root


@pytest.fixture
def repository(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished repository, as the working directory."""
    root = tmp_path / "repository"
    shutil.copytree(finished, root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("IMAGESET_CACHE", raising=False)
    monkeypatch.delenv("IMAGESET_DASK", raising=False)
    monkeypatch.setenv("IMAGESET_WORKERS", "2")
    return root


def planned(photos: int | None = None) -> dict[str, tuple[str, str]]:
    """Return what the plan says of each stage: what becomes of it, and the rest of its line."""
    found = re.findall(r"^(\w+) +(runs|perhaps|restored|unchanged)\b *(.*)$", plan(photos), re.MULTILINE)
    return {name: (status, rest) for name, status, rest in found}


def names(status: str, photos: int | None = None) -> set[str]:
    return of_status(planned(photos), status)


def of_status(lines: dict[str, tuple[str, str]], status: str) -> set[str]:
    return {name for name, (found, _) in lines.items() if found == status}


def repro(root: Path) -> tuple[set[str], set[str]]:
    """Run dvc repro and return the stages that ran and those that it restored."""
    done = run_python("dvc", "repro", cwd=root)
    done.check_returncode()
    said = done.stdout
    return set(re.findall(r"Running stage '(\w+)'", said)), set(re.findall(r"Stage '(\w+)' is cached", said))


def test_where_nothing_has_changed_nothing_is_to_do(repository: Path) -> None:
    assert names("unchanged") == ALL
    assert "Total: nothing to do." in plan(None)
    assert repro(repository) == (set(), set())


def test_the_first_run_runs_all_and_says_that_the_photos_are_not_known(repository: Path) -> None:
    (repository / "dvc.lock").unlink()
    shutil.rmtree(repository / ".dvc/cache")
    text = plan(None)

    assert names("runs") == ALL
    assert "It is the first run: there is no dvc.lock." in text
    assert "Not known: the number of photos" in text
    assert "the number of photos" not in plan(100)
    assert repro(repository) == (ALL, set())


@pytest.mark.parametrize(
    ("file", "change", "runs", "perhaps", "why"),
    [
        ("params.yaml", COLOUR, {"pixels"}, {"report"}, "params preprocess.fill"),
        ("params.yaml", SHARE, {"split"}, {"report"}, "params split.test_share"),
        ("stages/templates/a/b.txt", ("b", "c"), {"pixels"}, {"report"}, "file stages/templates"),
        (
            "queries/listings.sql",
            ("one", "two"),
            {"listings"},
            ALL - {"listings", "labels"},
            "query queries/listings.sql",
        ),
        ("dvc.yaml", ("grep test_share", "grep -e test_share"), {"split"}, {"report"}, "command"),
        ("params.yaml", SEED, set(), set(), ""),
    ],
)
def test_what_runs_runs_and_nothing_runs_that_does_not_perhaps(
    repository: Path, file: str, change: tuple[str, str], runs: set[str], perhaps: set[str], why: str
) -> None:
    edit(repository, file, *change)
    lines = planned()

    assert of_status(lines, "runs") == runs
    assert of_status(lines, "perhaps") == perhaps
    assert all(why in lines[name][1] for name in runs)

    ran, restored = repro(repository)

    assert runs <= ran <= runs | perhaps
    assert restored == set()


def test_a_stage_whose_run_is_remembered_is_restored(repository: Path) -> None:
    edit(repository, "params.yaml", *COLOUR)
    edit(repository, "params.yaml", *SHARE)
    repro(repository)
    edit(repository, "params.yaml", *reversed(COLOUR))
    edit(repository, "params.yaml", *reversed(SHARE))

    assert names("restored") == {"pixels", "split"}
    assert names("runs") == {"report"}  # git has all that it writes, and DVC remembers no such run
    assert repro(repository) == ({"report"}, {"pixels", "split"})


def test_a_remembered_run_whose_outputs_are_gone_runs(repository: Path) -> None:
    edit(repository, "params.yaml", *COLOUR)
    repro(repository)
    edit(repository, "params.yaml", *reversed(COLOUR))
    lock = yaml.safe_load(git(repository, "show", "HEAD:dvc.lock"))["stages"]["pixels"]
    (md5,) = (out["md5"] for out in lock["outs"] if out["path"] == "data/processed.csv")
    (repository / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()

    assert names("runs") == {"pixels"}
    assert "pixels" in repro(repository)[0]


def test_where_an_earlier_stage_must_run_first_a_remembered_run_is_a_perhaps(repository: Path) -> None:
    edit(repository, "params.yaml", *COLOUR)
    repro(repository)
    edit(repository, "params.yaml", *reversed(COLOUR))
    edit(repository, "queries/listings.sql", "one", "one\n")

    assert planned()["pixels"][0] == "perhaps"
    assert "an earlier run may be restored" in planned()["pixels"][1]


def test_a_missing_output_is_restored_and_without_the_cache_made_again(repository: Path) -> None:
    (repository / "data/processed.csv").unlink()

    assert planned()["pixels"] == ("restored", "not here as it was: data/processed.csv")
    assert repro(repository) == (set(), {"pixels"})

    (repository / "data/processed.csv").unlink()
    shutil.rmtree(repository / ".dvc/cache/files")

    assert planned()["pixels"][0] == "runs"
    assert "pixels" in repro(repository)[0]


def test_more_photos_run_all_that_depends_on_the_database(repository: Path) -> None:
    assert names("runs", 100_000) == ALL
    assert "100,000" in planned(100_000)["pixels"][1]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dvc.yaml", "stages: [", "plan: dvc.yaml cannot be read: "),
        ("dvc.yaml", "x: 1\n", "plan: dvc.yaml cannot be read: "),
        ("dvc.lock", "stages: 1\n", "plan: dvc.lock cannot be read: "),
        ("dvc.lock", "", "plan: dvc.lock cannot be read: "),
        ("params.yaml", "split: 1\n", "plan: params.yaml: "),
    ],
)
def test_a_broken_file_is_one_line(repository: Path, file: str, text: str, message: str) -> None:
    (repository / file).write_text(text)
    done = run_python("tools.plan", cwd=repository, environment={"PATH": "/usr/bin:/bin"})

    assert done.returncode != 0
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_a_dvc_lock_that_is_being_written_is_waited_for(repository: Path) -> None:
    """DVC writes it in place: for a moment it is empty."""
    lock, expected = repository / "dvc.lock", planned()
    text = lock.read_text()
    lock.write_text("")
    writer = threading.Timer(0.05, lambda: lock.write_text(text))
    writer.start()

    assert planned() == expected
    writer.join()


def test_every_stage_has_a_shipped_rate_and_another_one_the_rate_of_none(repository: Path) -> None:
    assert set(SHIPPED) == set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    assert "pixels" not in SHIPPED
    assert estimate(Task("pixels", 1000, 1000, "", 2, 16384, 4.2), []).seconds == OTHER.start + 1000 * OTHER.each


def test_the_plan_of_the_whole_project_is_a_screen(repository: Path) -> None:
    shutil.copy(ROOT / "dvc.yaml", repository)
    lines = plan(1000).splitlines()

    assert len(lines) <= 32
    assert max(map(len, lines)) <= WIDTH


MASKS = "u2netp 320 float32 cpu"


def make_run(stage: str, seconds: float, made: int, how: str = "", **changes: Any) -> StageRun:
    run = StageRun(stage, "2026-11-28T12:00:00+00:00", seconds, 1000, made, 5_000_000, how, 2, 16384, 4.2)
    return run._replace(**changes)


def make_task(stage: str, made: int, how: str = "", **changes: Any) -> Task:
    return Task(stage, 1000, made, how, 2, 16384, 4.2)._replace(**changes)


def test_a_run_like_an_earlier_one_takes_as_long_and_as_many_bytes() -> None:
    found = estimate(make_task("masks", 1000, MASKS), [make_run("masks", 77.0, 1000, MASKS)])

    assert (found.bytes, found.source) == (5_000_000, "recorded")
    assert found.seconds == pytest.approx(77.0)


def test_another_precision_scales_what_this_machine_took_by_the_shipped_speeds() -> None:
    runs = [make_run("masks", 9.0 + 208.0, 1000, MASKS)]  # twice the shipped time of a photo

    assert estimate(make_task("masks", 1000, "u2netp 320 int8 cpu"), runs).seconds == pytest.approx(
        9.0 + 208.0 * 9.6 / 26.2, rel=0.01
    )


def test_a_network_that_nobody_has_measured_has_no_time_before_its_first_run() -> None:
    how = "silueta 320 float32 cpu"

    assert estimate(make_task("masks", 1000, how), [make_run("masks", 50.0, 1000, MASKS)]).seconds is None
    assert estimate(make_task("masks", 1000, how), [make_run("masks", 50.0, 1000, how)]).seconds == pytest.approx(50.0)


def test_where_a_cache_knows_all_photos_an_earlier_run_without_work_says_how_long_that_takes() -> None:
    runs = [make_run("masks", 900.0, 1000, MASKS), make_run("masks", 2.5, 0, MASKS)]

    assert estimate(make_task("masks", 0, MASKS), runs).seconds == 2.5


def test_a_run_of_a_few_photos_says_nothing_of_a_thousand() -> None:
    assert estimate(make_task("masks", 1000, MASKS), [make_run("masks", 60.0, 3, MASKS)]).source == "shipped"


def test_a_run_with_other_workers_is_no_measure_and_shipped_rates_are_for_two() -> None:
    found = estimate(make_task("masks", 1000, MASKS, workers=8), [make_run("masks", 77.0, 1000, MASKS)])

    assert found.source == "shipped"
    assert found.seconds == pytest.approx(9.0 + 104.0 / 4)


def test_the_start_of_a_small_run_is_not_taken_for_work_on_many() -> None:
    slow_start = [make_run("split", 3.0, 1000)]
    seconds = estimate(make_task("split", 1_000_000, photos=1_000_000), slow_start).seconds

    assert seconds is not None
    assert seconds <= 4 * SHIPPED["split"].each * 1_000_000 + 3.0


def test_more_copies_and_larger_images_make_the_dataset_larger_and_slower() -> None:
    runs = [make_run("build", 10.8, 1000)]
    more = estimate(make_task("build", 1000, copies=8.4, pixels=2 * 16384), runs)

    assert more.bytes == pytest.approx(4 * 5_000_000)
    assert more.seconds == pytest.approx(0.8 + 4 * 10.0)


def stored(number: int) -> StoredObject:
    return StoredObject(f"{number}/0.jpg", f"{number:032x}", 1000, "")


@pytest.fixture
def inventory(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inventory of five photos, int8 masks, and the quantized network that git has."""
    monkeypatch.setenv("IMAGE_STORE", "s3://photos")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    edit(repository, "params.yaml", "  precision: float32", "  precision: int8")
    (repository / "models").mkdir()
    shutil.copy(ROOT / "models/u2netp-int8.zip", repository / "models")
    rows = [(stored(n).key, n, 0, stored(n).etag, stored(n).bytes, "") for n in range(1, 6)]
    path = repository / "data/inventory.csv"
    tables.write(path, tables.INVENTORY, tables.frame(tables.INVENTORY, rows))
    return path


def test_photos_that_a_cache_knows_are_not_made_and_looking_leaves_no_trace(inventory: Path) -> None:
    values, bucket = params.load(), open_bucket()
    recipe = mask_recipe.describe_recipe(find_network(values))
    mask, pixels = PhotoMask(b"mask", 100, 0.5, 0.0, 1, 0.1), values.preprocess.max_pixels
    with closing(MaskCache(settings.mask_cache(), bucket, recipe, pixels)) as cache:
        cache.add(stored(1), mask)
        cache.add(stored(2), mask._replace(compressed=b"other"))
        cache.add(stored(3), Rejected("not_an_image"))
        cache.add(stored(4), mask._replace(from_alpha=1))
    with closing(PixelCache(settings.pixel_cache(), bucket, values.preprocess)) as cache:
        cache.add(stored(1), b"mask", Rejected("empty"))
        cache.add(stored(2), b"mask", Rejected("empty"))
        cache.add(stored(4), b"mask", Rejected("empty"), from_alpha=True)
    before = settings.mask_cache().read_bytes()

    work = count_work(values, inventory, {"masks", "preprocess", "embed"})

    assert work.made == {"masks": 1, "preprocess": 2, "embed": 5}
    assert work.unknown == []
    assert settings.mask_cache().read_bytes() == before


def test_without_caches_all_photos_are_made_and_no_cache_is(inventory: Path) -> None:
    made = count_work(params.load(), inventory, {"masks", "preprocess", "duplicates"}).made

    assert made == {"masks": 5, "preprocess": 5, "duplicates": 5}
    assert not settings.mask_cache().exists()
    assert not settings.search_cache().exists()


def test_photos_that_the_last_search_knows_are_not_hashed_again(inventory: Path) -> None:
    values = params.load()
    thumbnails = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 1), np.uint8)
    photos = tables.frame(
        tables.PROCESSED,
        [(number, 0, number - 1, f"{number:064x}", f"{number:016x}", f"{number:016x}") for number in range(1, 5)],
    )
    with open_memory(settings.search_cache(), describe_recipe(values.duplicates)) as memory:
        every, connected = np.ones(4, bool), UnionFind([""] * 4)
        list(search_part(photos, thumbnails, every, ~every, connected, values.duplicates, memory, is_kept=True))
    other = values.model_copy(update={"duplicates": values.duplicates.model_copy(update={"distance": 8})})

    assert count_work(values, inventory, {"duplicates"}).made == {"duplicates": 1}
    assert count_work(values, inventory, {"preprocess", "duplicates"}).made["duplicates"] == 5
    assert count_work(other, inventory, {"duplicates"}).made == {"duplicates": 5}


def test_without_the_inventory_all_photos_count_as_new_and_the_plan_says_so(repository: Path) -> None:
    shutil.copy(ROOT / "dvc.yaml", repository)
    write(repository, {"reports/metrics.json": '{"photos": {"listed": 1000}}'})
    text = " ".join(plan(None).split())

    assert "Not known: how many photos the caches know, as data/inventory.csv is not here; all count as new." in text


def test_what_cannot_be_counted_is_said(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGE_STORE")
    (unknown,) = count_work(params.load(), inventory, {"masks"}).unknown

    assert unknown.startswith("what the caches know for masks: IMAGE_STORE is not set")


def test_requests_are_for_photos_that_neither_the_bucket_had_nor_a_host_refused(repository: Path) -> None:
    values = params.load()
    urls = [(number, 0, f"http://host/{number}.jpg", "") for number in range(1, 6)] + [(6, 0, "", "shop/6.png")]
    listings, ingest = repository / "data/all.csv", repository / "data/ingest.csv"
    tables.write(listings, tables.LISTINGS, tables.frame(tables.LISTINGS, urls))

    assert count_requests(values, listings, ingest) == 5

    done = [(object_key(1, 0), 1, 0, "done", ""), (object_key(2, 0), 2, 0, "rejected", "too_large")]
    tables.write(ingest, tables.INGEST, tables.frame(tables.INGEST, done))
    limits = values.ingest.model_dump_json(include=DECIDING_PARAMS)
    with closing(RefusalCache(settings.refusal_cache(), limits)) as refusals:
        refusals.remember(object_key(2, 0), urls[1][2], "too_large")
        refusals.remember(object_key(3, 0), "http://host/another.jpg", "gone")

    assert count_requests(values, listings, ingest) == 3

    other = values.model_copy(update={"ingest": values.ingest.model_copy(update={"max_bytes": 1000})})

    assert count_requests(other, listings, ingest) == 4


def test_times_of_what_perhaps_runs_are_the_upper_end(repository: Path) -> None:
    edit(repository, "params.yaml", *SHARE)
    write(repository, {"reports/metrics.json": '{"photos": {"listed": 1000}}'})
    (total,) = re.findall(r"Total: about (\d+) s to (\d+) s", plan(None))
    low, high = map(int, total)

    assert DVC_START + SHIPPED["split"].start <= low < high
