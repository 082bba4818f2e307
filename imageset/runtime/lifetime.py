"""When a process ends: with its parent, and cleanly on a signal."""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from imageset.runtime import files

PR_SET_PDEATHSIG = 1  # linux/prctl.h
DVC_LOCK = Path(".dvc/tmp/rwlock")


def die_with_parent(with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to send this process a signal when its parent ends, even by kill -9. Linux only.

    To the kernel the parent is the thread that started this process: start children from a thread that stays.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, with_signal)


def dvc_has_ended(lock: Path = DVC_LOCK) -> bool:
    """Tell whether the dvc that runs a stage in this folder has ended, as far as its lock file tells.

    While a stage runs, DVC keeps its own pid there, with each output of the stage. A dvc that was killed leaves it.
    """
    pids = set(read_writers(lock).values())
    return bool(pids) and not any(map(files.is_alive, pids))


def find_dvc_that_writes(path: Path, lock: Path = DVC_LOCK) -> int | None:
    """Return the pid of the dvc that makes this file now, or a folder that it is in."""
    writers, absolute = read_writers(lock), Path(os.path.abspath(path))
    pids = [writers[str(each)] for each in (absolute, *absolute.parents) if str(each) in writers]
    return next(filter(files.is_alive, pids), None)


def read_writers(lock: Path) -> dict[str, int]:
    """Return the absolute path of every file that a dvc writes, with its pid; none without such a lock file."""
    try:
        return {path: writer["pid"] for path, writer in json.loads(lock.read_bytes())["write"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # no file, or half of one
        return {}


def exit_cleanly(signal_number: int, frame: FrameType | None) -> None:
    """End through the finally blocks, which remove half-written files. A second signal is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if signal_number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + signal_number)
