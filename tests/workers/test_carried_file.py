"""Files that travel by pickle, to workers with many threads."""

import pickle
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imageset.workers import dask_worker
from imageset.workers.carried_file import carry_file, unpack_file

THREADS = 8
CONTENT = b"weights" * 500_000


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
    assert list(folder.iterdir()) == [path]


def test_the_threads_of_a_dask_worker_unpickle_a_function_with_its_file_once(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "weights").write_bytes(CONTENT)
    pickled = pickle.dumps(partial(Path.read_bytes, carry_file(tmp_path / "weights")))
    found = in_threads(partial(dask_worker.unpickle, pickled))

    assert len(set(map(id, found))) == 1
    assert found[0]() == CONTENT
    assert len(list(folder.iterdir())) == 1
