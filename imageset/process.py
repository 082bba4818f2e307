"""What a process owes its parent, to end with it, and what it may ask of the kernel."""

import ctypes
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to send this process a signal when its parent ends, even by kill -9; Linux only.

    The parent is the thread that started this process: start children from the main thread.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, with_signal)


def allow_open_files(count: int) -> None:
    """Raise this process's own limit of open files, often 1,024, to count, or as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End this process by SIGALRM when what is inside takes longer, though it hang in C; a handler may do otherwise."""
    before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


@contextmanager
def memory_limit(max_bytes: int) -> Iterator[None]:
    """Let what is inside take so much memory more than there is now, never more than it might before; then MemoryError.

    Linux only.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if sys.platform == "linux":
        held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        bounds = [bound for bound in (before, hard) if bound != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min([held + max_bytes, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))
