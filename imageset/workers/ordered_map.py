"""A map over processes: results in the order of the inputs; a task that kills its process costs itself alone.

A worker pool runs a function on a list of items and returns as many results: local.LocalWorkers on this machine,
dask_cluster.DaskWorkers on others.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from imageset.workers.local import WorkerLost

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lost(NamedTuple):
    """In place of an item's result: its process ended twice over it, the second time with nothing else to do."""

    reason: str


class WorkerPool(Protocol):
    """Where work is done."""

    @property
    def slots(self) -> int:
        """How many chunks it can have in hand, now."""

    def submit(self, function: Callable[[list[Item]], Sequence[Result]], items: list[Item]) -> Any:
        """Return a future of the results, whose result() raises WorkerLost when the process that had them is gone."""


def ordered_map(
    engine: WorkerPool, function: Callable[[list[Item]], Sequence[Result]], chunks: Iterable[list[Item]]
) -> Iterator[list[Result | Lost]]:
    """Yield the results of each chunk, in order; as many chunks are taken ahead as the engine has slots.

    function, items and results travel by pickle; function keeps what is costly to make (a session, a connection) in a
    cache of its own. What it raises, is raised here.
    """
    in_flight: deque[tuple[list[Item], Any]] = deque()
    try:
        for chunk in chunks:
            in_flight.append((chunk, engine.submit(function, chunk) if chunk else None))
            while len(in_flight) >= engine.slots:
                yield settle(engine, function, *in_flight.popleft())
        while in_flight:
            yield settle(engine, function, *in_flight.popleft())
    finally:
        for _, future in in_flight:
            if future is not None:
                future.cancel()


def settle(
    engine: WorkerPool, function: Callable[[list[Item]], Sequence[Result]], chunk: list[Item], future: Any
) -> list[Result | Lost]:
    """Return a chunk's results; when its process is gone, those of its items one by one."""
    if future is None:
        return []
    try:
        return list(future.result())
    except WorkerLost:
        return [alone(future) for future in [engine.submit(function, [item]) for item in chunk]]


def alone(future: Any) -> Any:
    """Return the one result of a future, or that its process is lost."""
    try:
        return future.result()[0]
    except WorkerLost as lost:
        return Lost(lost.reason)
