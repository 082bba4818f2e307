"""Worker processes on this machine; one that is gone is replaced, and only the task that it had is lost with it.

Each has a thread here that starts it, gives it one task at a time and waits for the answer. Pools of the standard
library and of PyPI share queues among workers; one that is killed at a bad moment hangs them, or ends them all.
"""

import atexit
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager, suppress
from importlib.machinery import ModuleSpec
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from imageset.runtime import lifetime
from imageset.workers import limits

CHUNKS_PER_WORKER = 2  # one at work and one to go on with
STARTING = threading.Lock()  # one process at a time

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerLost(Exception):
    """The process that had a task is gone; reason: crash, or timeout when limits.deadline ended it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def run_bounded(items: list[Item], function: Callable[[Item], Result], seconds: float, max_bytes: int) -> list[Result]:
    """Return each item's result; one that takes too long ends the process, one that wants too much gets MemoryError."""
    results = []
    for item in items:
        with limits.deadline(seconds), limits.memory_limit(max_bytes):
            results.append(function(item))
    return results


class Task(NamedTuple):
    """A chunk, and the future that somebody waits for."""

    function: Callable[..., Any]
    items: list[Any]
    outcome: Future[Any]


class LocalWorkers:
    """An engine of worker processes, each started when it is needed."""

    def __init__(self, workers: int, *, import_main: bool = True) -> None:
        """import_main: functions may come from the program that was started; False spares each worker its imports."""
        self.slots = workers * CHUNKS_PER_WORKER
        self.most = workers
        self.import_main = import_main
        self.tasks: SimpleQueue[Task | None] = SimpleQueue()
        self.workers: list[Worker] = []
        self.unfinished = 0
        self.closed = False
        self.lock = threading.Lock()
        atexit.register(self.close, at_once=True)  # before multiprocessing ends what would be started anew

    def submit(self, function: Callable[[list[Item]], Sequence[Result]], items: list[Item]) -> Future[Sequence[Result]]:
        """Raises RuntimeError when the engine is closed."""
        task = Task(function, items, Future())
        with self.lock:
            if self.closed:
                raise RuntimeError("the workers have been ended")
            self.unfinished += 1
            if len(self.workers) < min(self.unfinished, self.most):
                self.workers.append(Worker(self))
            self.tasks.put(task)
        return task.outcome

    def note_end(self) -> None:
        with self.lock:
            self.unfinished -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the workers; after an error without waiting for what they are at. Nothing is begun any more."""
        self.close(at_once=kind is not None)

    def close(self, at_once: bool) -> None:
        atexit.unregister(self.close)
        with self.lock:
            self.closed = True
        with suppress(queue.Empty):
            while task := self.tasks.get_nowait():
                task.outcome.cancel()
        for worker in self.workers:
            self.tasks.put(None)
            worker.end(at_once)
        for worker in self.workers:
            worker.thread.join()


class Worker:
    """A process and the thread that attends to it."""

    def __init__(self, engine: LocalWorkers) -> None:
        self.engine = engine
        self.process: BaseProcess | None = None
        self.ending = False
        self.thread = threading.Thread(target=self.attend, daemon=True)
        self.thread.start()

    def attend(self) -> None:
        """Have tasks done until None comes. The kernel ends a process with the thread that started it: this one."""
        # So that Ctrl-C is none of a process's business before it can say so itself.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while (task := self.engine.tasks.get()) is not None:
            if self.ending:
                task.outcome.cancel()
            if not task.outcome.set_running_or_notify_cancel():
                self.engine.note_end()
                continue
            try:
                succeeded, answer = self.ask(task.function, task.items)
            except Exception as error:  # at a thread's edge: whatever it is, somebody waits for it
                succeeded, answer = False, CancelledError() if self.ending else error
            self.engine.note_end()
            (task.outcome.set_result if succeeded else task.outcome.set_exception)(answer)
        if self.process is not None:
            self.connection.close()
            self.process.join()

    def ask(self, function: Callable[..., Any], items: list[Any]) -> tuple[bool, Any]:
        """Return whether the function succeeded in the process, and its results or its exception.

        Raises WorkerLost when the process is gone.
        """
        question = pickle.dumps((function, items))
        if self.process is None or not self.process.is_alive():
            self.start()
        try:
            self.connection.send_bytes(question)
            content = self.connection.recv_bytes()
        except (EOFError, OSError):
            raise WorkerLost("timeout" if self.exit_code() == -signal.SIGALRM else "crash") from None
        answer: tuple[bool, Any] = pickle.loads(content)
        return answer

    def exit_code(self) -> int:
        assert self.process is not None
        self.process.join()
        while self.process.exitcode is None:  # another thread, which starts one, has seen it first
            time.sleep(0.001)
        return self.process.exitcode

    def start(self) -> None:
        # Spawned: threads, h5py handles and connections do not survive a fork.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs,), daemon=True)
        with closing(theirs), main_to_import(self.engine.import_main):  # or nothing would be heard of its end
            process.start()
        self.process, self.connection = process, ours
        if self.ending:
            process.kill()

    def end(self, at_once: bool) -> None:
        self.ending = at_once
        if at_once and self.process is not None:
            self.process.kill()


def serve(connection: "Connection[Any, Any]") -> None:
    """Do what is asked, in a worker process, until the other end is closed."""
    prepare_worker()
    while True:
        try:
            question = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(answer(question))


def answer(question: bytes) -> bytes:
    try:
        function, items = pickle.loads(question)
        return pickle.dumps((True, function(items)))
    except Exception as error:  # at a process's edge: it is raised on the other side
        error.add_note("".join(traceback.format_exception(error)))
        try:
            return pickle.dumps((False, error))
        except Exception as unsendable:
            return pickle.dumps((False, TypeError(f"{error!r} cannot be sent: {unsendable}")))


@contextmanager
def main_to_import(wanted: bool) -> Iterator[None]:
    """Let the processes that are spawned inside import the program that was started, or not.

    Importing a stage with all that it imports takes 90 MB and half a second. multiprocessing leaves out a package's
    __main__, so the program passes for one.
    """
    main = sys.modules["__main__"]
    with STARTING:
        spec = main.__spec__
        if not wanted:
            main.__spec__ = ModuleSpec("imageset.__main__", None)
        try:
            yield
        finally:
            main.__spec__ = spec


def prepare_worker() -> None:
    """Leave Ctrl-C to the main process and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    lifetime.die_with_parent()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():  # it ended before the kernel was asked
        signal.raise_signal(signal.SIGTERM)
