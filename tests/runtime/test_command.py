"""The edge of a program: one line for an error, and the exit code that belongs to it."""

import errno
import os
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
from tests.forked import run_python
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


def test_a_message_is_no_command_of_githubs_logs() -> None:
    assert command.show_line("class '##[error]hat' ## [x]") == r"class '\u0023#[error]hat' ## [x]"


def test_a_long_message_keeps_its_start_and_its_end() -> None:
    line = command.show_line(f"queries/labels.sql: the name {'x' * 1_000_000} is no id: shorten it")

    assert len(line) < 2_100
    assert line.startswith("queries/labels.sql: the name xxx")
    assert line.endswith("xxx is no id: shorten it")


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


PRINTS = "from imageset.runtime import command; command.run('it', lambda: print('Größe 日本'))"


@pytest.mark.parametrize(
    ("redirections", "unbuffered", "code", "says"),
    [
        ("| true", "", 141, ""),
        ("| true", "1", 141, ""),
        (">&-", "", 0, ""),
        ("<&- >&- 2>&-", "", 0, ""),
        (">/dev/full", "", 1, "it: the output cannot be written: No space left on device\n"),
    ],
)
def test_an_output_that_nobody_takes_is_no_traceback(redirections: str, unbuffered: str, code: int, says: str) -> None:
    script = f'set -o pipefail; {{ sleep 0.2; exec $0 -c "$1"; }} {redirections}'
    command_line = ["bash", "-c", script, sys.executable, PRINTS]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command_line, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (code, says)


def test_a_closed_stream_is_no_place_for_a_file(tmp_path: Path) -> None:
    """What a library printed went into the first file that was opened."""
    code = (
        "import os; from pathlib import Path; from imageset.runtime import command\n"
        "def main():\n"
        "    with open('whole', 'w') as file: file.write('whole'); file.flush(); os.system('echo from a library >&2')\n"
        "command.run('it', main)"
    )
    command_line = ["bash", "-c", 'exec $0 -c "$1" <&- >&- 2>&-', sys.executable, code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command_line, cwd=tmp_path, env=environment, check=False)

    assert (done.returncode, (tmp_path / "whole").read_text()) == (0, "whole")


def test_a_letter_that_the_output_lacks_is_its_number() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command_line = [sys.executable, "-c", PRINTS]
    done = subprocess.run(command_line, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, r"Gr\xf6\xdfe \u65e5\u672c" + "\n", "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_refuses_a_wrong_option_with_2(program: str) -> None:
    done = run_python(program, "--no-such-option", cwd=ROOT)

    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: python -m {program} ")
    assert "Traceback" not in done.stderr
