"""The edge of a program: one line for an error, and the exit code that belongs to it."""

import errno
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageset.errors import DataError, ParamsError, SettingsError
from imageset.runtime import command
from tests.project import ROOT


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give pytest its own handlers of signals back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


PROGRAMS = (
    "tools.compare",
    "tools.export",
    "tools.forget",
    "tools.prune",
    "tools.release",
    "tools.verify",
    "sandbox",
    "stages.split",
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("data/catalog.csv is empty"), 1),
        (FileNotFoundError(2, "No such file or directory"), 1),
        (sqlite3.OperationalError("database is locked"), 1),
        (ParamsError("params.yaml: split is missing"), 2),
        (SettingsError("DATABASE_URL is not set"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_one_line_with_an_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        command.run("split", main)

    assert ended.value.code == code
    assert capsys.readouterr().err == f"split: {str(error) or 'interrupted'}\n"


def test_a_name_within_a_message_acts_on_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise DataError("class 'red\x1b[2J\nsplit: done\u202eeulb\x9b' has no photo")

    with pytest.raises(SystemExit):
        command.run("split", main)

    assert (
        capsys.readouterr().err == r"split: class 'red\u001b[2J\u000asplit: done\u202eeulb\u009b' has no photo" + "\n"
    )


def test_a_full_disk_without_a_file_names_the_disks_that_programs_write_to(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SystemExit):
        command.run("page", main)

    said = capsys.readouterr().err
    assert said.startswith("page: a disk is full: make room on that of ")
    assert tempfile.gettempdir() in said
    assert str(Path.cwd()) in said


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    def main() -> None:
        raise AssertionError("a sum does not close")

    with pytest.raises(AssertionError):
        command.run("split", main)


def test_the_code_that_main_ends_with_is_kept() -> None:
    with pytest.raises(SystemExit) as ended:
        command.run("verify", lambda: sys.exit(command.FAILED))

    assert ended.value.code == command.FAILED


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_refuses_a_wrong_option_with_2(program: str) -> None:
    command_line = [sys.executable, "-m", program, "--no-such-option"]
    done = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: python -m {program} ")
    assert "Traceback" not in done.stderr
