"""Less memory than a machine has: a limit for a command, and files that leave memory."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS_TO_END = 10
CGROUP = Path("/sys/fs/cgroup/memory")


def megabytes(amount: float) -> str:
    return f"{amount / 1e6:.0f}"


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[list[str]]:
    """Yield what to write before a command so that it has so many bytes of memory, its page cache included.

    By a cgroup (v1, memory controller); ends the benchmark where none can be made.
    """
    group = CGROUP / f"imageset-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        raise SystemExit(f"memory cannot be limited here, by cgroup v1: {error}") from None
    try:
        yield ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
    finally:
        deadline = time.monotonic() + SECONDS_TO_END
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:  # killed just now
            time.sleep(0.1)
        group.rmdir()


def forget(path: Path) -> None:
    """Have a file's pages leave memory: those that are there already would count against nobody's limit."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
