"""tools.export stopped, at any moment and in any way: the same command goes on and makes the undisturbed bytes."""

import errno
import itertools
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from imageset import files
from imageset.errors import ImagesetError
from tests.test_export import PHOTOS, ROWS, command, contents, make_parts_small, run, write_dataset
from tools import export, export_parts, export_webdataset
from tools.export_parts import Part

PARTS = 7  # five of train, one of validation, one of test
FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}  # as sys.addaudithook hears of them


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """What starts processes that have imported all this already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def export_and_die(to: str, destination: Path, dataset: Path, events: int) -> None:
    """Export; kill this process with signal 9 just before its so-manieth dealing with files of the export."""
    counted = itertools.count(1)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        inside = event in FILE_EVENTS and f".{destination.name}.part" in str(arguments[0])
        if inside and next(counted) == events:
            os.kill(os.getpid(), signal.SIGKILL)

    os.environ["IMAGESET_WORKERS"] = "2"
    export_parts.PART_PHOTOS = 5
    sys.addaudithook(hear)
    run(to, destination, dataset)


def killed(processes: multiprocessing.context.ForkServerContext, *arguments: Any) -> bool:
    """Return whether a process that exports was killed, and did not get to its end before."""
    process = processes.Process(target=export_and_die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.parametrize("to", export.FORMATS)
def test_killed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str,
                                processes: multiprocessing.context.ForkServerContext) -> None:
    make_parts_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5")
    expected = contents(run(to, tmp_path / "undisturbed", dataset))
    kills = 0
    while killed(processes, to, tmp_path / "export", dataset, 3 + 5 * kills):
        kills += 1
        if not (tmp_path / ".export.part").exists():
            break

    assert kills >= 4
    assert contents(tmp_path / "export") == expected
    assert not (tmp_path / ".export.part").exists()


def test_killed_before_each_dealing_with_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                processes: multiprocessing.context.ForkServerContext) -> None:
    make_parts_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5", rows={"train": PHOTOS["train"][:8], "test": []})
    expected = contents(run("webdataset", tmp_path / "undisturbed", dataset))
    for events in itertools.count(1):
        destination = tmp_path / f"export-{events}"
        if not killed(processes, "webdataset", destination, dataset, events):
            break
        if not destination.exists():
            run("webdataset", destination, dataset)
        assert contents(destination) == expected

    assert events > 30


def stop_after(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """Have an export fail for want of disk after so many parts."""
    counted = itertools.count(1)
    write_part = export_webdataset.write_part

    def fail(folder: Path, part: Part, *rest: Any) -> None:
        write_part(folder, part, *rest)
        if next(counted) > parts:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export_webdataset, "write_part", fail)


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of which three parts of seven are exported, to export beside it."""
    make_parts_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5")
    with monkeypatch.context() as patched:
        stop_after(patched, 3)
        with pytest.raises(ImagesetError, match="No space left on device; what is written is kept, the same command"):
            run("webdataset", tmp_path / "export", dataset)
    assert not (tmp_path / "export").exists()
    return dataset


def test_parts_that_are_there_are_not_made_again(tmp_path: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
                                                 ) -> None:
    first = tmp_path / ".export.part/files/train-000000.tar"
    before = first.stat().st_ino
    run("webdataset", tmp_path / "export", stopped)

    said = capsys.readouterr()
    assert f"export: 3 of {PARTS} parts are there already: going on\n" in said.out
    assert "export: 29 of 29" in said.err
    assert (tmp_path / "export/train-000000.tar").stat().st_ino == before
    assert contents(tmp_path / "export") == contents(run("webdataset", tmp_path / "undisturbed", stopped))


@pytest.mark.parametrize("options", [["--copies"], ["--subset", "train"], ["--encoding", "jpeg"], ["other pixels"]])
def test_another_export_starts_anew(tmp_path: Path, stopped: Path, options: list[str],
                                    capsys: pytest.CaptureFixture[str]) -> None:
    if options == ["other pixels"]:
        options = []
        write_dataset(stopped, rows=ROWS | {"test": [ROWS["test"][0]._replace(copy=0, label=5), *ROWS["test"][1:]]})
    run("webdataset", tmp_path / "export", stopped, *options)

    assert f"{tmp_path}/.export.part holds a part of another export: starting anew\n" in capsys.readouterr().out
    assert contents(tmp_path / "export") == contents(run("webdataset", tmp_path / "undisturbed", stopped, *options))


def test_stopped_while_another_is_removed(tmp_path: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_half_way(folder: Path) -> None:
        (folder / "train-000000.tar").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", stop_half_way)
        with pytest.raises(KeyboardInterrupt):
            run("webdataset", tmp_path / "export", stopped, "--copies")

    assert contents(run("webdataset", tmp_path / "export", stopped)) == contents(
        run("webdataset", tmp_path / "undisturbed", stopped))


@pytest.mark.parametrize("state", ["", "{", "[]", "null"])
def test_a_state_that_is_none(tmp_path: Path, stopped: Path, state: str) -> None:
    (tmp_path / ".export.part/state.json").write_text(state)

    assert contents(run("webdataset", tmp_path / "export", stopped)) == contents(
        run("webdataset", tmp_path / "undisturbed", stopped))


def test_killed_when_all_but_the_tidying_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda folder, ignore_errors: None)
        before = contents(run("webdataset", tmp_path / "export", dataset))
    assert (tmp_path / ".export.part").exists()
    run("webdataset", tmp_path / "export", dataset)

    assert contents(tmp_path / "export") == before
    assert not (tmp_path / ".export.part").exists()


def test_two_exports_to_one_place(tmp_path: Path, stopped: Path) -> None:
    before = contents(tmp_path)
    with files.lock(tmp_path / ".export.part/lock"):
        with pytest.raises(ImagesetError, match=rf"another run is at it \(process {os.getpid()}\)"):
            run("webdataset", tmp_path / "export", stopped)

        assert {name for name in contents(tmp_path) if not name.endswith("lock")} == {
            name for name in before if not name.endswith("lock")}


def test_a_disk_that_is_too_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    monkeypatch.setattr("tools.export_pixels.SHARES", {"png": 1e15})

    with pytest.raises(ImagesetError, match="MB left"):
        run("webdataset", tmp_path / "export", dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.h5"]


# Sends itself a signal after two parts.
DRIVER = """
import os, signal
from tools import export, export_parts, export_state
export_parts.PART_PHOTOS = 5
note = export_state.note
def note_and_stop(place, done):
    note(place, done)
    if done == 2:
        os.kill(os.getpid(), signal.{})
export_state.note = note_and_stop
export.main()
"""


@pytest.mark.parametrize(("name", "code", "said"), [("SIGINT", 130, True), ("SIGTERM", 143, True),
                                                    ("SIGKILL", -9, False)])
def test_the_command_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, said: bool) -> None:
    make_parts_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5")
    done = command(tmp_path, "--to", "webdataset", "export", "--from", "dataset.h5", driver=DRIVER.format(name))

    assert done.returncode == code
    assert ("export: stopped; the same command goes on where it was\n" in done.stderr) == said
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "export").exists()
    assert contents(run("webdataset", tmp_path / "export", dataset)) == contents(
        run("webdataset", tmp_path / "undisturbed", dataset))
