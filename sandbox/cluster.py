"""Run a Dask cluster on this machine, a process for the scheduler and for each worker: `make cluster`, and tests."""

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
from sandbox.child import run_child, wait_until_ready
from sandbox.ports import HOST

HOME = Path(".sandbox/dask")
PORT = 8786  # Dask's default


class Cluster(NamedTuple):
    """A running cluster."""

    address: str  # of the scheduler, for IMAGESET_DASK
    workers: list[subprocess.Popen[bytes]]
    scheduler: subprocess.Popen[bytes]


@contextmanager
def running(
    home: Path, workers: int, port: int, environment: dict[str, str] | None = None, *, nannies: bool = False
) -> Iterator[Cluster]:
    """Run a scheduler and workers of one thread each, until the context or this process ends.

    Call it from the main thread. All processes must be able to import imageset. Workers read settings from their
    environment or .env, as stages do.

    Args:
        home: folder for their logs.
        workers: number of workers.
        port: of the scheduler; 0 for any free port.
        environment: variables to add to those of this process.
        nannies: whether each worker has a nanny, which starts it again when it ends. Then the processes of the cluster
            are the nannies.

    Raises:
        ServerError: a process does not start.
    """
    home.mkdir(parents=True, exist_ok=True)
    found = home / "scheduler.json"
    found.unlink(missing_ok=True)
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", HOST, "--port", str(port), "--no-dashboard"]
    scheduler += ["--scheduler-file", str(found)]
    with ExitStack() as stack:
        log = home / "scheduler.log"
        served = stack.enter_context(run_child(scheduler, log, signal.SIGTERM, environment))
        wait_until_ready(partial(is_written, found), served, log)
        address = json.loads(found.read_text())["address"]
        worker = [*dask, "worker", address, "--host", HOST, "--nthreads", "1", "--no-dashboard"]
        worker += ["--nanny" if nannies else "--no-nanny", "--local-directory", str(home)]
        logs = [home / f"worker-{number}.log" for number in range(workers)]
        processes = [stack.enter_context(run_child(worker, log, signal.SIGTERM, environment)) for log in logs]
        for process, log in zip(processes, logs, strict=True):
            wait_until_ready(partial(is_registered, log), process, log)
        yield Cluster(address, processes, served)


def is_written(file: Path) -> bool:
    """Return whether the scheduler's file is there as a whole: the scheduler does not write it atomically."""
    try:
        return "address" in json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def is_registered(log: Path) -> bool:
    return "Registered to" in log.read_text()


def main() -> None:
    """Run a Dask cluster on this machine until Ctrl-C."""
    parser = argparse.ArgumentParser("python -m sandbox.cluster", description=main.__doc__)
    settings.load()
    parser.add_argument("--workers", type=int, default=settings.workers(), help="number of workers (one per core)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port of the scheduler ({PORT})")
    arguments = parser.parse_args()
    with running(HOME, arguments.workers, arguments.port, nannies=True) as cluster:
        print(
            f"A Dask cluster of {arguments.workers} workers. In another terminal: "
            f"`IMAGESET_DASK={cluster.address} dvc repro` sends ingest, masks, embed, preprocess, leakage and "
            "duplicates there. Ctrl-C ends it.",
            flush=True,
        )
        while True:
            signal.pause()


if __name__ == "__main__":
    command.run("sandbox", main)
