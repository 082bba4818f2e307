"""Work on other machines: a dask.distributed cluster's workers as an engine, with the contract of local.LocalWorkers.

A task runs in a process of its own beside the Dask worker that has it, so that what a photo does to its process is the
same there as here, and the worker lives on. A worker that is lost with its machine is Dask's affair: the scheduler
gives its tasks to others.
"""

import math
import multiprocessing
import os
import pickle
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import distributed
from distributed import Client
from distributed.scheduler import KilledWorker

from imageset.errors import DataError, ImagesetError, ServerError
from imageset.runtime import files, settings
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import Item, Lost, Result, ordered_map

SECONDS_TO_CONNECT = 20
SECONDS_WITHOUT_WORKERS = 60
SECONDS_BETWEEN_COUNTS = 5
STARTING = threading.Lock()
CHUNKS_PER_THREAD = 3  # one at work, one at hand, one on its way
GONE = "the Dask cluster has no workers any more, or no scheduler: start it and run again, what is done is kept"

Function = Callable[[list[Item]], Sequence[Result]]


class DaskWorkers:
    """The engine. identify tells, here and on a worker, which code and libraries decide the results."""

    def __init__(self, client: Client, identify: Callable[[], list[str]]) -> None:
        self.client = client
        self.identify = identify
        self.expected = identify()
        self.scattered: tuple[Any, Any] = (None, None)
        self.counted = -math.inf
        self.threads = 0

    @property
    def slots(self) -> int:
        """Clusters grow and shrink while they work."""
        if time.monotonic() - self.counted > SECONDS_BETWEEN_COUNTS:
            self.threads, self.counted = threads(self.client), time.monotonic()
        return max(1, CHUNKS_PER_THREAD * self.threads)

    def submit(self, function: Function[Item, Result], items: list[Item]) -> "Task":
        """Send a chunk; the function, which may carry a network's weights, goes to each worker once."""
        if self.scattered[0] is not function:
            scatter: Any = self.client.scatter  # not typed
            try:
                # As bytes: workers copy it from each other, and a file that one has unpacked is no other machine's.
                self.scattered = (function, scatter(pickle.dumps(function), broadcast=True, hash=False))
            except (OSError, TimeoutError):
                raise ServerError(GONE) from None
        # Not pure: Dask would give the same result for the same chunk without doing it again.
        return Task(
            self.client,
            self.client.submit(run_here, self.scattered[1], items, self.identify, self.expected, pure=False),
        )


class Task:
    """A chunk that the cluster has."""

    def __init__(self, client: Client, future: Any) -> None:
        self.client = client
        self.future = future

    def result(self) -> Any:
        """Raises ServerError when no worker is left, or when one after the other was lost with this chunk."""
        while True:
            try:
                return self.future.result(timeout=SECONDS_WITHOUT_WORKERS)
            except TimeoutError:
                if self.future.done():  # it is the task's own
                    raise
                if not threads(self.client):
                    raise ServerError(GONE) from None
            except KilledWorker as killed:
                raise ServerError(
                    f"the Dask cluster lost {killed.allowed_failures + 1} workers over one batch: run "
                    "again, what is done is kept"
                ) from None
            except (distributed.client.FutureCancelledError, OSError):
                raise ServerError(GONE) from None

    def cancel(self) -> None:
        self.future.cancel()


def threads(client: Client) -> int:
    """Return how many threads the cluster's workers have together."""
    per_worker: dict[str, int] = client.nthreads()  # type: ignore[no-untyped-call]
    return sum(per_worker.values())


@contextmanager
def connect_workers(address: str, identify: Callable[[], list[str]]) -> Iterator[DaskWorkers]:
    """Yield the engine of the cluster whose scheduler is at address. Raises ServerError when it has no workers."""
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError:
        raise ServerError(f"no Dask scheduler answers at {address}: is it up, is IMAGESET_DASK right?") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS_WITHOUT_WORKERS)
        except TimeoutError:
            raise ServerError(f"the Dask scheduler at {address} has no workers: start some") from None
        yield DaskWorkers(client, identify)


def run_here(
    pickled: bytes, items: list[Any], identify: Callable[[], list[str]], expected: list[str]
) -> list[Any | Lost]:
    """Return a pickled function's results from a process beside this Dask worker. Raises ImagesetError."""
    same = partial(run_if_same, function=unpickle(pickled), identify=identify, expected=expected)
    try:
        (results,) = ordered_map(processes(), same, [items])
    except (ImagesetError, OSError) as error:
        raise ImagesetError(f"the Dask worker on {socket.gethostname()}: {error}") from None
    return results


@lru_cache(maxsize=1)
def unpickle(pickled: bytes) -> Any:
    return pickle.loads(pickled)


def run_if_same(
    items: list[Item], function: Function[Item, Result], identify: Callable[[], list[str]], expected: list[str]
) -> Sequence[Result]:
    """Return the function's results in a process whose code is the expected one. Raises DataError."""
    if differing := sorted(set(identify()) - set(expected)):
        raise DataError(
            f"it would make other bytes, as its code or libraries are others: {', '.join(differing)}; "
            "check out and install there what is here, and start it again"
        )
    return function(items)


class Carried:
    """A file that becomes a file, once, where it is unpickled: a Path on another machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str, bytes], Path], tuple[str, bytes]]:
        return unpack, (files.sha256(self.path), self.path.read_bytes())


def carry_file(path: Path) -> Path:
    """Return what is this file here and a copy of it on a Dask worker."""
    return cast(Path, Carried(path))


def unpack(sha256: str, content: bytes) -> Path:
    path = Path(tempfile.gettempdir()) / f"imageset-{os.getuid()}-{sha256}"
    if not path.is_file() or files.sha256(path) != sha256:
        files.write_bytes(path, content)
    return path


def processes() -> LocalWorkers:
    """Return this Dask worker's processes, one for each of its threads."""
    with STARTING:  # lru_cache alone lets several threads in at first
        return start_processes()


@lru_cache(maxsize=1)
def start_processes() -> LocalWorkers:
    if multiprocessing.current_process().daemon:
        raise ImagesetError(
            "Dask workers need processes of their own: start them with "
            "DASK_DISTRIBUTED__WORKER__DAEMON=False in their environment, or with --no-nanny"
        )
    settings.load()
    return LocalWorkers(distributed.get_worker().state.nthreads, import_main=False)
