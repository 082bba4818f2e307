"""What worker processes do in these tests: answer, fail, hang, die."""

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

from imageset.errors import DataError, WorkerLost
from imageset.workers import limits

ENOUGH = 100_000_000  # bytes for a task that does nothing special
PATIENCE = 20.0  # seconds


def work(items: list[Any]) -> list[Any]:
    """Return ten times each number; do what every other item names."""
    return [item * 10 if isinstance(item, int) else misbehave(item) for item in items]


def misbehave(how: str) -> Any:
    """Do one of the things that a decoder may do over a hostile photo."""
    if how == "segfault":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(3)
    if how in ("SIGKILL", "SIGTERM", "SIGINT"):
        os.kill(os.getpid(), signal.Signals[how])
    if how == "hang":
        with limits.deadline(0.1):
            hang()
    if how == "eat":
        with limits.memory_limit(ENOUGH):
            return bytes(2 * ENOUGH)
    if how in ERRORS:
        raise ERRORS[how]
    if how == "lock":
        return threading.Lock()
    if how.startswith("/"):
        return die_once(Path(how))
    return how


def same_code() -> list[str]:
    return ["code 1"]


def other_code() -> list[str]:
    """Return another line in every process."""
    return [f"code {os.getpid()}"]


def own_pids(items: list[Any]) -> list[tuple[int, int]]:
    """Return this process's id and its parent's for each item."""
    return [(os.getpid(), os.getppid())] * len(items)


def variables(items: list[str]) -> list[str | None]:
    return list(map(os.environ.get, items))


def read(items: list[Any], path: Path) -> list[bytes]:
    return [path.read_bytes()] * len(items)


class Unreadable(Exception):
    """Can be pickled but not unpickled, like the exceptions of many libraries."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


class Unsendable(Exception):
    """Cannot be pickled, and raises an error of its own."""

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise ValueError("this cannot be pickled")


ERRORS = {
    "raise": DataError("photo 7 is bad"),
    "unreadable": Unreadable(1, 2),
    "unsendable": Unsendable(),
    "end of file": EOFError("of the photo"),
    "reset": ConnectionResetError("by the bucket"),
}


def hang() -> None:
    sum(range(10**12))  # in C, where no Python handler of a signal runs


def die_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "succeeded the second time"


def begin(items: list[Path]) -> list[int]:
    """Make the first file, wait for the second if there is one, and return this process's id."""
    started, *gates = items
    started.touch()
    while not all(gate.exists() for gate in gates):
        time.sleep(0.01)
    return [os.getpid()]


def begin_and_hang(items: list[Path]) -> None:
    begin(items)
    hang()


def begin_and_do(items: list[Path], how: str) -> list[str]:
    begin(items)
    return [misbehave(how)]


def die_while_answering(items: list[Any]) -> list[bytes]:
    """Return what takes long to send, and kill this process as soon as the first bytes are sent."""
    threading.Thread(target=die_after_writing, args=[bytes_written()], daemon=True).start()
    return [bytes(40_000_000)]


def die_after_writing(before: int) -> None:
    while bytes_written() == before:
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def bytes_written() -> int:
    found = re.search(r"^wchar: (\d+)$", Path("/proc/self/io").read_text(), re.M)
    assert found is not None
    return int(found[1])


def is_imported(names: list[str]) -> list[bool]:
    return [name in sys.modules for name in names]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ending(future: "Future[Any]") -> Any:
    """Return what a task returned, or the name of the exception that it raised."""
    try:
        return future.result(PATIENCE)
    except (Exception, CancelledError) as error:
        return str(error) if isinstance(error, WorkerLost) else type(error).__name__
