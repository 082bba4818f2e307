"""Deadlines and limits that a process sets for itself."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from imageset.workers.limits import deadline, memory_limit
from tests.project import ROOT

MB = 1_000_000
FAR = 5000.0


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def remaining() -> float:
    return signal.getitimer(signal.ITIMER_REAL)[0]


def takes(count: int) -> bool:
    """Return whether this many more bytes can be allocated."""
    try:
        return len(bytes(count)) == count
    except MemoryError:
        return False


@pytest.fixture
def timer() -> Iterator[None]:
    """Leave pytest's own timer as it was."""
    before = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, *before)


def test_a_deadline_ends_a_process_that_hangs_in_c() -> None:
    done = run("from imageset.workers import limits\nwith limits.deadline(0.1): sum(range(10**12))")

    assert (done.returncode, done.stderr) == (-signal.SIGALRM, "")


@pytest.mark.usefixtures("timer")
def test_a_deadline_that_is_met_restores_the_timer_before_it_even_after_an_error() -> None:
    with deadline(FAR):
        inside = remaining()
    after = remaining()
    signal.setitimer(signal.ITIMER_REAL, 3 * FAR)
    with deadline(FAR), deadline(2 * FAR):
        nested = remaining()
    with pytest.raises(KeyError), deadline(FAR):
        raise KeyError
    before = remaining()

    assert 0 < inside <= FAR
    assert after == 0
    assert FAR < nested <= 2 * FAR < before <= 3 * FAR


def test_a_memory_limit_counts_from_the_memory_in_use_and_an_inner_one_is_never_wider() -> None:
    """In a process of its own: what earlier tests left might be freed meanwhile, which would leave more room."""
    done = run("from tests.workers.test_limits import nest_memory_limits\nnest_memory_limits()")

    assert (done.returncode, done.stderr) == (0, "")


def nest_memory_limits() -> None:
    """Assert that limits within limits hold."""
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    held = bytes(400 * MB)
    with memory_limit(200 * MB):
        outer = resource.getrlimit(resource.RLIMIT_DATA)
        room = [takes(100 * MB), takes(300 * MB)]
        with memory_limit(50 * MB):
            narrow = [takes(20 * MB), takes(100 * MB)]
        with memory_limit(1000 * MB):
            wide = [takes(100 * MB), takes(300 * MB)]
        with pytest.raises(MemoryError), memory_limit(50 * MB):
            bytes(100 * MB)
        again = resource.getrlimit(resource.RLIMIT_DATA)

    assert len(held) == 400 * MB
    assert [room, narrow, wide] == [[True, False]] * 3
    assert again == outer
    assert resource.getrlimit(resource.RLIMIT_DATA) == limits
    assert takes(300 * MB)


HARD_LIMITS = """
import resource
from imageset.workers import limits
resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9))
resource.setrlimit(resource.RLIMIT_NOFILE, (500, 600))
with limits.memory_limit(2 * 10**9):
    print(*resource.getrlimit(resource.RLIMIT_DATA))
for count in (550, 9999, 9):
    limits.allow_open_files(count)
    print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_limits_stay_within_those_of_the_system() -> None:
    done = run(HARD_LIMITS)

    assert done.stderr == ""
    assert done.stdout.split("\n") == ["1000000000 1000000000", "550 600", "600 600", "600 600", ""]
