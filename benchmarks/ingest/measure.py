"""One run of one program, measured: its time, what the photo server saw of it, and the memory of all its processes."""

import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ingest.photo_server import HOST
from benchmarks.shared.measure import ROOT, cpu_of_children, started

SECONDS_BETWEEN_SAMPLES = 0.05
SAMPLES_PER_PSS = 5  # the kernel walks every page for it, and all of /proc for the list of processes


@dataclass(frozen=True)
class Run:
    """What a run took.

    wall: seconds from the start of the process to its end; fetching: from its first request to the last answer, as
    the photo server saw them; answered: from the start of the process to the last answer; cpu: seconds of processor
    time of all its processes. rss and pss: peaks in bytes of the sum over them, pages that they share counted once
    for each process (rss) or once (pss). at_once: the most requests that waited for their answers, summed over hosts.
    """

    wall: float
    fetching: float
    answered: float
    cpu: float
    rss: int
    pss: int
    requests: int
    at_once: int
    exit_code: int


@dataclass(frozen=True)
class PhotoServer:
    """A running photo server: one port a host."""

    ports: list[int]

    def ask(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{HOST}:{self.ports[0]}/{path}", timeout=10) as answer:
            body: bytes = answer.read()
        return body

    def counts(self) -> list[dict[str, Any]]:
        """Return the counts of each host that was asked at all."""
        return [counts for counts in json.loads(self.ask("counts")).values() if counts["requests"]]


@contextmanager
def photo_server(folder: Path, latency: float, hosts: int) -> Iterator[PhotoServer]:
    """Run benchmarks/ingest/photo_server.py until the context ends."""
    command = [sys.executable, "-m", "benchmarks.ingest.photo_server", str(folder), str(latency), str(hosts)]
    with started(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield PhotoServer(json.loads(child.stdout.readline()))


class MemorySampler(threading.Thread):
    """Sums the memory of a process and of all its descendants, again and again, and keeps the peaks."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.rss, self.pss, self.stopped = psutil.Process(root), 0, 0, threading.Event()

    def run(self) -> None:
        family: list[psutil.Process] = []
        samples = 0
        while not self.stopped.wait(SECONDS_BETWEEN_SAMPLES):
            if samples % SAMPLES_PER_PSS == 0:
                with contextlib.suppress(psutil.Error):
                    family = [self.root, *self.root.children(recursive=True)]
                self.pss = max(self.pss, total(family, "memory_full_info", "pss"))
            self.rss = max(self.rss, total(family, "memory_info", "rss"))
            samples += 1


def total(family: list[psutil.Process], call: str, field: str) -> int:
    """Return the sum of a figure over those that still run."""
    amount = 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            amount += getattr(getattr(member, call)(), field)
    return amount


def measure(
    command: list[str],
    environment: dict[str, str],
    folder: Path,
    log: Path,
    server: PhotoServer,
    seconds_at_most: float,
) -> Run:
    """Run a command in a folder until it ends, at most `seconds_at_most`. Its output goes to the log."""
    server.ask("reset")
    cpu_before = cpu_of_children()
    with log.open("wb") as output:
        begin = time.monotonic()
        with started(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT) as child:
            sampler = MemorySampler(child.pid)
            sampler.start()
            # In place of wait's own timeout, which looks at the child every 50 ms only.
            killer = threading.Timer(seconds_at_most, child.kill)
            killer.daemon = True  # or an interrupted benchmark would wait for it
            killer.start()
            child.wait()
            wall = time.monotonic() - begin
            killer.cancel()
            sampler.stopped.set()
            sampler.join()
    counts = server.counts()
    first = min((count["first"] for count in counts), default=begin)
    last = max((count["last"] for count in counts), default=begin)
    return Run(
        wall,
        last - first,
        last - begin,
        cpu_of_children() - cpu_before,
        sampler.rss,
        sampler.pss,
        sum(count["requests"] for count in counts),
        sum(count["most_waiting"] for count in counts),
        child.returncode,
    )
