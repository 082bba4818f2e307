"""Worker processes for a program that runs in a fork: the prepared process forks them, so they have their imports.

They are processes as LocalWorkers starts them, with the same calls on the same pipe. They end with the program.
"""

import os
import select
import socket
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from imageset.workers.local import Worker
from imageset.workers.worker_process import serve
from tests.forked import ask, read_code

WORKER = "a worker"  # asks the prepared process for one, in the place of a module's name


class ForkedWorker:
    """A worker, in the place of its multiprocessing.Process."""

    def __init__(self, connection: int) -> None:
        """Have a worker forked that answers on a connection, with the folder, environment and streams of this process.

        connection: the worker's end of the pipe.
        """
        self.exitcode: int | None = None
        self.answer = ask(WORKER, sys.path, os.getcwd(), dict(os.environ), [0, 1, 2, connection])

    def is_alive(self) -> bool:
        if self.exitcode is None and select.select([self.answer], [], [], 0)[0]:
            self.join()
        return self.exitcode is None

    def join(self) -> None:
        if self.exitcode is None:
            self.exitcode = read_code(self.answer)
            self.answer.close()

    def kill(self) -> None:
        with suppress(OSError):  # it has ended
            self.answer.shutdown(socket.SHUT_WR)


def fork_workers() -> None:
    """Let all LocalWorkers of this process have their workers forked."""

    def start(worker: Worker) -> None:
        ours, theirs = Pipe()
        with theirs:
            process = ForkedWorker(theirs.fileno())
        worker.process, worker.connection = process, ours  # type: ignore[assignment]
        if worker.ending:
            process.kill()

    Worker.start = start  # type: ignore[assignment, method-assign]


def work(connection: int) -> None:
    """Answer calls on a connection until its other end is closed."""
    serve(Connection(connection))
