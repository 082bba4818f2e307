"""Worker processes on this machine: when they start, are replaced, end, and with whom."""

import gc
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from imageset.errors import DataError
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import Lost, ordered_map
from tests.project import ROOT
from tests.workers.tasks import PATIENCE, begin, begin_and_do, die_while_answering, ending, wait_until, work


def test_a_process_killed_while_it_answers_counts_as_lost(pool: LocalWorkers) -> None:
    assert list(ordered_map(pool, die_while_answering, [[1]])) == [[Lost("crash")]]


def test_tasks_that_wait_behind_one_that_ends_its_process_are_done(tmp_path: Path) -> None:
    with LocalWorkers(1) as pool:
        for how, reason in (("segfault", "crash"), ("hang", "timeout")):
            started, gate = tmp_path / f"{how} started", tmp_path / f"{how} gate"
            culprit = pool.submit(partial(begin_and_do, how=how), [started, gate])
            behind = [pool.submit(work, [number]) for number in range(5)]
            wait_until(started.exists)
            gate.touch()

            assert [ending(task) for task in behind] == [[number * 10] for number in range(5)]
            assert ending(culprit) == reason


def test_a_worker_killed_while_idle_is_replaced(pool: LocalWorkers) -> None:
    before = set(multiprocessing.active_children())
    for worker in before:
        worker.kill()
        worker.join()

    assert list(ordered_map(pool, work, [[number, "good"] for number in range(6)])) == [
        [number * 10, "good"] for number in range(6)
    ]
    assert not before & set(multiprocessing.active_children())


def test_a_worker_killed_at_any_moment_loses_its_current_task_only(children: Callable[[], set[BaseProcess]]) -> None:
    """Chunks hold a megabyte, so workers are also killed while they start, receive and answer."""
    chance = random.Random(4)
    chunks = [[(number, bytes(500_000)), (-number, b"")] for number in range(1, 201)]

    def with_kills() -> Iterator[list[tuple[int, bytes]]]:
        for chunk in chunks:
            if chance.random() < 0.2:
                time.sleep(chance.random() * 0.05)
                for victim in chance.sample(sorted(children(), key=id), min(1, len(children()))):
                    victim.kill()
            yield chunk

    with LocalWorkers(3, import_main=False) as pool:
        results = list(ordered_map(pool, sorted, with_kills()))
        calm = list(ordered_map(pool, sorted, [[2, 1]] * 10))
    gc.collect()

    assert len(results) == len(chunks)
    for chunk, result in zip(chunks, results, strict=True):
        assert result == sorted(chunk) or all(
            got in (item, Lost("crash")) for item, got in zip(chunk, result, strict=True)
        )
    assert sum(result == sorted(chunk) for chunk, result in zip(chunks, results, strict=True)) > 100
    assert calm == [[1, 2]] * 10
    assert children() == set()


def test_a_worker_that_cannot_be_replaced_is_an_error_not_an_endless_wait(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with LocalWorkers(1) as pool:
        culprit = pool.submit(partial(begin_and_do, how="exit"), [tmp_path / "started", tmp_path / "gate"])
        behind = [pool.submit(work, [number]) for number in range(3)]
        wait_until((tmp_path / "started").exists)
        (tmp_path / "gate").touch()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            endings = [ending(culprit), *map(ending, behind)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

        assert endings == ["crash", *["OSError"] * 3]
        assert ending(pool.submit(work, [1])) == [10]


def test_workers_are_started_when_there_is_work(children: Callable[[], set[BaseProcess]], tmp_path: Path) -> None:
    with LocalWorkers(3, import_main=False) as pool:
        at_first = len(children())
        pids = {ending(pool.submit(begin, [tmp_path / "1"]))[0] for _ in range(20)}
        one_by_one = len(children())
        both = [pool.submit(begin, [tmp_path / started, tmp_path / "gate"]) for started in "23"]
        wait_until(lambda: (tmp_path / "2").exists() and (tmp_path / "3").exists())
        together = len(children())
        (tmp_path / "gate").touch()

        assert len({*pids, *(ending(task)[0] for task in both)}) == 2
        assert (at_first, one_by_one, together) == (0, 1, 2)

    assert children() == set()


def test_a_task_cancelled_before_it_begins_is_never_run(pool: LocalWorkers, tmp_path: Path) -> None:
    at_work = [pool.submit(begin, [tmp_path / name, tmp_path / "gate"]) for name in "12"]
    wait_until(lambda: (tmp_path / "1").exists() and (tmp_path / "2").exists())
    waiting = [pool.submit(begin, [tmp_path / name]) for name in "3456"]
    cancelled = [task.cancel() for task in waiting]
    last = pool.submit(work, [1])
    (tmp_path / "gate").touch()

    assert ending(last) == [10]
    assert not any(task.cancel() for task in at_work)
    assert [task.cancelled() for task in waiting] == cancelled
    assert cancelled[-2:] == [True, True]  # a worker may have taken the ones before
    assert not any((tmp_path / name).exists() for name in "56")


def test_two_pools_may_start_their_workers_at_once(children: Callable[[], set[BaseProcess]]) -> None:
    spec = sys.modules["__main__"].__spec__
    together = threading.Barrier(3)

    def results(pool: LocalWorkers) -> list[Any]:
        together.wait(PATIENCE)
        return list(ordered_map(pool, sorted, [[2, 1]] * 4))

    with (
        LocalWorkers(2, import_main=False) as one,
        LocalWorkers(2) as other,
        LocalWorkers(2, import_main=False) as third,
        ThreadPoolExecutor(3) as threads,
    ):
        assert list(threads.map(results, (one, other, third))) == [[[1, 2]] * 4] * 3

    assert children() == set()
    assert sys.modules["__main__"].__spec__ is spec


def test_workers_ignore_interrupts_from_their_first_moment_on(
    children: Callable[[], set[BaseProcess]], capfd: pytest.CaptureFixture[str]
) -> None:
    with LocalWorkers(1, import_main=False) as pool:
        task = pool.submit(sorted, [2, 1])
        while not task.done():
            for child in children():
                os.kill(int(child.pid or 0), signal.SIGINT)

        assert ending(task) == [1, 2]

    assert capfd.readouterr() == ("", "")


def test_closing_early_waits_for_running_tasks_and_leaves_no_process(
    children: Callable[[], set[BaseProcess]], tmp_path: Path
) -> None:
    with LocalWorkers(2) as pool:
        results = ordered_map(pool, work, iter([[1]] * 1000))
        first = next(results)
        results.close()  # type: ignore[attr-defined]  # a generator
        last = pool.submit(begin, [tmp_path / "started", tmp_path / "gate"])
        wait_until((tmp_path / "started").exists)
        threading.Timer(0.1, (tmp_path / "gate").touch).start()

    assert (first, last.done()) == ([10], True)
    assert last.exception() is None
    assert children() == set()


@pytest.mark.parametrize("begun", [True, False])
def test_after_an_error_no_task_is_awaited_and_every_task_ends(
    begun: bool, children: Callable[[], set[BaseProcess]], tmp_path: Path
) -> None:
    tasks: list[Future[Any]] = []

    def leave() -> None:
        with LocalWorkers(2) as pool:
            tasks.extend(pool.submit(begin, [tmp_path / str(number), tmp_path / "never"]) for number in range(8))
            while begun and not (tmp_path / "1").exists():
                time.sleep(0.01)
            raise DataError("the bucket is gone")

    with pytest.raises(DataError, match="the bucket is gone"):
        leave()

    assert children() == set()
    assert [ending(task) for task in tasks] == ["CancelledError"] * 8


def test_a_closed_pool_refuses_tasks() -> None:
    with LocalWorkers(1) as pool:
        pass

    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(sorted, [1])


PROGRAM = """
import atexit, time
atexit.register(time.sleep, 0.3)  # runs last: time for tasks to begin that should not
import multiprocessing, signal, sys
from pathlib import Path
import heavy
from imageset.workers.local import LocalWorkers
from tests.workers.tasks import begin, begin_and_hang, is_imported, wait_until

def imports(folder):
    spec = sys.modules["__main__"].__spec__
    for wanted in (True, False):
        with LocalWorkers(1, import_main=wanted) as pool:
            print(*pool.submit(is_imported, ["heavy", "imageset.workers.worker_process"]).result(),
                  sys.modules["__main__"].__spec__ is spec)

def end(folder):
    pool = LocalWorkers(2)
    tasks = [pool.submit(begin_and_hang, [folder / "1"]), pool.submit(begin, [folder / "2", folder / "never"]),
             *(pool.submit(begin, [folder / "3"]) for _ in range(8))]
    wait_until(lambda: (folder / "1").exists() and (folder / "2").exists())
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

def stay(folder):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # child processes inherit this
    end(folder)
    time.sleep(600)

if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
    sys.exit(3)
"""


def start(what: str, folder: Path) -> "subprocess.Popen[str]":
    """Start the program by its module name, as DVC starts a stage, with a module `heavy` for it to import."""
    (folder / "heavy.py").write_text("")
    (folder / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-m", "program", what, str(folder)],
        cwd=folder,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_workers_import_the_main_program_only_on_request(tmp_path: Path) -> None:
    with start("imports", tmp_path) as program:
        said = program.communicate(timeout=PATIENCE)

    assert said == ("True True True\nFalse True True\n", "")


@pytest.mark.parametrize(("what", "code"), [("stay", -signal.SIGKILL), ("end", 3)])
def test_workers_end_when_their_program_is_killed_and_when_it_never_closes_the_pool(
    what: str, code: int, tmp_path: Path
) -> None:
    """One of them hangs in C. Waiting tasks are dropped without a message."""
    with start(what, tmp_path) as program:
        assert program.stdout is not None
        workers = [int(number) for number in program.stdout.readline().split()]
        if what == "stay":
            program.kill()
        _, complaints = program.communicate(timeout=PATIENCE)

    assert len(workers) == 2
    try:
        wait_until(lambda: not any(map(psutil.pid_exists, workers)))
    finally:
        for worker in filter(psutil.pid_exists, workers):
            os.kill(worker, signal.SIGKILL)
    assert (program.returncode, complaints if what == "end" else "") == (code, "")
    assert not (tmp_path / "3").exists()
