"""The inside of a worker process: limits for each item, errors that travel by pickle."""

import multiprocessing
import threading
from functools import partial
from typing import Any

import pytest

from imageset.errors import WorkerLost
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import Lost, ordered_map
from imageset.workers.worker_process import run_bounded
from tests.workers.tasks import ENOUGH, PATIENCE, misbehave, work


def test_each_item_of_a_bounded_chunk_has_its_own_limits_on_time_and_memory(pool: LocalWorkers) -> None:
    bounded = partial(run_bounded, function=misbehave, seconds=0.3, max_bytes=ENOUGH)
    endless: Any = partial(run_bounded, function=sum, seconds=0.1, max_bytes=ENOUGH)

    assert list(ordered_map(pool, bounded, [["good", "better"]])) == [["good", "better"]]
    assert list(ordered_map(pool, endless, [[[1], range(10**12), [2, 3]]])) == [[1, Lost("timeout"), 5]]
    with pytest.raises(MemoryError):
        list(
            ordered_map(
                pool,
                partial(run_bounded, function=bytes, seconds=PATIENCE, max_bytes=ENOUGH),
                [[ENOUGH // 2, ENOUGH // 2], [2 * ENOUGH]],
            )
        )


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ("eat", None),
        ("end of file", "of the photo"),
        ("reset", "by the bucket"),
        ("unreadable", "missing 1 required"),
        ("unsendable", "cannot be pickled"),
        ("lock", "cannot pickle"),
        (threading.Lock(), "cannot pickle"),
    ],
)
def test_an_error_of_a_task_or_of_pickling_is_raised_and_does_not_count_as_a_lost_worker(
    item: Any, error: str | None, pool: LocalWorkers
) -> None:
    workers = multiprocessing.active_children()
    with pytest.raises(Exception, match=error) as caught:
        list(ordered_map(pool, work, [[item]]))

    assert not isinstance(caught.value, WorkerLost)
    assert list(ordered_map(pool, work, [[1]] * 4)) == [[10]] * 4
    assert [worker for worker in workers if not worker.is_alive()] == []
