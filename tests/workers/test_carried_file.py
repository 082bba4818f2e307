"""Files that travel by pickle, to workers with many threads."""

import hashlib
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imageset.workers import dask_worker
from imageset.workers.carried_file import CARRIED, carry_file, unpack_file
from tests.project import ROOT

THREADS = 8
CONTENT = b"weights" * 500_000
SHA256 = hashlib.sha256(b"weights").hexdigest()


def in_threads(function: Callable[[], Any]) -> list[Any]:
    """Call a function in several threads at once."""
    together = threading.Barrier(THREADS)

    def call(_: int) -> Any:
        together.wait()
        return function()

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(call, range(THREADS)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def test_threads_that_unpack_one_file_at_once_all_get_it(folder: Path) -> None:
    sha256 = "0" * 64  # which is not the content's, so that each of them writes it
    [path] = set(in_threads(partial(unpack_file, sha256, CONTENT)))

    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path.parent]
    assert list(path.parent.iterdir()) == [path]


def test_the_threads_of_a_dask_worker_unpickle_a_function_with_its_file_once(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "weights").write_bytes(CONTENT)
    pickled = pickle.dumps(partial(Path.read_bytes, carry_file(tmp_path / "weights")))
    found = in_threads(partial(dask_worker.unpickle, pickled))

    assert len(set(map(id, found))) == 1
    assert found[0]() == CONTENT
    assert len(list(folder.glob("*/*"))) == 1


def keep_file(folder: Path) -> subprocess.Popen[str]:
    """Start a process that unpacks a file, and prints its path. It ends when its input does."""
    program = "import sys; from imageset.workers.carried_file import unpack_file; "
    program += f"print(unpack_file({SHA256!r}, b'weights'), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program]
    environment = os.environ | {"TMPDIR": str(folder)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def read_path(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_a_copy_goes_with_its_process_and_what_a_killed_one_left_with_the_next(folder: Path) -> None:
    with keep_file(folder) as killed:
        left = read_path(killed)
        killed.kill()

    assert left.read_bytes() == b"weights"

    with keep_file(folder) as alive:
        kept = read_path(alive)

        assert list(folder.iterdir()) == [kept.parent]

        made = unpack_file(SHA256, b"weights")

        assert kept.read_bytes() == made.read_bytes() == b"weights"
        assert len({left, kept, made}) == 3
        alive.communicate()

    assert list(folder.iterdir()) == [made.parent]


def test_no_other_user_can_read_or_exchange_a_copy(folder: Path) -> None:
    """The names that anybody could foresee are of no use, and the folder lets nobody in."""
    foreseen = folder / f"imageset-{os.getuid()}-{SHA256}"
    foreseen.write_bytes(b"weights")
    path = unpack_file(SHA256, b"weights")

    assert foreseen not in (path, *path.parents)
    assert not path.is_symlink()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.parent.name) - len(CARRIED) == 32


def test_a_folder_that_somebody_removed_is_made_again(folder: Path) -> None:
    path = unpack_file(SHA256, b"weights")
    shutil.rmtree(path.parent)

    assert unpack_file(SHA256, b"weights") == path
    assert path.read_bytes() == b"weights"

    with keep_file(folder) as other:
        read_path(other)

        assert path.read_bytes() == b"weights"
        other.communicate()
