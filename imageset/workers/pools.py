"""Choose the worker pool: a Dask cluster where the settings name one, else processes of this machine."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import WorkerPool


def open_workers(address: str, processes: int, identify: Callable[[], list[str]]) -> AbstractContextManager[WorkerPool]:
    """Return a pool of workers, to be used in a `with` statement.

    Args:
        address: of the Dask scheduler, "" for this machine.
        processes: how many this machine runs; a cluster has its own number.
        identify: for a cluster: returns what decides the results. A worker that returns something else is refused.

    Raises:
        ServerError: no scheduler answers, or it has no workers.
    """
    if not address:
        return LocalWorkers(processes, import_main=False)
    from imageset.workers import dask_cluster  # here, as its import takes half a second

    return dask_cluster.connect_workers(address, identify)
