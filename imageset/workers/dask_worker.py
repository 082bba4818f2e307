"""What runs on a Dask worker: it runs each chunk in a process beside itself, after comparing code and libraries."""

import multiprocessing
import os
import pickle
import socket
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import distributed

from imageset.errors import DataError, ImagesetError
from imageset.runtime import settings
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import ChunkFunction, Item, Lost, Result, ordered_map

START_LOCK = threading.Lock()
UNPICKLE_LOCK = threading.Lock()


def run_chunk(
    pickled: bytes, items: list[Any], identify: Callable[[], list[str]], expected: list[str]
) -> list[Any | Lost]:
    """Run a pickled function on a chunk in a process beside this Dask worker and return the results.

    Args:
        pickled: the function.
        items: the chunk.
        identify: returns the lines that name this machine's code and libraries.
        expected: the lines of the machine that sent the chunk.

    Raises:
        ImagesetError: what the function raised, or why the chunk cannot run; the message names this worker.
    """
    try:
        function = partial(run_if_same, function=unpickle(pickled), identify=identify, expected=expected)
        (results,) = ordered_map(local_workers(), function, [items])
    except (ImagesetError, OSError) as error:
        raise ImagesetError(f"the Dask worker on {socket.gethostname()}: {error}") from None
    return results


def unpickle(pickled: bytes) -> Any:
    """Return a function, which may bring a file with it, once for all threads."""
    with UNPICKLE_LOCK:  # lru_cache alone would let each of them write the file
        return unpickle_anew(pickled)


@lru_cache(maxsize=1)
def unpickle_anew(pickled: bytes) -> Any:
    return pickle.loads(pickled)


def run_if_same(
    items: list[Item], function: ChunkFunction[Item, Result], identify: Callable[[], list[str]], expected: list[str]
) -> Sequence[Result]:
    """Return the function's results. Raises DataError as require_same does."""
    require_same(identify(), expected)
    return function(items)


def require_same(found: list[str], expected: list[str]) -> None:
    """Raise DataError when this machine's code or libraries, a line each, are not those of the machine that asks."""
    if differing := sorted(set(found) - set(expected)):
        raise DataError(
            f"its code or libraries differ and would make other bytes ({', '.join(differing)}): check out and install "
            "the same versions there, and restart it"
        )


def local_workers() -> LocalWorkers:
    """Return this Dask worker's pool of processes, one for each of its threads."""
    with START_LOCK:  # lru_cache alone would let several threads start one each
        return start_local_workers()


@lru_cache(maxsize=1)
def start_local_workers() -> LocalWorkers:
    # Under a nanny this process is a daemon. multiprocessing lets no daemon start processes, because they would outlive
    # it when it is killed. Ours do not (prepare_process in worker_process.py).
    multiprocessing.current_process().daemon = False
    # A nanny also has malloc give memory back at once. Our processes ask for it again with the next photo.
    os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)
    settings.load()
    return LocalWorkers(distributed.get_worker().state.nthreads, import_main=False)
