"""tools.forget, killed just before what it does for the nth time: `killed_forget WHAT NUMBER` and its arguments.

A test runs this as a program. WHAT is part of an event that Python audits, with the first argument of the event.
"""

import itertools
import os
import runpy
import signal
import sys
from typing import Any

EVENTS = ("os.remove", "os.rename", "sqlite3.connect", "http.client.send")


def kill_at(what: str, number: int) -> None:
    counted = itertools.count(1)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS:
            done = f"{event} {bytes(arguments[1])[:6]!r}" if event == "http.client.send" else f"{event} {arguments[0]}"
            if what in done and next(counted) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


if __name__ == "__main__":
    kill_at(sys.argv.pop(1), int(sys.argv.pop(1)))
    runpy.run_module("tools.forget", run_name="__main__")
