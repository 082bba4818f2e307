"""Worker processes that the tests of a module share: each has its imports and its network from the test before.

The processes are real, and a test that kills one gets another. What they know of a test, its environment and its
folder, they are told anew. tests/workers starts its own.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cache, partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import botocore.loaders
import botocore.session
import pytest

from imageset.workers import pipe
from imageset.workers.local import Worker, main_to_import
from imageset.workers.worker_process import serve
from tests.forked import can_fork
from tests.forked_workers import ForkedWorker

KEPT = {"open_session", "open_network"}  # networks, one a process


class Lent:
    """A process and the connection to it, in the place of both until its worker closes the connection."""

    def __init__(
        self, process: BaseProcess | ForkedWorker, connection: "Connection[Any, Any]", idle: "list[Lent]"
    ) -> None:
        self.process, self.connection, self.idle = process, connection, idle
        self.returned = self.killed = self.busy = False
        self.is_alive = process.is_alive

    @property
    def exitcode(self) -> int | None:
        return self.process.exitcode

    def send_bytes(self, call: bytes) -> None:
        self.busy = True
        self.connection.send_bytes(call)

    def recv_bytes(self) -> bytes:
        answer = self.connection.recv_bytes()
        self.busy = False
        return answer

    def fileno(self) -> int:
        return self.connection.fileno()

    def kill(self) -> None:
        """Kill the process, if it is at work."""
        if self.busy:
            self.killed = True
            self.process.kill()

    def close(self) -> None:
        """Return the process, for the next worker."""
        if not self.killed and self.process.is_alive():
            self.returned = True
            self.idle.append(self)

    def join(self) -> None:
        if not self.returned:
            self.process.join()

    def take(self) -> bool:
        """Tell the process of this test, and whether it answered."""
        self.returned = False
        try:
            pipe.send(self.connection, pipe.dump((partial(move_in, dict(os.environ), os.getcwd()), [])))
            return bool(pipe.load(pipe.receive(self.connection))[0])
        except (EOFError, OSError):
            return False


@cache
def data_of_boto3(folders: str | None = None) -> Any:
    """Return what reads boto3's descriptions of services: 1.5 MB of JSON, once a process."""
    return botocore.loaders.create_loader(folders)


def move_in(environment: dict[str, str], folder: str, items: list[None]) -> list[None]:
    """In the worker process: forget the test before, and keep what boto3 read of its own files."""
    botocore.session.create_loader = data_of_boto3
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for name, module in list(sys.modules.items()):
        if name.startswith("imageset."):
            for key, value in list(vars(module).items()):
                if hasattr(value, "cache_clear") and key not in KEPT:
                    value.cache_clear()
    return items


def start(idle: list[Lent]) -> Lent:
    """Have a process forked, or start one as LocalWorkers does."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    if can_fork():
        with theirs:
            return Lent(ForkedWorker(theirs.fileno()), ours, idle)
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    with closing(theirs), main_to_import(wanted=False):
        process.start()
    return Lent(process, ours, idle)


@contextmanager
def kept_warm() -> Iterator[None]:
    """Let all LocalWorkers take processes that others have used."""
    idle: list[Lent] = []
    started: list[Lent] = []

    def lend(worker: Worker) -> None:
        lent = idle.pop() if idle else None
        while lent is None or not lent.take():
            lent = starter.submit(start, idle).result()
            started.append(lent)
        worker.process, worker.connection = lent, lent  # type: ignore[assignment]
        if worker.ending:
            lent.kill()

    # The kernel ends a process together with the thread that started it.
    with ThreadPoolExecutor(1, initializer=block_interrupts) as starter, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "start", lend)
        yield
        for lent in started:
            lent.connection.close()
            lent.process.join()


def block_interrupts() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
