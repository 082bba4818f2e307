"""Where the search for near-duplicates runs: in this process, in others beside it, or on a Dask cluster."""

import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from imageset.errors import ImagesetError
from imageset.runtime import settings
from imageset.runtime.fingerprint import hash_code
from imageset.workers.ordered_map import ChunkFunction, Lost, WorkerPool, ordered_map
from imageset.workers.pools import open_workers

FEW_PHOTOS = 5000  # are searched in less time than processes take to start
CODE = (
    "alignment",
    "candidates",
    "hamming",
    "near_duplicates",
    "same_picture",
    "search_cache",
    "sieve",
    "views",
    "window_hashes",
)
LIBRARIES = ("numpy", "scipy")

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def open_pool(photos: int) -> Iterator[WorkerPool | None]:
    """Yield workers for a search of so many photos that no earlier search knows, or None: this process does it.

    Raises:
        ServerError: no Dask scheduler answers, or it has no workers.
        SettingsError: a setting is malformed.
    """
    address, processes = settings.dask(), settings.workers()
    if photos < FEW_PHOTOS or not (address or processes > 1):
        yield None
        return
    with open_workers(address, processes, identify_search) as pool:
        yield pool


@cache
def identify_search() -> list[str]:
    """Return a line for each module and library that decides which pairs are found, and for the processor.

    Workers compare them, and what an earlier search left (search_cache.py) is used where all are the same.

    As in `fingerprint`, docstrings, comments and formatting change no line. It looks once: files may change later, but
    the process goes on running the code that it loaded.
    """
    code = [f"{name}.py {hash_code(Path(__file__).with_name(f'{name}.py').read_bytes())}" for name in CODE]
    return [*code, *(f"{name} {metadata.version(name)}" for name in LIBRARIES), platform.machine()]


class OneEach:
    """The workers of a pool, with half as many tasks at a time: large ones take memory while they wait."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool

    @property
    def slots(self) -> int:
        return max(1, self.pool.slots // 2)

    def submit(self, function: ChunkFunction[Item, Result], items: list[Item]) -> Any:
        return self.pool.submit(function, items)


def one_each(pool: WorkerPool | None) -> WorkerPool | None:
    """Return a pool for tasks of 50 MB and more, in which a worker takes long: none waits in a queue."""
    return None if pool is None else OneEach(pool)


def map_in_order(
    pool: WorkerPool | None, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield function(item) for each item, in their order. With workers, later items are taken before.

    Raises:
        ImagesetError: a worker process ended twice over one item.
    """
    run = partial(run_each, function=function)
    if pool is None:
        for item in items:
            yield from run([item])
        return
    for results in ordered_map(pool, run, ([item] for item in items)):
        for result in results:
            if isinstance(result, Lost):
                raise ImagesetError(
                    "a worker process died twice over the same photos, most often because memory ran out: see the "
                    "system's log, or set IMAGESET_WORKERS lower"
                )
            yield result


def run_each(items: list[Item], function: Callable[[Item], Result]) -> list[Result]:
    """Return function(item) for each item, on one core: each worker has one."""
    with thread_pools().limit(limits=1):
        return [function(item) for item in items]


@cache
def thread_pools() -> ThreadpoolController:
    """Find the thread pools of numpy once: to look through the libraries of a process takes 3.6 ms."""
    return ThreadpoolController()
