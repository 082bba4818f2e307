"""One run of one program, measured: its time, and the memory of its main process and of all."""

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from imageset.runtime import lifetime

ROOT = Path(__file__).resolve().parents[2]
SECONDS_BETWEEN_SAMPLES = 0.05
SAMPLES_PER_FAMILY = 5  # psutil reads all of /proc for the list of processes


class Memory(NamedTuple):
    """Bytes: resident memory, and the part of it that no file backs."""

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


@contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own. At the end of the context it is killed, with its children."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=partial(lifetime.die_with_parent, signal.SIGKILL),
        **options,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class Sampler(threading.Thread):
    """Samples the memory of a process and of its descendants, and keeps the peaks."""

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


def cpu_of_children() -> float:
    """Return the processor time of all children that ended, and of theirs, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
