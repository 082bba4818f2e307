"""tools.export stopped at any moment: the destination is complete or absent, and the next run completes it."""

import errno
import itertools
import json
import multiprocessing
import os
import signal
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imageset.errors import DataError, ImagesetError
from imageset.formats import row_checksums
from imageset.runtime import files
from tests.samples import sample
from tests.tools.test_export import (
    PHOTOS,
    contents,
    files_of,
    make_shards_small,
    run,
    run_command,
    write_dataset,
    write_processed,
)
from tools.export import shards
from tools.export.format import FORMATS
from tools.export.formats import webdataset

FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}  # names of sys.addaudithook


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """What starts processes that have imported all this already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def export_and_die(to: str, destination: Path, dataset: Path, events: int) -> None:
    """Export; kill this process with signal 9 just before the export's file operation number `events`."""
    counted = itertools.count(1)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        inside = event in FILE_EVENTS and f".{destination.name}.tmp" in str(arguments[0])
        if inside and next(counted) == events:
            os.kill(os.getpid(), signal.SIGKILL)

    os.environ["IMAGESET_WORKERS"] = "2"
    shards.SHARD_PHOTOS = 5
    sys.addaudithook(hear)
    run(to, destination, dataset)


def killed(processes: multiprocessing.context.ForkServerContext, *arguments: Any) -> bool:
    """Return whether a process that exports was killed before its end."""
    process = processes.Process(target=export_and_die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.parametrize("to", sample(FORMATS, "imagefolder"))
@pytest.mark.faults_only
def test_killed_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, processes: multiprocessing.context.ForkServerContext
) -> None:
    """Each run finds what the killed run before it left."""
    make_shards_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5")
    expected = contents(run(to, tmp_path / "undisturbed", dataset))
    kills = 0
    while killed(processes, to, tmp_path / "export", dataset, 3 + 7 * kills):
        kills += 1
        assert not (tmp_path / "export").exists() or contents(tmp_path / "export") == expected

    assert kills >= 4
    assert contents(tmp_path / "export") == expected
    assert {path.name for path in tmp_path.iterdir()} == {"dataset.h5", "export", "undisturbed"}


def test_killed_before_each_file_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: multiprocessing.context.ForkServerContext
) -> None:
    make_shards_small(monkeypatch)
    dataset = write_dataset(tmp_path / "dataset.h5", rows={"train": PHOTOS["train"][:8], "test": []})
    expected = contents(run("webdataset", tmp_path / "undisturbed", dataset))
    complete = []
    for events in itertools.count(1):
        destination = tmp_path / f"export-{events}"
        if not killed(processes, "webdataset", destination, dataset, events):
            break
        complete.append(destination.exists())
        assert not destination.exists() or contents(destination) == expected
        assert contents(run("webdataset", destination, dataset)) == expected
        assert not (tmp_path / f".{destination.name}.tmp").exists()

    assert complete == sorted(complete)
    assert complete.count(False) > 20
    assert complete.count(True) > 1  # killed while the temporary folder was removed


def test_everything_is_on_the_disk_before_the_export_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[Path, int] = {}
    before: dict[Path, int] = {}
    sync, replace = files.sync, os.replace

    def note(path: Path) -> None:
        synced[path] = path.stat().st_size
        sync(path)

    def rename(source: Path, destination: Path) -> None:
        if source.is_dir():
            before.update({path: path.stat().st_size for path in (source, *source.rglob("*"))})
            assert before.items() <= synced.items()
        replace(source, destination)

    monkeypatch.setattr(files, "sync", note)
    monkeypatch.setattr(os, "replace", rename)
    run("imagefolder", tmp_path / "export", write_dataset(tmp_path / "dataset.h5"))

    assert len(before) > 29  # photos
    assert list(synced)[-1] == tmp_path


def require_nothing_left(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"dataset.h5"}


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    counted, add = itertools.count(1), webdataset.add

    def fail(*arguments: Any) -> None:
        if next(counted) == 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(webdataset, "add", fail)
        with pytest.raises(ImagesetError, match=r"export cannot be written \(.*No space left.*\); nothing is left of"):
            run("webdataset", tmp_path / "export", dataset)
    require_nothing_left(tmp_path)
    assert files_of(run("webdataset", tmp_path / "export", dataset))


def test_an_image_file_that_did_not_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    sync = files.sync

    def fail(path: Path) -> None:
        if path.name == "11-2.png":
            raise OSError(errno.EIO, "Input/output error")
        sync(path)

    monkeypatch.setattr(files, "sync", fail)
    with pytest.raises(ImagesetError, match=r"export cannot be written \(.*Input/output error\)"):
        run("imagefolder", tmp_path / "export", dataset)
    require_nothing_left(tmp_path)


def test_a_disk_that_is_too_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    monkeypatch.setitem(sys.modules["tools.export.encode"].SHARES, "png", 1e15)

    with pytest.raises(ImagesetError, match="MB left"):
        run("webdataset", tmp_path / "export", dataset)
    require_nothing_left(tmp_path)


def test_the_space_is_checked_once_a_killed_run_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    (tmp_path / ".export.tmp/files/data").mkdir(parents=True)
    (tmp_path / ".export.tmp/files/data/train-00000-of-00005.tar").write_bytes(b"half")
    seen = []
    monkeypatch.setattr(files, "require_space", lambda path, needed: seen.append(files_of(tmp_path / ".export.tmp")))
    run("webdataset", tmp_path / "export", dataset)

    assert seen == [{"lock"}]
    assert "data/train-00000-of-00005.tar" not in files_of(tmp_path / "export")


def test_an_export_that_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda folder, ignore_errors: None)  # killed before the last removal
        before = contents(run("webdataset", tmp_path / "export", dataset))
    assert (tmp_path / ".export.tmp").exists()
    (tmp_path / "link").symlink_to("export")
    for name in ("export", "link"):
        run("webdataset", tmp_path / name, dataset)

        assert f"export: {tmp_path}/{name} is there already\n" in capsys.readouterr().out
        assert contents(tmp_path / "export") == before
        assert {path.name for path in tmp_path.iterdir()} == {"dataset.h5", "export", "link"}
    assert json.loads(before["export.json"] or b"")["format"] == "webdataset"


@pytest.mark.parametrize("options", [["--copies"], ["--subset", "train"], ["--encoding", "jpeg"], ["other version"]])
def test_another_export_is_not_there_already(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    before = contents(run("webdataset", tmp_path / "export", dataset))
    if options == ["other version"]:
        monkeypatch.setattr("tools.export.write.EXPORT_VERSION", 99)
        options = []

    with pytest.raises(DataError, match="export exists: name a new folder"):
        run("webdataset", tmp_path / "export", dataset, *options)
    assert contents(tmp_path / "export") == before


def test_processed_with_other_pixels_is_another_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processed = write_processed(tmp_path)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        run("numpy", tmp_path / "export", processed)
    with h5py.File(processed, "r+") as file:
        file["images"][-1, 1, 1] ^= 1
        file["crc32"][-1] = zlib.crc32(file["images"][-1].tobytes())
        file.attrs["others_crc32"] = np.uint32(row_checksums.checksum_others(file))

    with pytest.raises(DataError, match="export exists: name a new folder"):
        run("numpy", tmp_path / "export", processed)


def test_two_exports_to_one_place(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    (tmp_path / ".export.tmp/files").mkdir(parents=True)
    (tmp_path / ".export.tmp/files/half").write_bytes(b"half")
    with files.lock(tmp_path / ".export.tmp/lock"):
        with pytest.raises(ImagesetError, match=rf"another run .*{os.getpid()}"):
            run("webdataset", tmp_path / "export", dataset)

        assert files_of(tmp_path) == {"dataset.h5", ".export.tmp/lock", ".export.tmp/files/half"}


# Sends itself a signal before the tenth file of a tar.
DRIVER = """
import itertools, os, signal
from imageset.runtime import command
from tools.export.command import main
from tools.export.formats import webdataset
add, counted = webdataset.add, itertools.count(1)
def add_or_stop(*arguments):
    if next(counted) == 10:
        os.kill(os.getpid(), signal.{})
    add(*arguments)
webdataset.add = add_or_stop
command.run("export", main)
"""


@pytest.mark.parametrize(
    ("name", "code", "said"), [("SIGINT", 130, "export: interrupted\n"), ("SIGTERM", 143, ""), ("SIGKILL", -9, "")]
)
def test_the_command_interrupted(tmp_path: Path, name: str, code: int, said: str) -> None:
    dataset = write_dataset(tmp_path / "dataset.h5")
    done = run_command(tmp_path, "--to", "webdataset", "export", "--from", "dataset.h5", driver=DRIVER.format(name))

    assert done.returncode == code
    assert done.stderr.endswith(said)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "export").exists()
    assert (tmp_path / ".export.tmp").exists() == (name == "SIGKILL")
    expected = contents(run("webdataset", tmp_path / "undisturbed", dataset))
    assert contents(run("webdataset", tmp_path / "export", dataset)) == expected
    assert not (tmp_path / ".export.tmp").exists()
