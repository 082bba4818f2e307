"""Worker processes: a map whose results come in the order of the inputs, and a pool in which tasks fail alone."""

import multiprocessing
import os
import resource
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import TypeVar

from pebble import ProcessPool

from imageset import process
from imageset.errors import ImagesetError

IN_FLIGHT_PER_WORKER = 4
WORKER_DIED = ("a worker process died, most often for want of memory: see the system's log, or set IMAGESET_WORKERS "
               "lower")

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Yield function(item) for each item, in order, computed in `workers` processes.

    function, items and results travel by pickle; function keeps what is costly to make (a session, a connection) in
    a cache of its own. What it raises, is raised here. Raises ImagesetError when a worker process dies.
    """
    # Spawned: threads, h5py handles and connections do not survive a fork.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=prepare_worker)
    in_flight: deque[Future[Result]] = deque()
    try:
        for item in items:
            in_flight.append(executor.submit(function, item))
            if len(in_flight) >= workers * IN_FLIGHT_PER_WORKER:
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()
    except BrokenProcessPool:
        raise ImagesetError(WORKER_DIED) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def isolated(workers: int, max_bytes: int) -> Iterator[ProcessPool]:
    """Yield a pool in which a task that crashes, hangs or wants more than max_bytes of memory costs itself alone.

    Functions come from modules of imageset: its workers do not import the program that was started.
    """
    main = sys.modules["__main__"]
    spec = main.__spec__
    # Each spawned worker would import the stage with all that it imports, 90 MB and half a second for nothing.
    # multiprocessing leaves out a package's __main__.
    main.__spec__ = ModuleSpec("imageset.__main__", None)
    pool = ProcessPool(workers, initializer=prepare_worker, initargs=(max_bytes,),
                       context=multiprocessing.get_context("spawn"))
    try:
        pool.schedule(bool)  # starts the workers now, not with the first task
        yield pool
        pool.close()  # type: ignore[no-untyped-call]
    except BaseException:
        pool.stop()  # type: ignore[no-untyped-call]
        raise
    finally:
        pool.join()
        main.__spec__ = spec


def prepare_worker(max_bytes: int = 0) -> None:
    """Leave Ctrl-C to the main process and end with it; max_bytes bounds the memory, 0 does not."""
    if max_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # pebble handles it in Python, which a worker that hangs in C never gets to.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    process.die_with_parent()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():  # it ended before the kernel was asked
        signal.raise_signal(signal.SIGTERM)
