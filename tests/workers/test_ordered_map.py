"""Results come in order. An item that kills its worker process loses its own result only."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imageset.errors import DataError
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import Lost, ordered_map
from tests.workers.tasks import work


class Here:
    """A pool without processes that records its tasks and runs them at once, or never."""

    def __init__(self, slots: int, *, never: bool = False) -> None:
        self.slots = slots
        self.never = never
        self.tasks: list[list[Any]] = []
        self.futures: list[Future[Any]] = []

    def submit(self, function: Callable[[list[Any]], Sequence[Any]], items: list[Any]) -> "Future[Any]":
        self.tasks.append(items)
        self.futures.append(Future())
        if not self.never:
            self.futures[-1].set_result(function(items))
        return self.futures[-1]


def test_results_come_in_the_order_of_the_chunks_and_empty_chunks_are_no_tasks(pool: LocalWorkers) -> None:
    chunks = [[], *([number] * (number % 4) for number in range(40)), []]
    here = Here(3)

    assert list(ordered_map(pool, work, chunks)) == [[item * 10 for item in chunk] for chunk in chunks]
    assert list(ordered_map(here, work, chunks)) == [[item * 10 for item in chunk] for chunk in chunks]
    assert here.tasks == [chunk for chunk in chunks if chunk]
    assert list(ordered_map(pool, work, [])) == []


def test_as_many_chunks_are_in_flight_as_the_pool_has_slots() -> None:
    taken = []

    def chunks() -> Iterator[list[int]]:
        for number in range(20):
            taken.append(number)
            yield [number] * (number % 3)

    ahead = [len(taken) - done for done, _ in enumerate(ordered_map(Here(5), work, chunks()))]

    assert ahead == [5] * 16 + [4, 3, 2, 1]


def test_an_error_of_the_chunks_is_raised_and_waiting_tasks_are_cancelled() -> None:
    here = Here(5, never=True)

    def chunks() -> Iterator[list[int]]:
        yield [1]
        yield []
        yield [2]
        raise DataError("the table ends early")

    with pytest.raises(DataError, match="the table ends early"):
        list(ordered_map(here, work, chunks()))

    assert [future.cancelled() for future in here.futures] == [True, True]


def test_an_error_of_a_task_is_raised_after_the_results_before_it(pool: LocalWorkers) -> None:
    results = ordered_map(pool, work, [[1], [2, 3], [4, "raise"], [5]])

    assert [next(results), next(results)] == [[10], [20, 30]]
    with pytest.raises(DataError) as caught:
        next(results)
    assert str(caught.value) == "photo 7 is bad"
    assert list(results) == []


def test_items_that_end_their_process_lose_only_their_own_results(pool: LocalWorkers, tmp_path: Path) -> None:
    chunks: list[list[Any]] = [
        [0, 1],
        [2, "segfault", 3],
        ["hang", 4],
        [5],
        ["exit", "SIGTERM"],
        [6, str(tmp_path / "mark"), 7],
        [8],
        [],
        ["SIGINT", 9],
    ]
    crash, timeout = Lost("crash"), Lost("timeout")

    assert list(ordered_map(pool, work, chunks)) == [
        [0, 10],
        [20, crash, 30],
        [timeout, 40],
        [50],
        [crash, crash],
        [60, "succeeded the second time", 70],
        [80],
        [],
        ["SIGINT", 90],
    ]


def test_two_threads_may_submit_at_once(pool: LocalWorkers) -> None:
    def results(first: int) -> list[list[Any]]:
        return list(ordered_map(pool, work, [[first + number, "exit"][: 1 + (number == 7)] for number in range(30)]))

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(results, (0, 1000))

    assert [result[0] for result in one + other] == [10 * number for number in (*range(30), *range(1000, 1030))]
    assert one[7][1:] == other[7][1:] == [Lost("crash")]
