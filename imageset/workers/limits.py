"""Limits that a process sets for itself: time, memory, open files."""

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def allow_open_files(count: int) -> None:
    """Raise this process's soft limit on open files, often 1,024, to `count`, or as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End this process with SIGALRM when the block takes longer than `seconds`, even if it hangs in C code.

    A handler of SIGALRM, where one is set, runs instead.
    """
    before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


@contextmanager
def memory_limit(max_bytes: int) -> Iterator[None]:
    """Raise MemoryError in the block when it needs `max_bytes` more memory than the process has now. Linux only.

    An outer limit that is tighter stays in force.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb", buffering=0) as file:  # a third of the time that text takes
            held = int(file.read().split()[5]) * resource.getpagesize()
        bounds = [bound for bound in (before, hard) if bound != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min([held + max_bytes, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))
