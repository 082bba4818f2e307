"""Run a server as a child process that never outlives this one."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from imageset.errors import ServerError
from imageset.runtime import lifetime

SECONDS_TO_START = 60
SECONDS_TO_STOP = 20


@contextmanager
def run_child(
    command: list[str],
    log: Path,
    stop_signal: signal.Signals,
    environment: dict[str, str] | None = None,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the context ends. If this process is killed, the kernel stops the server.

    Args:
        command: program and arguments.
        log: file for its output.
        stop_signal: the signal that makes it stop.
        environment: variables to add to those of this process.
        user: account to run it as; None for our own.
    """
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            user=user,
            group=user,
            extra_groups=[] if user else None,
            start_new_session=True,
            preexec_fn=partial(end_with_parent, os.getpid(), stop_signal),
        )
    try:
        yield server
    finally:
        server.send_signal(stop_signal)
        try:
            server.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def end_with_parent(parent: int, stop_signal: signal.Signals) -> None:
    """Let the kernel stop this process when its parent ends. The parent may end before, or before the program runs."""
    signal.signal(stop_signal, signal.SIG_DFL)  # the handler of Python would go with the signal when the program begins
    lifetime.die_with_parent(stop_signal)
    if os.getppid() != parent:
        os._exit(1)


def wait_until_ready(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a server. Raises ServerError, with a line of its log, if it ends or takes too long."""
    deadline = time.monotonic() + SECONDS_TO_START
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").strip().splitlines() or ["its log is empty"]
            reasons = [line for line in lines if re.search("error|fatal", line, re.IGNORECASE)] or lines[-1:]
            raise ServerError(f"{log.stem} did not start: {reasons[0].strip()} (see {log})")
        time.sleep(0.05)
