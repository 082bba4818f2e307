"""The edge of a stage, on real stages: exit codes, one line, one run at a time, nothing left behind."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import psutil
import pytest

from imageset.formats import hdf5, row_checksums, tables
from imageset.runtime import lifetime, rates, stage
from tests.conftest import run_stage
from tests.project import ROOT

PATIENCE = 60.0
SPLIT = ("data/catalog.csv", "data/groups.csv", "releases/split.csv", "data/split.csv")
BUILD = (
    "data/processed.h5",
    "data/catalog.csv",
    "data/label_map.csv",
    "data/split.csv",
    "data/attributes.csv",
    "data/dataset.h5",
)
PHOTOS = 300
# All but model, which reads no file, and those that first ask the database.
STAGES = sorted({path.stem for path in (ROOT / "stages").glob("[a-z]*.py")} - {"model", "listings", "labels"})
SETTINGS = {"DATABASE_URL": "postgresql://nowhere:1/x", "IMAGE_STORE": "s3://nowhere"}  # that no stage comes to


def start_stage(name: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"stages.{name}", *arguments],
        cwd=cwd,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "IMAGESET_WORKERS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_ended(process: psutil.Process) -> bool:
    """Tell whether a process, of ours or not, has come to its end."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def become_pipe(path: Path) -> Path:
    """Put a named pipe, which lets its reader wait, where a file was."""
    path.unlink()
    os.mkfifo(path)
    return path


def is_read(pipe: Path) -> bool:
    """Tell whether a process has opened a named pipe and waits for what comes out of it."""
    try:
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)  # left open: closing it would be the end of the input
    except OSError:
        return False
    return True


@pytest.fixture
def project(in_project: Path) -> Path:
    """A project whose split stage has what it needs."""
    photos = [(product_id, 0, product_id - 1, 1201, 0, product_id) for product_id in range(1, PHOTOS + 1)]
    tables.write(in_project / "data/catalog.csv", tables.CATALOG, tables.frame(tables.CATALOG, photos))
    groups = [(product_id, 0, row, group, row, "") for product_id, _, row, _, _, group in photos]
    tables.write(in_project / "data/groups.csv", tables.GROUPS, tables.frame(tables.GROUPS, groups))
    return in_project


@pytest.fixture
def waiting(project: Path) -> Iterator[subprocess.Popen[str]]:
    """A split stage that holds its lock and waits for its params."""
    pipe = become_pipe(project / "params.yaml")
    with start_stage("split", *SPLIT, cwd=project) as stage:
        wait_until(lambda: is_read(pipe) or stage.poll() is not None)
        yield stage
        stage.kill()


@pytest.fixture
def building(project: Path, edit_params: Callable[[str, str], None]) -> Iterator[subprocess.Popen[str]]:
    """A build stage in the middle of writing data/dataset.h5, over one that stood there before."""
    assert run_stage("split", *SPLIT, cwd=project).returncode == 0
    with hdf5.create(project / "data/processed.h5", hdf5.PROCESSED) as file:
        hdf5.add(file, "images", np.zeros((PHOTOS, 64, 64, 1), np.uint8))
        hdf5.add(file, "ids", np.arange(1, PHOTOS + 1))
        hdf5.add(file, "positions", np.zeros(PHOTOS, np.int16))
        row_checksums.finish(file, fill=np.array([255, 255, 255], np.uint8))
    tables.write(project / "data/label_map.csv", tables.LABEL_MAP, tables.frame(tables.LABEL_MAP, [(0, 1201, "shirt")]))
    (project / "data/dataset.h5").write_text("old")
    edit_params("  copies: 5", "  copies: 1000")
    with start_stage("build", *BUILD, cwd=project) as stage:
        wait_until(lambda: stage.poll() is not None or len(psutil.Process(stage.pid).children()) >= 3)
        yield stage
        stage.kill()


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_stage_that_succeeds_says_so_in_one_line_and_exits_with_0(project: Path) -> None:
    said = run_stage("split", *SPLIT, cwd=project)

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith(f"split: {PHOTOS} photos, ")
    assert said.stdout.count("\n") == 1
    assert len(tables.read(project / "data/split.csv", tables.SPLIT)) == PHOTOS


def test_a_stage_that_succeeds_records_its_run_and_one_that_fails_does_not(
    project: Path, edit_params: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    os.utime(project / "data/catalog.csv", (0, 0))  # as old as an input is: the test has only just written it
    run_stage("split", *SPLIT, cwd=project)
    edit_params("  test_share: 0.2", "  test_share: 1.2")
    run_stage("split", *SPLIT, cwd=project)
    (run,) = rates.read()

    assert (run.stage, run.photos, run.made) == ("split", PHOTOS, PHOTOS)
    assert run.bytes == (project / "data/split.csv").stat().st_size


@pytest.mark.parametrize("arguments", [(), SPLIT[:2], (*SPLIT, "more")])
def test_a_wrong_number_of_paths_is_told_with_the_right_ones(arguments: tuple[str, ...], project: Path) -> None:
    said = run_stage("split", *arguments, cwd=project)

    assert said.returncode != 0
    usage = "usage: python -m stages.split [-h] CATALOG_CSV GROUPS_CSV RELEASED_SPLIT_CSV SPLIT_CSV "
    assert " ".join(said.stderr.split()).startswith(usage)
    assert left_in(project / "data") == {"catalog.csv", "groups.csv"}


def test_wrong_params_exit_with_2_and_one_line(project: Path, edit_params: Callable[[str, str], None]) -> None:
    edit_params("  test_share: 0.2", "  test_share: 1.2")
    said = run_stage("split", *SPLIT, cwd=project)

    assert said.returncode == 2
    assert said.stderr.startswith("split: params.yaml: split.test_share = 1.2: ")
    assert said.stderr.count("\n") == 1


def test_a_fault_in_the_section_of_another_stage_is_refused_before_anything_is_done(
    project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("  sample_photos: 60", "  sample_photos: none")
    said = run_stage("split", *SPLIT, cwd=project)

    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert said.stderr.startswith("split: params.yaml: report.sample_photos = 'none': ")
    assert not (project / "data/split.csv").exists()


def test_many_paths_are_given_by_name(project: Path) -> None:
    said = run_stage("catalog", "--groups", "data/groups.csv", cwd=project)

    assert said.returncode == 2
    assert "--groups PATH --photos PATH --labels PATH" in said.stderr
    assert said.stderr.splitlines()[-1].startswith(
        "python -m stages.catalog: error: the following arguments are required:"
    )


def test_help_says_what_each_path_is(project: Path) -> None:
    said = run_stage("split", "--help", cwd=project)

    assert said.returncode == 0
    assert "Divide every class into train and test" in said.stdout
    assert re.search(r"RELEASED_SPLIT_CSV +the subsets that the last release fixed", said.stdout)


def test_a_percent_sign_in_what_a_path_is_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(split_csv: Path) -> None:
        """Divide.

        Args:
            split_csv: 20 % of the photos.
        """

    monkeypatch.setattr(sys, "argv", ["split", "--help"])
    with pytest.raises(SystemExit):
        stage.arguments("split", main)

    assert "20 % of the photos." in capsys.readouterr().out


def test_missing_settings_exit_with_2_and_one_line(project: Path) -> None:
    tables.write(project / "data/ingest.csv", tables.INGEST, tables.frame(tables.INGEST, []))
    paths = ("data/ingest.csv", "corrections/takedowns.csv", "data/inventory.csv")
    said = run_stage("inventory", *paths, cwd=project, environment={"IMAGE_STORE": ""})

    assert said.returncode == 2
    assert said.stderr.startswith("inventory: IMAGE_STORE is not set: ")
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.unlink(), "data/catalog.csv is missing: run `dvc repro`"),
        (lambda path: path.write_text("<html>\n"), "data/catalog.csv has columns <html>; expected "),
    ],
)
def test_a_missing_or_wrong_input_exits_with_1_and_one_line(
    spoil: Callable[[Path], object], problem: str, project: Path
) -> None:
    spoil(project / "data/catalog.csv")
    said = run_stage("split", *SPLIT, cwd=project)

    assert said.returncode == 1
    assert said.stderr.startswith("split: ")
    assert problem in said.stderr
    assert said.stderr.count("\n") == 1
    assert not (project / "data/split.csv").exists()


@pytest.mark.parametrize("name", STAGES)
def test_paths_that_are_not_there_say_so_in_one_line_that_names_dvc_repro(name: str, in_project: Path) -> None:
    parameters = inspect.signature(import_module(f"stages.{name}").main).parameters.values()
    paths = [f"nowhere/{one.name}" for one in parameters if one.kind is not one.KEYWORD_ONLY]
    said = run_stage(name, *paths, cwd=in_project, environment=SETTINGS)

    assert (said.returncode, said.stderr.count("\n")) == (1, 1), said.stderr
    assert re.search(r"nowhere/[\w/.]+ is missing: .*(`dvc repro`|`git checkout)", said.stderr)


def test_a_missing_file_that_is_none_of_the_paths_is_named_as_it_is() -> None:
    error = FileNotFoundError(2, "No such file or directory", "libssl.so")

    assert stage.explain_missing(error, {"split_csv": Path("data/split.csv")}) is error


def test_a_path_that_a_dvc_makes_right_now_is_named_with_that_dvc(project: Path) -> None:
    (project / "data/catalog.csv").unlink()
    lock = project / lifetime.DVC_LOCK
    lock.parent.mkdir(parents=True)
    lock.write_text(
        json.dumps({"write": {str(project / "data/catalog.csv"): {"pid": os.getpid(), "cmd": "dvc repro"}}})
    )
    said = run_stage("split", *SPLIT, cwd=project)

    assert said.returncode == 1
    assert said.stderr == (
        f"split: data/catalog.csv is missing: another run is active (pid {os.getpid()}) and makes it; "
        "wait for it or stop it (.dvc/tmp/rwlock)\n"
    )


def test_a_second_run_of_a_stage_is_refused_with_the_first_ones_process(
    project: Path, waiting: subprocess.Popen[str]
) -> None:
    said = run_stage("split", *SPLIT, cwd=project)

    assert said.returncode == 1
    assert said.stderr.startswith(f"split: another run is active (pid {waiting.pid}); ")
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("sent", "code", "line"),
    [
        (signal.SIGTERM, 128 + signal.SIGTERM, ""),
        (signal.SIGINT, 130, "split: interrupted\n"),
    ],
)
def test_a_stage_that_is_told_to_stop_ends_without_a_traceback(
    sent: signal.Signals, code: int, line: str, waiting: subprocess.Popen[str]
) -> None:
    waiting.send_signal(sent)
    _, error = waiting.communicate(timeout=PATIENCE)

    assert (waiting.returncode, error) == (code, line)


def test_a_stage_told_to_stop_while_it_writes_leaves_the_old_file_and_nothing_else(
    project: Path, building: subprocess.Popen[str]
) -> None:
    before = left_in(project / "data")
    family = psutil.Process(building.pid).children(recursive=True)
    building.terminate()
    building.communicate(timeout=PATIENCE)

    assert building.returncode == 128 + signal.SIGTERM
    assert (project / "data/dataset.h5").read_text() == "old"
    assert before - left_in(project / "data") == {".dataset.h5.tmp"}
    wait_until(lambda: all(has_ended(process) for process in family))


def test_a_killed_stage_leaves_the_old_file_no_process_and_no_hindrance(
    project: Path, building: subprocess.Popen[str], edit_params: Callable[[str, str], None]
) -> None:
    family = psutil.Process(building.pid).children(recursive=True)
    building.kill()
    building.communicate(timeout=PATIENCE)  # ends when no worker is left that holds its stderr

    assert (project / "data/dataset.h5").read_text() == "old"
    wait_until(lambda: all(has_ended(process) for process in family))

    edit_params("  copies: 1000", "  copies: 1")
    said = run_stage("build", *BUILD, cwd=project)

    assert said.returncode == 0, said.stderr
    assert left_in(project / "data") == {
        "catalog.csv",
        "groups.csv",
        "split.csv",
        "label_map.csv",
        "processed.h5",
        "dataset.h5",
    }
    with hdf5.open_file(project / "data/dataset.h5", hdf5.DATASET) as file:
        assert len(file["train_ids"]) + len(file["test_ids"]) == PHOTOS


def test_a_stage_ends_when_its_parent_is_killed(project: Path) -> None:
    params = (project / "params.yaml").read_text()
    pipe = become_pipe(project / "params.yaml")
    code = (
        f"import subprocess, sys; stage = subprocess.Popen([sys.executable, '-m', 'stages.split', *{SPLIT}]); "
        "print(stage.pid, flush=True); stage.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        stage = psutil.Process(int(parent.stdout.readline()))
        wait_until(lambda: is_read(pipe) or has_ended(stage))
        assert not has_ended(stage)
        parent.kill()

    wait_until(lambda: has_ended(stage))
    pipe.unlink()
    pipe.write_text(params)

    assert run_stage("split", *SPLIT, cwd=project).returncode == 0


def test_an_env_file_in_a_parent_folder_is_read(project: Path) -> None:
    (project / ".env").write_text("IMAGESET_DASK=nowhere\n")
    done = run_stage(
        "preprocess",
        "inventory.csv",
        "masks.h5",
        "processed.h5",
        "thumbnails.h5",
        "processed.csv",
        "rejects.csv",
        "photos.csv",
        "previews.h5",
        cwd=project,
    )

    assert (done.returncode, "IMAGESET_DASK is 'nowhere'" in done.stderr) == (2, True)
