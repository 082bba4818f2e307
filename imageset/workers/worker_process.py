"""The inside of a worker process: it receives calls on a pipe and sends the results back."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from imageset.runtime import lifetime
from imageset.workers import limits, pipe

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_bounded(items: list[Item], function: Callable[[Item], Result], seconds: float, max_bytes: int) -> list[Result]:
    """Return function(item) for each item, each with limits of its own on time and memory.

    Args:
        items: the items of one chunk.
        function: what is called with one item.
        seconds: an item that takes longer ends the process with SIGALRM.
        max_bytes: an item that asks for more memory than this gets MemoryError (Linux only).
    """
    results = []
    for item in items:
        with limits.deadline(seconds), limits.memory_limit(max_bytes):
            results.append(function(item))
    return results


def serve(connection: "Connection[Any, Any]") -> None:
    """Answer calls until the other end of the pipe is closed."""
    prepare_process()
    with suppress(EOFError):
        while True:
            pipe.send(connection, answer(pipe.receive(connection)))


def answer(call: list[bytearray]) -> pipe.Message:
    """Run the message (function, items); return the message (True, results) or (False, exception)."""
    try:
        function, items = pipe.load(call)
        del call  # it may be a hundred megabytes, and nobody else holds it
        return pipe.dump((True, function(items)))
    except Exception as error:  # at a process's edge: the main process raises it
        error.add_note("".join(traceback.format_exception(error)))
        try:
            return pipe.dump((False, error))
        except Exception as unpicklable:
            return pipe.dump((False, TypeError(f"{error!r} cannot be sent: {unpicklable}")))


def prepare_process() -> None:
    """Ignore Ctrl-C, which is for the main process, and end when the main process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    lifetime.die_with_parent()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():  # the parent ended before die_with_parent was called
        signal.raise_signal(signal.SIGTERM)
