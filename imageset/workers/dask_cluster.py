"""A pool of workers on other machines, through dask.distributed, with the contract of LocalWorkers.

Dask gives each chunk to a Dask worker, which runs it in a process beside itself (dask_worker.py). So an item that kills
its process does the same here as on one machine, and the Dask worker survives. When a whole machine is lost, the
scheduler gives its chunks to others.
"""

import logging
import math
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import distributed
from distributed import Client
from distributed.scheduler import KilledWorker

from imageset.errors import ServerError
from imageset.workers import dask_worker
from imageset.workers.ordered_map import ChunkFunction, Item, Result

SECONDS_TO_CONNECT = 20
SECONDS_WITHOUT_WORKERS = 60
SECONDS_BETWEEN_COUNTS = 5
SECONDS_FOR_AN_ANSWER = 30
CHUNKS_PER_THREAD = 3  # one in progress, one ready, one on its way
MAX_SENDS = 10  # of a chunk: one that kills every worker must not be sent for ever
LOGS = ("distributed", "distributed.client", "tornado.application")  # a lost connection is a traceback there
GONE = "the Dask cluster has no workers or no scheduler any more: start it and run again; finished work is kept"


@contextmanager
def connect_workers(address: str, identify: Callable[[], list[str]]) -> Iterator["DaskWorkers"]:
    """Yield the pool of the cluster at an address.

    Args:
        address: the scheduler's address, such as "tcp://scheduler:8786".
        identify: returns a line for each piece of code and each library that decides the results. It is called here
            and in the workers; a worker that returns other lines is refused.

    Raises:
        ServerError: no scheduler answers within 20 s, or it has no worker within 60 s.
    """
    with connect(address) as client:
        yield DaskWorkers(client, identify)


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """Yield Dask's client of the cluster at an address, once it has a worker. Raises ServerError as connect_workers."""
    for name in LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError:
        raise ServerError(
            f"no Dask scheduler answers at {address}: start it, or correct or unset IMAGESET_DASK"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS_WITHOUT_WORKERS)
        except TimeoutError:
            raise ServerError(f"the Dask scheduler at {address} has no workers: start some") from None
        yield client


class DaskWorkers:
    """The pool of a cluster's workers."""

    def __init__(self, client: Client, identify: Callable[[], list[str]]) -> None:
        self.client = client
        self.identify = identify
        self.expected = identify()
        self.scattered: tuple[Any, Any] = (None, None)
        self.counted_at = -math.inf
        self.threads = 0

    @property
    def slots(self) -> int:
        """How many chunks the cluster accepts; it grows and shrinks with the cluster."""
        if time.monotonic() - self.counted_at > SECONDS_BETWEEN_COUNTS:
            self.threads, self.counted_at = count_threads(self.client), time.monotonic()
        return max(1, CHUNKS_PER_THREAD * self.threads)

    def submit(self, function: ChunkFunction[Item, Result], items: list[Item]) -> "ChunkFuture":
        """Start function(items) on the cluster, as WorkerPool.submit says.

        The function, which may hold a network's weights, is sent to each worker once.

        Raises:
            ServerError: the cluster is gone.
        """
        return ChunkFuture(self, function, items)

    def send(self, function: ChunkFunction[Item, Result], items: list[Item]) -> Any:
        """Return Dask's future of a chunk. Raises ServerError."""
        if self.scattered[0] is not function:
            scatter: Any = self.client.scatter  # not typed
            try:
                # As bytes: workers copy it from each other, and a file that one has unpacked is on no other machine.
                self.scattered = (function, scatter(pickle.dumps(function), broadcast=True, hash=False))
            except (OSError, TimeoutError):
                raise ServerError(GONE) from None
        return self.client.submit(
            dask_worker.run_chunk,
            self.scattered[1],
            items,
            self.identify,
            self.expected,
            pure=False,  # or Dask would return the first result of an equal chunk without running it again
        )

    def forget(self, scattered: Any) -> None:
        """Send the function anew with the next chunk, unless that was done since."""
        if self.scattered[1] is scattered:
            self.scattered = (None, None)


class ChunkFuture:
    """The future of a chunk on the cluster."""

    def __init__(self, pool: DaskWorkers, function: ChunkFunction[Any, Any], items: list[Any]) -> None:
        self.pool = pool
        self.function = function
        self.items = items
        self.sends = 0
        self.send()

    def send(self) -> None:
        self.future = self.pool.send(self.function, self.items)
        self.scattered = self.pool.scattered[1]
        self.sends += 1

    def result(self) -> Any:
        """Return the chunk's results.

        Raises:
            ServerError: no worker is left, or one worker after the other was lost with this chunk.
            ImagesetError: what the worker raised.
        """
        while True:
            try:
                return self.future.result(timeout=SECONDS_WITHOUT_WORKERS)
            except TimeoutError:
                if self.future.status == "error":  # the function itself raised it
                    raise
                # A result may be done, too, on a worker that stalls: the scheduler gives it to another after a while.
                if not count_threads(self.pool.client):
                    raise ServerError(GONE) from None
            except KilledWorker as killed:
                raise ServerError(
                    f"the Dask cluster lost {killed.allowed_failures + 1} workers over one batch: run again; "
                    "finished work is kept"
                ) from None
            except distributed.client.FutureCancelledError as cancelled:
                if cancelled.reason == "scheduler-connection-lost":
                    raise ServerError(GONE) from None
                self.send_again()
            except OSError:
                raise ServerError(GONE) from None

    def send_again(self) -> None:
        """Send the chunk and its function anew, after the last copy of the function was lost with a worker.

        The scheduler keeps a copy only where a chunk waits for it (its ReduceReplicas policy). Raises ServerError.
        """
        if self.sends == MAX_SENDS:
            raise ServerError(
                f"the Dask cluster lost workers over one batch {MAX_SENDS} times: run again; finished work is kept"
            )
        if not count_threads(self.pool.client):
            raise ServerError(GONE)
        self.pool.forget(self.scattered)
        self.send()

    def cancel(self) -> None:
        self.future.cancel()


def count_threads(client: Client) -> int:
    """Return how many threads the cluster's workers have together. Raises ServerError as list_workers does."""
    return sum(list_workers(client).values())


def list_workers(client: Client) -> dict[str, int]:
    """Return how many threads each of the cluster's workers has, by its address.

    Raises:
        ServerError: the scheduler is silent, where client.nthreads() would wait for ever, or gone.
    """
    scheduler: Any = client.scheduler
    try:
        threads = client.sync(scheduler.ncores, callback_timeout=SECONDS_FOR_AN_ANSWER)  # type: ignore[no-untyped-call]
    except TimeoutError:
        raise ServerError(
            f"the Dask scheduler has not answered for {SECONDS_FOR_AN_ANSWER} s: look at it, or start it again, then "
            "run again; finished work is kept"
        ) from None
    except OSError:
        raise ServerError(GONE) from None
    return dict(threads)
