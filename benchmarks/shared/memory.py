"""Limit the memory of a command, and drop files from the page cache."""

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
    """Yield a prefix for a command that limits its memory, page cache included, to `limit_bytes`.

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
    """Drop a file's pages from memory: pages that are in memory already count against no limit."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
