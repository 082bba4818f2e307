"""A map over worker processes: results come in input order; an item that kills its process loses its own result only.

A worker pool runs a function on a list of items and returns as many results. `local.LocalWorkers` does it on this
machine, `dask_cluster.DaskWorkers` on a cluster.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from imageset.errors import WorkerLost

Item = TypeVar("Item")
Result = TypeVar("Result")
ChunkFunction = Callable[[list[Item]], Sequence[Result]]


class Lost(NamedTuple):
    """Stands for the result of an item whose process ended twice, the second time with no other item in hand."""

    reason: str


class WorkerPool(Protocol):
    """What ordered_map asks of a pool of workers."""

    @property
    def slots(self) -> int:
        """How many chunks the pool accepts at the moment; it may change."""

    def submit(self, function: ChunkFunction[Item, Result], items: list[Item]) -> Any:
        """Start function(items) and return a future.

        Its result() returns the results, or raises what the function raised, or WorkerLost when the process ended.
        """


def ordered_map(
    pool: WorkerPool, function: ChunkFunction[Item, Result], chunks: Iterable[list[Item]]
) -> Iterator[list[Result | Lost]]:
    """Run a function on each chunk in worker processes and yield the results in the order of the chunks.

    When a process ends over a chunk, each of the chunk's items is run once more, alone. An item that ends its process
    again yields Lost.

    Args:
        pool: where the work is done. As many chunks are in flight as it has slots.
        function: returns one result for each item of a chunk. It travels by pickle, so it keeps what is expensive to
            make (a session, a connection) in a cache of its own module.
        chunks: lists of items. Items travel by pickle too. An empty list yields an empty list without work.

    Raises:
        Exception: whatever the function or `chunks` raises, after the results before it.
    """
    in_flight: deque[tuple[list[Item], Any]] = deque()
    try:
        for chunk in chunks:
            in_flight.append((chunk, pool.submit(function, chunk) if chunk else None))
            while len(in_flight) >= pool.slots:
                yield wait_for_chunk(pool, function, *in_flight.popleft())
        while in_flight:
            yield wait_for_chunk(pool, function, *in_flight.popleft())
    finally:
        for _, future in in_flight:
            if future is not None:
                future.cancel()


def wait_for_chunk(
    pool: WorkerPool, function: ChunkFunction[Item, Result], chunk: list[Item], future: Any
) -> list[Result | Lost]:
    """Return a chunk's results; when its process ended, run its items one by one."""
    if future is None:
        return []
    try:
        return list(future.result())
    except WorkerLost:
        return [wait_for_item(future) for future in [pool.submit(function, [item]) for item in chunk]]


def wait_for_item(future: Any) -> Any:
    """Return the one result of a future, or Lost when its process ended."""
    try:
        return future.result()[0]
    except WorkerLost as lost:
        return Lost(lost.reason)
