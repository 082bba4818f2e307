"""`python -m sandbox`: services in the background, .env, signals."""

import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

import sandbox.__main__ as command
from imageset.errors import DiskError, ImagesetError
from tests.faults.disks import needs_mount, small_disk
from tests.project import ROOT
from tests.sandbox.test_servers import SECONDS


def run_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=2 * SECONDS,
        check=False,
    )


@pytest.fixture
def served(photos: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m sandbox serve`, ready, in tmp_path."""
    supervisor = start("serve", photos, tmp_path, stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / ".env").exists() or supervisor.poll() is not None)
    yield supervisor
    supervisor.terminate()
    supervisor.wait(SECONDS)


def start(subcommand: str, photos: Path, folder: Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start `python -m sandbox` in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox", subcommand, "--photos", str(photos)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert condition()


@pytest.mark.faults_only
def test_servers_end_with_a_supervisor_that_is_killed_and_services_start_after_it(
    served: subprocess.Popen[str], tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings for other servers do not disturb the services."""
    children = psutil.Process(served.pid).children(recursive=True)
    served.kill()
    _, alive = psutil.wait_procs(children, SECONDS)

    assert len(children) >= 2
    assert alive == []

    monkeypatch.setenv("AWS_PROFILE", "of-the-office")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    started = run_command(tmp_path, "services", "--photos", str(photos))
    environment = (tmp_path / ".env").read_text()
    stopped = run_command(tmp_path, "stop")

    assert (started.returncode, started.stderr) == (0, "")
    assert re.match("sandbox: starting the servers\nsandbox: a marketplace of 12 listings at .*\n", started.stdout)
    assert environment.startswith("# Written by `make services`")
    assert "IMAGE_STORE='s3://imageset-photos/" in environment
    assert (stopped.returncode, stopped.stdout) == (0, "The services have stopped.\n")
    assert not (tmp_path / ".env").exists()


def test_a_supervisor_that_is_terminated_stops_the_servers_and_removes_the_env_file(
    served: subprocess.Popen[str], tmp_path: Path
) -> None:
    children = psutil.Process(served.pid).children(recursive=True)
    mode = stat.S_IMODE((tmp_path / ".env").stat().st_mode)
    refused = [run_command(tmp_path, name) for name in ("services", "demo")]
    kept = (tmp_path / ".env").exists()
    served.terminate()
    served.wait(SECONDS)

    assert [process for process in children if process.is_running()] == []
    assert not (tmp_path / ".env").exists()
    assert kept
    assert mode == 0o600
    assert [done.returncode for done in refused] == [1, 1]
    assert {done.stderr for done in refused} == {"sandbox: the services or a demo already run: `make stop` ends them\n"}


def test_services_that_take_too_long_to_start_do_not_go_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "SECONDS_TO_START", 0)
    before = set(psutil.Process().children())
    with pytest.raises(ImagesetError, match=r"^the services took longer than 0 s to start \(see .sandbox/serve.log\)$"):
        command.start_services(photos)

    assert end_all(set(psutil.Process().children()) - before) == []


@pytest.mark.faults_only
def test_ctrl_c_ends_services_that_have_not_started(photos: Path, tmp_path: Path) -> None:
    with start("services", photos, tmp_path) as starting:
        wait_for(lambda: (tmp_path / ".sandbox/postgres.log").exists())
        serve = psutil.Process(starting.pid).children(recursive=True)
        starting.send_signal(signal.SIGINT)
        _, said = starting.communicate(timeout=SECONDS)

    assert (starting.returncode, said) == (130, "sandbox: interrupted\n")
    assert len(serve) >= 2
    assert end_all(serve) == []
    assert not (tmp_path / ".env").exists()


def end_all(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return which of them run, and end these."""
    running = [process for process in processes if process.is_running()]
    for process in running:
        process.terminate()
    return running


def test_what_serve_says_while_it_draws_is_shown_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    log = tmp_path / ".sandbox/serve.log"
    log.parent.mkdir()
    log.write_text("draw: 10 of 196\n\ndraw: 2")
    shown = command.show_progress(0)

    assert capsys.readouterr().out == "draw: 10 of 196\n"

    log.write_text(log.read_text() + "0 of 196\n")

    assert command.show_progress(shown) == 3
    assert capsys.readouterr().out == "draw: 20 of 196\n"


@pytest.mark.parametrize("begin", [command.start_services, command.serve])
def test_an_env_file_that_the_sandbox_did_not_write_stays(
    begin: Callable[[Path | None], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://shop/production\n")

    with pytest.raises(ImagesetError, match=r"^\.env was not written by the sandbox: move it away first"):
        begin(None)

    assert (tmp_path / ".env").read_text() == "DATABASE_URL=postgresql://shop/production\n"


def test_a_demo_refuses_an_env_file_that_its_stages_would_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("AWS_PROFILE=of-the-office\n")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")

    with pytest.raises(ImagesetError, match=rf"^{tmp_path}/\.env was not written by the sandbox"):
        command.run_demo(None)


@pytest.mark.faults_only
def test_an_env_file_that_a_person_writes_while_the_servers_start_stays(photos: Path, tmp_path: Path) -> None:
    with start("serve", photos, tmp_path) as serve:
        wait_for(lambda: (tmp_path / ".sandbox/postgres.log").exists())
        (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///shop.db\n")
        try:
            _, said = serve.communicate(timeout=SECONDS)
        finally:
            serve.terminate()

    assert serve.returncode == 1
    assert said.startswith("sandbox: .env was not written by the sandbox")
    assert (tmp_path / ".env").read_text() == "DATABASE_URL=sqlite:///shop.db\n"


@pytest.mark.faults_only
def test_a_persons_env_file_outlives_the_servers(served: subprocess.Popen[str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///shop.db\n")
    served.terminate()
    served.wait(SECONDS)

    assert (tmp_path / ".env").read_text() == "DATABASE_URL=sqlite:///shop.db\n"


@needs_mount
@pytest.mark.parametrize("begin", [command.stop_services, command.require_home])
def test_a_disk_that_cannot_be_written_is_said_to_be_that(
    begin: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "project") as disk:
        monkeypatch.chdir(disk.folder)
        disk.make_read_only()
        with pytest.raises(DiskError, match=r"^\.sandbox/lock: its disk is read-only"):
            begin()
        monkeypatch.chdir(tmp_path)


def test_a_lock_that_names_no_process_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".sandbox").mkdir()
    with (tmp_path / ".sandbox/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ImagesetError, match=r"^\.sandbox/lock does not say which process runs the services"):
            command.stop_services()


def test_stopping_without_running_services_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command.stop_services()

    assert capsys.readouterr().out == "No services are running.\n"
