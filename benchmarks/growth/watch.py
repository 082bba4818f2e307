"""What a stage takes while DVC runs it: seconds, processor time, memory of all its processes, bytes on disk."""

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

SECONDS_BETWEEN_LOOKS = 0.05
LOOKS_PER_SAMPLE = 5  # the kernel goes through all pages of a process to say its PSS
SAMPLES_PER_SCAN = 8  # of folders
BYTES_PER_BLOCK = 512  # of st_blocks


class Memory(NamedTuple):
    """Bytes of processes together: PSS, where a page that n processes share counts 1 / n for each, and the part of it
    that no file backs."""

    pss: int
    anonymous: int


class Watch(threading.Thread):
    """Watches the child of a process that runs a stage.

    Attributes:
        seconds: from the stage's first sight to its last.
        cpu: processor seconds of the stage with all its processes.
        memory: peak of all its processes together.
        disk: peak of the bytes in `folders` and in files without a name that the stage has open.
    """

    def __init__(self, dvc: int, stage: str, folders: Iterable[Path]) -> None:
        super().__init__(daemon=True)
        self.dvc, self.words, self.folders = psutil.Process(dvc), f"stages.{stage} ", list(folders)
        self.stopped = threading.Event()
        self.first = self.last = self.cpu = 0.0
        self.memory, self.disk = Memory(0, 0), 0

    @property
    def seconds(self) -> float:
        return self.last - self.first

    def run(self) -> None:
        stage: psutil.Process | None = None
        looks = 0
        while not self.stopped.wait(SECONDS_BETWEEN_LOOKS):
            with contextlib.suppress(psutil.NoSuchProcess):
                stage = stage or self.find_stage()
                if stage and stage.is_running() and stage.status() != psutil.STATUS_ZOMBIE:
                    self.last = time.monotonic()
                    self.first = self.first or self.last
                    if looks % LOOKS_PER_SAMPLE == 0:
                        self.sample(stage, scan=looks % (LOOKS_PER_SAMPLE * SAMPLES_PER_SCAN) == 0)
                    looks += 1

    def find_stage(self) -> psutil.Process | None:
        return next((child for child in self.dvc.children() if self.words in " ".join(child.cmdline())), None)

    def sample(self, stage: psutil.Process, scan: bool) -> None:
        family = [stage, *stage.children(recursive=True)]
        self.cpu = max(self.cpu, sum(map(processor_seconds, family)))
        each = [read_memory(member.pid) for member in family]
        self.memory = Memory(*map(max, self.memory, map(sum, zip(*each, strict=True))))
        if scan:
            unnamed = {file for member in family for file in find_unnamed_files(member.pid)}
            self.disk = max(self.disk, count_bytes(*self.folders) + sum(size for _, size in unnamed))


def processor_seconds(process: psutil.Process) -> float:
    """Return the processor time of a process and of its children that have ended, 0 when it has ended itself."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def read_memory(process_id: int) -> Memory:
    """Return what a process holds, nothing when it has ended."""
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return Memory(0, 0)
    fields = dict(line.split(":", 1) for line in lines)
    return Memory(*(int(fields.get(name, "0 kB").split()[0]) << 10 for name in ("Pss", "Pss_Anon")))


def find_unnamed_files(process_id: int) -> list[tuple[int, int]]:
    """Return inode and bytes of the files that a process has open and that have no name any more."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
            with contextlib.suppress(OSError):
                state = descriptor.stat()
                if stat.S_ISREG(state.st_mode) and not state.st_nlink:
                    found.append((state.st_ino, state.st_blocks * BYTES_PER_BLOCK))
    return found


def count_bytes(*folders: Path) -> int:
    """Return the bytes on disk of all files in folders; a file that comes or goes meanwhile may count or not."""
    total = 0
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    total += os.lstat(os.path.join(parent, name)).st_blocks * BYTES_PER_BLOCK
    return total


def family_seconds(process_id: int) -> float:
    """Return the processor time of a process and all its descendants."""
    process = psutil.Process(process_id)
    return sum(map(processor_seconds, [process, *process.children(recursive=True)]))


def measure_servers(servers: dict[str, int]) -> Callable[[], dict[str, float]]:
    """Return a function that says the processor seconds of each server since now. servers: process ids."""
    before = {name: family_seconds(process_id) for name, process_id in servers.items()}
    return lambda: {name: family_seconds(process_id) - before[name] for name, process_id in servers.items()}
