"""What a process may ask of the kernel: time, memory, open files."""

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
