"""A Dask cluster on this machine: a scheduler and workers as processes of their own. `make cluster`, and tests."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from imageset.runtime import command, settings
from sandbox.servers import HOST, child, wait_until

HOME = Path(".sandbox/dask")
PORT = 8786  # Dask's own


class Cluster(NamedTuple):
    """The scheduler's address for IMAGESET_DASK, and the workers' processes."""

    address: str
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def running(home: Path, workers: int, port: int, environment: dict[str, str] | None = None) -> Iterator[Cluster]:
    """Run a scheduler (port 0: any) and workers of one thread each; they end with the context, and with this process.

    Call it from the main thread. All have to find imageset on their path; workers read settings from their environment
    or .env, as stages do. Raises ServerError when one does not start.
    """
    home.mkdir(parents=True, exist_ok=True)
    found = home / "scheduler.json"
    found.unlink(missing_ok=True)
    dask = [sys.executable, "-m", "dask"]
    scheduler = [
        *dask,
        "scheduler",
        "--host",
        HOST,
        "--port",
        str(port),
        "--no-dashboard",
        "--scheduler-file",
        str(found),
    ]
    with ExitStack() as stack:
        log = home / "scheduler.log"
        wait_until(found.exists, stack.enter_context(child(scheduler, log, signal.SIGTERM, environment)), log)
        address = json.loads(found.read_text())["address"]
        # Without a nanny: it would be the parent that a worker's processes may not outlive.
        worker = [
            *dask,
            "worker",
            address,
            "--host",
            HOST,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(home),
        ]
        logs = [home / f"worker-{number}.log" for number in range(workers)]
        processes = [stack.enter_context(child(worker, log, signal.SIGTERM, environment)) for log in logs]
        for process, log in zip(processes, logs, strict=True):
            wait_until(partial(is_registered, log), process, log)
        yield Cluster(address, processes)


def is_registered(log: Path) -> bool:
    return "Registered to" in log.read_text()


def main() -> None:
    """Run the cluster until Ctrl-C."""
    parser = argparse.ArgumentParser("python -m sandbox.cluster", description=main.__doc__)
    settings.load()
    parser.add_argument("--workers", type=int, default=settings.workers(), help="worker processes (one a core)")
    parser.add_argument("--port", type=int, default=PORT, help=f"the scheduler's ({PORT})")
    arguments = parser.parse_args()
    with running(HOME, arguments.workers, arguments.port) as cluster:
        print(
            f"A Dask cluster of {arguments.workers} workers. In another terminal: "
            f"`IMAGESET_DASK={cluster.address} dvc repro`. Ctrl-C ends it.",
            flush=True,
        )
        while True:
            signal.pause()


if __name__ == "__main__":
    command.run("sandbox", main)
