"""The pool: order, limits, and workers that fail or die."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from imageset.errors import DataError, ImagesetError
from imageset.pool import isolated, ordered_map
from tests.project import ROOT

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


# The pool in which tasks fail alone

ENOUGH = 400_000_000  # bytes for a worker that does nothing special


def misbehave(how: str) -> str:
    """Do what a decoder may do with a hostile photo."""
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        sum(range(10**12))  # in C, where no Python handler of a signal ever gets its turn
    if how == "sleep":
        time.sleep(600)
    if how == "eat":
        return str(len(bytearray(2 * ENOUGH)))
    if how == "raise":
        raise DataError("photo 7 is bad")
    return how


def ending(future: "Future[Any]") -> str:
    """Return what a task returned, or the name of what it raised."""
    try:
        return str(future.result(60))
    except (Exception, CancelledError) as error:
        return type(error).__name__


@pytest.mark.parametrize(("how", "end"), [
    ("crash", "ProcessExpired"), ("hang", "TimeoutError"), ("sleep", "TimeoutError"), ("eat", "MemoryError"),
    ("raise", "DataError"),
])
def test_a_task_that_fails_fails_alone(how: str, end: str) -> None:
    with isolated(2, ENOUGH) as pool:
        before = [pool.schedule(misbehave, [f"before {number}"]) for number in range(5)]
        bad = pool.schedule(misbehave, [how], timeout=0.5 if end == "TimeoutError" else None)
        after = [pool.schedule(misbehave, [f"after {number}"]) for number in range(5)]

        assert ending(bad) == end
        assert [ending(future) for future in before + after] == [
            f"{when} {number}" for when in ("before", "after") for number in range(5)]

        later = pool.schedule(misbehave, ["later"])

        assert ending(later) == "later"

    assert multiprocessing.active_children() == []


def test_tasks_that_fail_one_after_the_other_do_not_wear_the_pool_out() -> None:
    with isolated(1, ENOUGH) as pool:
        tasks = [pool.schedule(misbehave, [how]) for how in ["crash", "good", "eat"] * 3]

        assert [ending(task) for task in tasks] == ["ProcessExpired", "good", "MemoryError"] * 3


def test_a_hanging_task_that_is_cancelled_ends_and_another_takes_its_place() -> None:
    with isolated(1, ENOUGH) as pool:
        hanging = pool.schedule(misbehave, ["sleep"])
        while not hanging.running():
            time.sleep(0.01)
        hanging.cancel()  # type: ignore[no-untyped-call]

        assert ending(pool.schedule(misbehave, ["next"])) == "next"
        assert hanging.cancelled()


def test_who_leaves_the_pool_by_an_error_does_not_wait_for_its_tasks() -> None:
    tasks: list[Future[str]] = []

    def leave() -> None:
        with isolated(1, ENOUGH) as pool:
            tasks.extend(pool.schedule(misbehave, [how], timeout=2) for how in ("sleep", "never"))
            while not tasks[0].running():
                time.sleep(0.01)
            raise DataError("the bucket is gone")

    with pytest.raises(DataError, match="the bucket is gone"):
        leave()

    assert multiprocessing.active_children() == []
    assert [task for task in tasks if task.done() and ending(task) in ("TimeoutError", "never")] == []


def test_workers_of_the_pool_leave_interrupts_to_this_process() -> None:
    with isolated(1, ENOUGH) as pool:
        assert pool.schedule(ignores_interrupts, [0]).result(60) is True


def test_the_main_program_is_itself_again_after_the_pool() -> None:
    main = sys.modules["__main__"]
    spec = main.__spec__
    with isolated(1, ENOUGH) as pool:
        pool.schedule(misbehave, ["good"]).result(60)
    with pytest.raises(DataError), isolated(1, ENOUGH):
        raise DataError("nothing was scheduled")

    assert main.__spec__ is spec


PROGRAM = """
import multiprocessing, sys
import heavy
from pebble import ProcessPool
from tests.test_pool import is_imported
from imageset.pool import isolated

if __name__ == "__main__":
    with isolated(1, 0) as pool:
        print(pool.schedule(is_imported, ["heavy"]).result(60))
        print(pool.schedule(is_imported, ["imageset.pool"]).result(60))
    with ProcessPool(1, context=multiprocessing.get_context("spawn")) as pool:
        print(pool.schedule(is_imported, ["heavy"]).result(60))
"""


def is_imported(name: str) -> bool:
    return name in sys.modules


def start(folder: Path, program: str) -> "subprocess.Popen[str]":
    """Start a program as DVC starts a stage, by its name, with a module `heavy` for it to import."""
    (folder / "heavy.py").write_text("")
    (folder / "program.py").write_text(program)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.Popen([sys.executable, "-m", "program"], cwd=folder, env=os.environ | {"PYTHONPATH": path},
                            stdout=subprocess.PIPE, text=True)


def test_workers_of_the_pool_do_not_import_the_main_program(tmp_path: Path) -> None:
    """Those of a pool as it comes do."""
    with start(tmp_path, PROGRAM) as program:
        said, _ = program.communicate(timeout=60)

    assert program.returncode == 0
    assert said.split() == ["False", "True", "True"]


KILLED_PROGRAM = """
import os, time
from imageset.pool import isolated
from tests.test_pool import misbehave, worker_of

if __name__ == "__main__":
    with isolated(2, 0) as pool:
        workers = set()
        while len(workers) < 2:
            workers |= {task.result() for task in [pool.schedule(worker_of, [0]) for _ in range(4)]}
        busy = [pool.schedule(misbehave, ["HOW"]) for _ in workers]
        while not all(task.running() for task in busy):
            time.sleep(0.01)
        print(*workers, flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("how", ["sleep", "hang"])
def test_workers_of_the_pool_end_with_a_parent_that_is_killed(how: str, tmp_path: Path) -> None:
    with start(tmp_path, KILLED_PROGRAM.replace("HOW", how)) as program:
        assert program.stdout is not None
        workers = [psutil.Process(int(number)) for number in program.stdout.readline().split()]
        program.kill()
        _, alive = psutil.wait_procs(workers, timeout=5)
        for worker in alive:
            worker.kill()

    assert len(workers) == 2
    assert alive == []
