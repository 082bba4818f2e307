"""The standard streams of a program: one may be closed, lose its reader, or have an encoding that lacks letters."""

import io
import os
import select
import sys


def prepare() -> None:
    """Open the streams that are closed, and show a letter that stdout's encoding lacks by its number.

    Else the next file that is opened gets the number of a closed one, and what a library prints gets into that file.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> OSError | None:
    """Write what stdout still holds. Return the error if that fails, such as BrokenPipeError; then nothing more is
    written there."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return error
    return None


def is_of_stdout(error: Exception) -> bool:
    """Return whether an error says that the reader of stdout has gone: a pipe without one is in state POLLERR."""
    if not isinstance(error, BrokenPipeError):
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(state & select.POLLERR for _, state in poll.poll(0))
