"""tools.export stopped, at any moment and in any way: the same command goes on and makes the undisturbed bytes."""

import errno
import itertools
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest

from imageset.errors import DataError, ImagesetError
from imageset.formats import hdf5
from imageset.runtime import files
from tests.tools.test_export import (
    PHOTOS,
    command,
    contents,
    files_of,
    make_parts_small,
    run,
    write_dataset,
    write_processed,
)
from tools.export import command as export
from tools.export import parts as export_parts
from tools.export.formats import webdataset as export_webdataset
from tools.export.parts import Part

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
def test_killed_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, processes: multiprocessing.context.ForkServerContext
) -> None:
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


def test_killed_before_each_dealing_with_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: multiprocessing.context.ForkServerContext
) -> None:
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


def test_parts_that_are_there_are_not_made_again(
    tmp_path: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / ".export.part/files/data/train-00000-of-00005.tar"
    before = first.stat().st_ino
    run("webdataset", tmp_path / "export", stopped)

    said = capsys.readouterr()
    assert f"export: 3 of {PARTS} parts are there already: going on\n" in said.out
    assert "export: 29 of 29" in said.err
    assert (tmp_path / "export/data/train-00000-of-00005.tar").stat().st_ino == before
    assert contents(tmp_path / "export") == contents(run("webdataset", tmp_path / "undisturbed", stopped))


@pytest.mark.parametrize(
    "options", [["--copies"], ["--subset", "train"], ["--encoding", "jpeg"], ["other pixels"], ["other version"]]
)
def test_another_export_starts_anew(
    tmp_path: Path,
    stopped: Path,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if options == ["other pixels"]:
        write_dataset(stopped)
        with h5py.File(stopped, "r+") as file:
            file["test_images"][0, 1, 1] ^= 1
            file.attrs["content_digest"] = hdf5.content_digest(file)
    if options == ["other version"]:
        monkeypatch.setattr(export, "EXPORT_VERSION", export.EXPORT_VERSION + 1)
    options = [] if options[0].startswith("other") else options
    run("webdataset", tmp_path / "export", stopped, *options)

    assert (
        f"{tmp_path}/.export.part holds a part of another export, or of another version: starting anew\n"
        in capsys.readouterr().out
    )
    assert contents(tmp_path / "export") == contents(run("webdataset", tmp_path / "undisturbed", stopped, *options))


def test_processed_with_other_pixels_is_another_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processed = write_processed(tmp_path)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        run("numpy", tmp_path / "export", processed)
    with h5py.File(processed, "r+") as file:
        file["images"][-1, 1, 1] ^= 1

    with pytest.raises(DataError, match="export exists: name a new folder"):
        run("numpy", tmp_path / "export", processed)


def test_stopped_while_another_is_removed(tmp_path: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_half_way(folder: Path) -> None:
        (folder / "data/train-00000-of-00005.tar").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", stop_half_way)
        with pytest.raises(KeyboardInterrupt):
            run("webdataset", tmp_path / "export", stopped, "--copies")

    assert contents(run("webdataset", tmp_path / "export", stopped)) == contents(
        run("webdataset", tmp_path / "undisturbed", stopped)
    )


@pytest.mark.parametrize("state", ["", "{", "[]", "null"])
def test_a_state_that_is_none(tmp_path: Path, stopped: Path, state: str) -> None:
    (tmp_path / ".export.part/state.json").write_text(state)

    assert contents(run("webdataset", tmp_path / "export", stopped)) == contents(
        run("webdataset", tmp_path / "undisturbed", stopped)
    )


def test_an_export_that_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda folder, ignore_errors: None)  # killed in between
        before = contents(run("webdataset", tmp_path / "export", dataset))
    assert (tmp_path / ".export.part").exists()
    (tmp_path / "link").symlink_to("export")
    for name in ("export", "link"):
        run("webdataset", tmp_path / name, dataset)

        assert f"export: {tmp_path}/{name} is there already\n" in capsys.readouterr().out
        assert contents(tmp_path / "export") == before
        assert {path.name for path in tmp_path.iterdir()} == {"dataset.h5", "export", "link"}
    assert json.loads(before["export.json"] or b"")["format"] == "webdataset"


def test_two_exports_to_one_place(tmp_path: Path, stopped: Path) -> None:
    before = contents(tmp_path)
    with files.lock(tmp_path / ".export.part/lock"):
        with pytest.raises(ImagesetError, match=rf"another run is at it \(process {os.getpid()}\)"):
            run("webdataset", tmp_path / "export", stopped)

        assert {name for name in contents(tmp_path) if not name.endswith("lock")} == {
            name for name in before if not name.endswith("lock")
        }


def test_a_disk_that_is_too_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    monkeypatch.setattr("tools.export.encode.SHARES", {"png": 1e15})

    with pytest.raises(ImagesetError, match="MB left"):
        run("webdataset", tmp_path / "export", dataset)
    assert {path.name for path in tmp_path.iterdir()} == {"dataset.h5", ".export.part"}
    assert files_of(tmp_path / ".export.part") == {"lock", "state.json"}


def test_the_disk_is_looked_at_when_another_export_is_removed(
    tmp_path: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(files, "require_space", lambda path, needed: seen.append(files_of(tmp_path / ".export.part")))
    run("webdataset", tmp_path / "export", stopped, "--copies")

    assert seen == [{"lock", "state.json"}]


def test_an_image_file_that_did_not_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_parts_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5")
    counted, sync = itertools.count(1), files.sync

    def fail(path: Path) -> None:
        if path.suffix == ".png" and next(counted) == 7:
            raise OSError(errno.EIO, "Input/output error")
        sync(path)

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync", fail)
        with pytest.raises(ImagesetError, match="Input/output error; what is written is kept"):
            run("imagefolder", tmp_path / "export", dataset)
    assert json.loads((tmp_path / ".export.part/state.json").read_bytes())["done"] == 1
    assert contents(run("imagefolder", tmp_path / "export", dataset)) == contents(
        run("imagefolder", tmp_path / "undisturbed", dataset)
    )


# Sends itself a signal after two parts.
DRIVER = """
import os, signal
from tools.export import command as export, parts as export_parts, state as export_state
export_parts.PART_PHOTOS = 5
note = export_state.note
def note_and_stop(place, done):
    note(place, done)
    if done == 2:
        os.kill(os.getpid(), signal.{})
export_state.note = note_and_stop
export.main()
"""


@pytest.mark.parametrize(
    ("name", "code", "said"), [("SIGINT", 130, True), ("SIGTERM", 143, True), ("SIGKILL", -9, False)]
)
def test_the_command_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, said: bool) -> None:
    make_parts_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5")
    done = command(tmp_path, "--to", "webdataset", "export", "--from", "dataset.h5", driver=DRIVER.format(name))

    assert done.returncode == code
    assert ("export: stopped; the same command goes on where it was\n" in done.stderr) == said
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "export").exists()
    assert contents(run("webdataset", tmp_path / "export", dataset)) == contents(
        run("webdataset", tmp_path / "undisturbed", dataset)
    )
