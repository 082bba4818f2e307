"""When a process ends: with its parent, and cleanly on a signal."""

import ctypes
import os
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to send this process a signal when its parent ends, even by kill -9. Linux only.

    To the kernel the parent is the thread that started this process: start children from a thread that stays.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, with_signal)


def is_orphan() -> bool:
    """Tell whether the parent has ended, as far as that can be seen: an orphan's new parent is of another session.

    For a process that its parent starts in its own session, as dvc starts stages.
    """
    try:
        return os.getsid(os.getppid()) != os.getsid(0)
    except OSError:
        return False


def exit_cleanly(signal_number: int, frame: FrameType | None) -> None:
    """End through the finally blocks, which remove half-written files. A second signal is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if signal_number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + signal_number)
