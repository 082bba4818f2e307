"""A map over worker processes: results in the order of the inputs, a bounded number in flight."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from imageset import process
from imageset.errors import ImagesetError

IN_FLIGHT_PER_WORKER = 4

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
        raise ImagesetError("a worker process died, most often for want of memory: see the system's log, or set "
                            "IMAGESET_WORKERS lower") from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def prepare_worker() -> None:
    """Leave Ctrl-C to the main process and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.die_with_parent()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():  # it ended before the kernel was asked
        signal.raise_signal(signal.SIGTERM)
