"""Whether the dvc that runs a stage is still there, by DVC's own lock file."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from imageset.runtime import lifetime

OUTPUT = "/project/data/split.csv"
ALIVE = os.getpid()
OTHER_USERS = 1


@pytest.fixture
def ended() -> int:
    """A pid that no process has."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def write_lock(folder: Path, *pids: int) -> Path:
    """Write what DVC writes while processes of these pids run a stage each."""
    path = folder / "rwlock"
    writers = {f"{OUTPUT}.{number}": {"pid": pid, "cmd": "dvc repro"} for number, pid in enumerate(pids)}
    path.write_text(json.dumps({"read": {}, "write": writers}))
    return path


def test_a_killed_dvc_has_ended(tmp_path: Path, ended: int) -> None:
    assert lifetime.dvc_has_ended(write_lock(tmp_path, ended))


@pytest.mark.parametrize("pid", [ALIVE, OTHER_USERS], ids=["own", "another user's"])
def test_a_dvc_that_runs_has_not_ended(tmp_path: Path, pid: int) -> None:
    assert not lifetime.dvc_has_ended(write_lock(tmp_path, pid))


def test_what_an_older_dvc_left_does_not_count(tmp_path: Path, ended: int) -> None:
    assert not lifetime.dvc_has_ended(write_lock(tmp_path, ended, ALIVE))


def test_without_a_writer_nothing_is_known(tmp_path: Path) -> None:
    assert not lifetime.dvc_has_ended(write_lock(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "{}", '{"write": {"a": {}}}', "[]", '{"write": []}', "null"])
def test_a_file_that_tells_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rwlock"
    path.write_text(text)
    assert not lifetime.dvc_has_ended(path)


def test_no_file(tmp_path: Path) -> None:
    assert not lifetime.dvc_has_ended(tmp_path / "rwlock")


def test_the_dvc_that_makes_a_file_is_found_by_the_file_or_its_folder(tmp_path: Path, ended: int) -> None:
    lock = tmp_path / "rwlock"
    pids = {"data/split.csv": ALIVE, "data/photos": ALIVE, "data/old.csv": ended}
    writers = {str(Path(path).absolute()): {"pid": pid, "cmd": "dvc repro"} for path, pid in pids.items()}
    lock.write_text(json.dumps({"read": {}, "write": writers}))

    paths = ["data/split.csv", "data/photos/a/b.jpg", "data/old.csv", "data/other.csv", "data"]
    found = [lifetime.find_dvc_that_writes(Path(path), lock) for path in paths]
    assert found == [ALIVE, ALIVE, None, None, None]
