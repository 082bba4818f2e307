"""The pool: order, limits, and workers that fail or die."""

import multiprocessing
import os
import signal
from collections.abc import Iterator

import pytest

from imageset.errors import DataError, ImagesetError
from imageset.pool import ordered_map

DEATHS = ("exit", "kill", "segfault")


def work(item: object) -> int:
    """Return ten times the item, fail as its name says, or die as its name says."""
    if isinstance(item, int):
        sum(range(20_000 * (item % 5)))  # later items are often done before earlier ones
        return item * 10
    if item == "exit":
        os._exit(3)
    if item in DEATHS:
        os.kill(os.getpid(), signal.SIGKILL if item == "kill" else signal.SIGSEGV)
    raise DataError(f"photo {item} is bad")


def worker_of(item: object) -> int:
    return os.getpid()


def ignores_interrupts(item: object) -> bool:
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(ordered_map(work, range(50), workers)) == [number * 10 for number in range(50)]


def test_no_items_are_no_results() -> None:
    assert list(ordered_map(work, [], 2)) == []


def test_work_happens_in_other_processes_that_leave_interrupts_to_this_one() -> None:
    assert os.getpid() not in set(ordered_map(worker_of, range(4), 1))
    assert list(ordered_map(ignores_interrupts, [0], 1)) == [True]


def test_what_a_worker_raises_is_raised_here_after_the_results_before_it() -> None:
    results = ordered_map(work, [1, 2, "7", 3], 2)

    assert [next(results), next(results)] == [10, 20]
    with pytest.raises(DataError, match=r"^photo 7 is bad$"):
        next(results)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("death", DEATHS)
def test_a_worker_that_dies_is_an_error_that_says_what_to_do(death: str) -> None:
    with pytest.raises(ImagesetError, match=r"a worker process died.*IMAGESET_WORKERS"):
        list(ordered_map(work, [1, death, *range(100)], 2))

    assert multiprocessing.active_children() == []


def test_items_are_taken_no_faster_than_results_are() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = ordered_map(work, items(), 2)
    ahead = []
    for number, _ in zip(range(30), results, strict=False):
        ahead.append(len(taken) - number)
    results.close()  # type: ignore[attr-defined]  # a generator

    assert max(ahead) <= 8


def test_closing_early_leaves_no_process() -> None:
    results = ordered_map(work, iter(range(1000)), 2)
    first = next(results)
    during = len(multiprocessing.active_children())
    results.close()  # type: ignore[attr-defined]  # a generator

    assert (first, during) == (0, 2)
    assert multiprocessing.active_children() == []


def test_an_error_among_the_items_is_raised_and_leaves_no_process() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise DataError("the table ends early")

    with pytest.raises(DataError, match="the table ends early"):
        list(ordered_map(work, items(), 2))

    assert multiprocessing.active_children() == []
