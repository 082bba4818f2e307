"""Worker processes on this machine. One that ends is replaced, and only its current task is lost.

Each process has a thread here, which starts it, gives it one task at a time and waits for the answer. The process pools
of the standard library and of PyPI share queues between workers: one worker killed at a bad moment hangs or ends all.
"""

import atexit
import multiprocessing
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager, suppress
from importlib.machinery import ModuleSpec
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self

from imageset.errors import WorkerLost
from imageset.workers import pipe
from imageset.workers.ordered_map import ChunkFunction, Item, Result
from imageset.workers.worker_process import serve

CHUNKS_PER_WORKER = 2  # one in progress and one waiting, so that no worker is idle between chunks
START_LOCK = threading.Lock()  # processes are started one at a time: main_to_import changes global state


class QueuedChunk(NamedTuple):
    """A function, its items, and the future that the caller waits for."""

    function: Callable[..., Any]
    items: list[Any]
    future: Future[Any]


class LocalWorkers:
    """A pool of worker processes; each is started when there is work for it.

    Example:
        with LocalWorkers(4) as workers:
            for results in ordered_map(workers, function, chunks):
                ...
    """

    def __init__(self, workers: int, *, import_main: bool = True) -> None:
        """Start no process yet.

        Args:
            workers: the most processes at once.
            import_main: whether workers import the program that was started. Functions defined there need it; False
                saves each worker the time and memory of these imports.
        """
        self.slots = workers * CHUNKS_PER_WORKER
        self.max_workers = workers
        self.import_main = import_main
        self.queue: SimpleQueue[QueuedChunk | None] = SimpleQueue()
        self.workers: list[Worker] = []
        self.unfinished = 0
        self.closed = False
        self.lock = threading.Lock()
        atexit.register(self.close, at_once=True)  # before multiprocessing ends processes that we would replace

    def submit(self, function: ChunkFunction[Item, Result], items: list[Item]) -> Future[Sequence[Result]]:
        """Start function(items) in a worker process, as WorkerPool.submit says.

        Raises:
            RuntimeError: the pool is closed.
        """
        chunk = QueuedChunk(function, items, Future())
        with self.lock:
            if self.closed:
                raise RuntimeError("this pool of workers is closed")
            self.unfinished += 1
            if len(self.workers) < min(self.unfinished, self.max_workers):
                self.workers.append(Worker(self))
            self.queue.put(chunk)
        return chunk.future

    def count_finished(self) -> None:
        with self.lock:
            self.unfinished -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the workers. After an error their current tasks are not awaited; waiting tasks are cancelled."""
        self.close(at_once=kind is not None)

    def close(self, at_once: bool) -> None:
        """Cancel the waiting tasks and end the workers; `at_once`: kill them instead of awaiting their tasks."""
        atexit.unregister(self.close)
        with self.lock:
            self.closed = True
        with suppress(queue.Empty):
            while chunk := self.queue.get_nowait():
                chunk.future.cancel()
        for worker in self.workers:
            self.queue.put(None)
            worker.end(at_once)
        for worker in self.workers:
            worker.thread.join()


class Worker:
    """A worker process and the thread that gives it work."""

    def __init__(self, pool: LocalWorkers) -> None:
        self.pool = pool
        self.process: BaseProcess | None = None
        self.ending = False
        self.thread = threading.Thread(target=self.work_through_queue, daemon=True)
        self.thread.start()

    def work_through_queue(self) -> None:
        """Run the pool's chunks until None comes.

        The process is started here because the kernel ends it together with the thread that started it.
        """
        # A new process inherits this mask, so Ctrl-C cannot hit it before prepare_process ignores the signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while (chunk := self.pool.queue.get()) is not None:
            if self.ending:
                chunk.future.cancel()
            if not chunk.future.set_running_or_notify_cancel():
                self.pool.count_finished()
                continue
            try:
                succeeded, answer = self.call(chunk.function, chunk.items)
            except Exception as error:  # at a thread's edge: the caller waits for the future, whatever happened
                succeeded, answer = False, CancelledError() if self.ending else error
            self.pool.count_finished()
            (chunk.future.set_result if succeeded else chunk.future.set_exception)(answer)
        if self.process is not None:
            self.connection.close()
            self.process.join()

    def call(self, function: Callable[..., Any], items: list[Any]) -> tuple[bool, Any]:
        """Return (True, results) or (False, exception) of a call in the process. Raises WorkerLost when it ended."""
        call = pipe.dump((function, items))
        if self.process is None or not self.process.is_alive():
            self.start()
        try:
            pipe.send(self.connection, call)
            del call  # it may be a hundred megabytes
            content = pipe.receive(self.connection)
        except (EOFError, OSError):
            raise WorkerLost("timeout" if self.wait_for_exit() == -signal.SIGALRM else "crash") from None
        answer: tuple[bool, Any] = pipe.load(content)
        return answer

    def wait_for_exit(self) -> int:
        """Return the exit code of the process, which has ended or is about to."""
        assert self.process is not None
        self.process.join()
        while self.process.exitcode is None:  # another thread, which starts a process, has collected it first
            time.sleep(0.001)
        return self.process.exitcode

    def start(self) -> None:
        # Spawned, not forked: threads, h5py handles and connections do not survive a fork.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs,), daemon=True)
        # Our copy of the process's end is closed, or the pipe would not report that the process ended.
        with closing(theirs), main_to_import(self.pool.import_main):
            process.start()
        self.process, self.connection = process, ours
        if self.ending:
            process.kill()

    def end(self, at_once: bool) -> None:
        self.ending = at_once
        if at_once and self.process is not None:
            self.process.kill()


@contextmanager
def main_to_import(wanted: bool) -> Iterator[None]:
    """Let the processes spawned inside import the program that was started, or spare them that.

    Importing a stage with all that it imports takes 90 MB and half a second. multiprocessing does not import a
    package's `__main__`, so the program is passed off as one.
    """
    main = sys.modules["__main__"]
    with START_LOCK:
        spec = main.__spec__
        if not wanted:
            main.__spec__ = ModuleSpec("imageset.__main__", None)
        try:
            yield
        finally:
            main.__spec__ = spec
