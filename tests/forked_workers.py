"""Worker processes for a program that runs in a fork: a prepared process forks them, so they have their imports.

They are processes as LocalWorkers starts them, with the same calls on the same pipe. The process between the prepared
one and the worker waits for the worker's end, says its exit code, and ends the worker when the program has ended.
"""

import json
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from imageset.workers.local import Worker
from imageset.workers.worker_process import serve

WORKER = "a worker"  # asks a prepared process for one, in the place of a module's name
Ask = Callable[[bytes, list[int]], int]  # see forked.ask


class ForkedWorker:
    """A worker, in the place of its multiprocessing.Process."""

    def __init__(self, ask: Ask, connection: int) -> None:
        """Have a worker forked that answers on a connection, with the folder, environment and streams of this process.

        Args:
            ask: sends a request to a prepared process.
            connection: the worker's end of the pipe.
        """
        self.exitcode: int | None = None
        self.status, theirs = socket.socketpair()
        request = json.dumps([WORKER, sys.path, os.getcwd(), dict(os.environ)]).encode()
        with theirs:
            ask(request, [0, 1, 2, connection, theirs.fileno()])

    def is_alive(self) -> bool:
        if self.exitcode is None and select.select([self.status], [], [], 0)[0]:
            self.join()
        return self.exitcode is None

    def join(self) -> None:
        if self.exitcode is None:
            self.exitcode = int.from_bytes(self.status.recv(4), "big", signed=True)
            self.status.close()

    def kill(self) -> None:
        if self.exitcode is None:
            with suppress(OSError):  # it has ended meanwhile
                self.status.shutdown(socket.SHUT_WR)


def fork_workers(ask: Ask) -> None:
    """Let all LocalWorkers of this process have their workers forked."""

    def start(worker: Worker) -> None:
        ours, theirs = Pipe()
        with theirs:
            process = ForkedWorker(ask, theirs.fileno())
        worker.process, worker.connection = process, ours  # type: ignore[assignment]
        if worker.ending:
            process.kill()

    Worker.start = start  # type: ignore[assignment, method-assign]


def guard(path: list[str], folder: str, variables: dict[str, str], connection: int, status: int) -> None:
    """In a fork of the prepared process: fork a worker, end it when the other end of `status` closes, say its code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        sys.path[:] = path
        tempfile.tempdir = None  # TMPDIR may be another
        serve(Connection(connection))
        os._exit(0)
    os.close(connection)
    ended = os.pidfd_open(pid)
    if ended not in select.select([ended, status], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError), socket.socket(fileno=status) as answer:
        answer.sendall(code.to_bytes(4, "big", signed=True))
