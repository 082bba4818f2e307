"""One run of one program, measured: its time, and the memory of its main process and of all."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.ingest.measure import ROOT, cpu_of_children, started

SECONDS_BETWEEN_SAMPLES = 0.05
SAMPLES_PER_FAMILY = 5  # psutil reads all of /proc for the list of processes


class Memory(NamedTuple):
    """Bytes: all that is resident, and of it what no file backs."""

    rss: int
    anonymous: int


@dataclass(frozen=True)
class Run:
    """Seconds from a program's start to its end, processor time of all its processes, peaks of the memory of its main
    process and of the sum over all, and what it printed last."""

    wall: float
    cpu: float
    main: Memory
    everybody: Memory
    said: str


class Sampler(threading.Thread):
    """Looks at the memory of a process and of its descendants again and again, and keeps the peaks."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.stopped = psutil.Process(root), threading.Event()
        self.main = self.everybody = Memory(0, 0)

    def run(self) -> None:
        family: list[psutil.Process] = []
        samples = 0
        while not self.stopped.wait(SECONDS_BETWEEN_SAMPLES):
            if samples % SAMPLES_PER_FAMILY == 0 and self.root.is_running():
                family = self.root.children(recursive=True)
            each = [memory(member.pid) for member in (self.root, *family)]
            self.main = Memory(*map(max, self.main, each[0]))
            self.everybody = Memory(*map(max, self.everybody, map(sum, zip(*each, strict=True))))
            samples += 1


def memory(process_id: int) -> Memory:
    """Return what a process holds, nothing when it has ended."""
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return Memory(0, 0)
    fields = dict(line.split(":", 1) for line in lines)
    return Memory(*(int(fields.get(name, "0 kB").split()[0]) << 10 for name in ("VmRSS", "RssAnon")))


def measure(command: list[str], folder: Path, settings: Mapping[str, str]) -> Run:
    """Run a command in a folder to its end. Ends the benchmark when it fails."""
    log = folder / "log"
    # NUMBA_DISABLE_JIT: rembg's first import would compile for 48 s what nobody here uses.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1", **settings}
    before = cpu_of_children()
    with log.open("wb") as output:
        begin = time.monotonic()
        with started(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT) as child:
            sampler = Sampler(child.pid)
            sampler.start()
            child.wait()
            wall = time.monotonic() - begin
            sampler.stopped.set()
            sampler.join()
    said = log.read_text(errors="replace").strip()
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{said[-2000:]}")
    return Run(wall, cpu_of_children() - before, sampler.main, sampler.everybody, said.rpartition("\n")[2])
