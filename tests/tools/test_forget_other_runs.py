"""tools.forget and dvc keep each other away, with a real dvc."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from tests.forked import run_python
from tests.samples import sample
from tools.forget import other_runs

DVC = (sys.executable, "-m", "dvc")
GRAPH = """\
stages:
  slow:
    cmd: touch started && while [ ! -e go ]; do sleep 0.05; done && echo 1 > out.csv
    outs: [out.csv]
"""
SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of DVC with a stage that runs until there is a file `go`."""
    monkeypatch.chdir(tmp_path)
    run_python("dvc", "init", "--quiet", "--no-scm", cwd=tmp_path).check_returncode()
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    return tmp_path


def test_while_dvc_runs_a_stage_nothing_begins_and_the_message_names_dvc(folder: Path) -> None:
    with subprocess.Popen([*DVC, "repro"], stdout=subprocess.DEVNULL) as dvc:
        wait_for(folder / "started")
        message = rf"^another run is active \(pid {dvc.pid}\);.* \(\.dvc/tmp/rwlock\)$"
        with pytest.raises(ImagesetError, match=message), other_runs.keep_away():
            pass
        (folder / "go").touch()
        ended = dvc.wait(SECONDS)

    with other_runs.keep_away():
        pass
    assert ended == 0


@pytest.mark.parametrize("command", sample(["repro", "checkout --force"], "repro"))
def test_meanwhile_no_dvc_command_writes(command: str, folder: Path) -> None:
    (folder / "go").touch()
    with other_runs.keep_away():
        ended = run_python("dvc", *command.split(), cwd=folder)
        holder = (folder / ".dvc/tmp/lock").read_text()

    assert ended.returncode != 0
    assert "Unable to acquire lock" in ended.stderr
    assert int(holder) == os.getpid()
    assert not (folder / "out.csv").exists()


def test_while_a_dvc_command_holds_its_lock_the_message_has_its_pid(folder: Path) -> None:
    held = "from dvc.repo import Repo\nwith Repo().lock: print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dvc:
        assert dvc.stdout
        dvc.stdout.readline()
        message = rf"^another run is active \(pid {dvc.pid}\);.* \(\.dvc/tmp/lock\)$"
        with pytest.raises(ImagesetError, match=message), other_runs.keep_away():
            pass
        dvc.communicate(b"\n", timeout=SECONDS)


@pytest.mark.parametrize(
    "left", ['{"write": {"/out.csv": {"pid": 4194305, "cmd": "dvc repro"}}}', '{"write": {"/ou', ""]
)
def test_what_a_killed_dvc_left_keeps_nothing_away(left: str, folder: Path) -> None:
    (folder / ".dvc/tmp").mkdir(exist_ok=True)
    (folder / ".dvc/tmp/rwlock").write_text(left)

    with other_runs.keep_away():
        pass


def test_where_dvc_is_not_set_up_the_stages_are_kept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    with other_runs.keep_away():
        holder = (tmp_path / ".cache/slow.lock").read_text()

    assert int(holder) == os.getpid()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.exists()
