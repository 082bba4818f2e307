"""A project of its own for so many photos, with its marketplace and servers, in which stages run one by one."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from benchmarks.growth import marketplace, photo_host
from benchmarks.growth.watch import Watch, count_bytes, measure_servers
from benchmarks.near_duplicates.photos import read_originals
from benchmarks.shared.measure import ROOT, cpu_of_children, started
from imageset.runtime import files, settings
from sandbox import ports, servers
from tests import planted

CHANGES: dict[str, dict[str, Any]] = {
    "masks": {"background": "keep"},
    "preprocess": {"image_side": 64},
    "augment": {"copies": 1},
    "source": {"photos_per_listing": marketplace.MOST_PHOTOS},
}
OUTPUTS = ("outs", "metrics", "plots")


@dataclass
class StageFigures:
    """What a stage took; processor time with all its processes, bytes on disk, memory in bytes.

    seconds, cpu: of the stage. dvc_seconds, dvc_cpu: of `dvc repro` besides the stage. servers: processor seconds of
    each server meanwhile. outputs: what it wrote. cached: by how much imageset's caches grew. dvc_cached: by how much
    DVC's cache grew. temporary: the most that it had on disk besides these. load: of the machine before. continued:
    whether a killed run had done part of it.
    """

    stage: str
    seconds: float
    cpu: float
    dvc_seconds: float
    dvc_cpu: float
    pss: int
    anonymous: int
    outputs: int
    cached: int
    dvc_cached: int
    temporary: int
    load: float
    continued: bool
    servers: dict[str, float] = field(default_factory=dict)


class Project:
    """A copy of this repository's files, and where its marketplace is. `home` also has what was measured."""

    def __init__(self, home: Path, photos: int) -> None:
        self.home, self.photos = home, photos
        self.folder, self.cache, self.temporary = home / "project", home / "cache", home / "tmp"
        self.notes = home / "stages.jsonl"

    def make(self, thumbnails: Path) -> None:
        """Copy the files that git knows or would take, with params.yaml changed, to a new repository."""
        shutil.rmtree(self.home, ignore_errors=True)
        for folder in (self.folder, self.cache, self.temporary):
            folder.mkdir(parents=True)
        shutil.copy(thumbnails, self.home / "thumbnails.npy")
        listed = capture(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").split("\n")
        for name in filter(None, listed):
            if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("reports/"):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name)
        path = self.folder / "params.yaml"
        chosen = yaml.safe_load(path.read_text(encoding="utf-8"))
        for section, values in CHANGES.items():
            chosen[section] |= values
        path.write_text(yaml.safe_dump(chosen, sort_keys=False), encoding="utf-8")
        capture(self.folder, "git", "init", "--quiet")
        commit = capture(ROOT, "git", "describe", "--always", "--dirty").strip()
        files.write_text(self.home / "commit", commit)

    @property
    def is_made(self) -> bool:
        return (self.home / "commit").exists()

    @property
    def is_finished(self) -> bool:
        return (self.home / "finished").exists()

    def finish(self, keep: bool) -> None:
        """Note that all stages have figures, and remove all else unless it is to be kept."""
        (self.home / "finished").touch()
        if not keep:
            for folder in (self.folder, self.cache, self.temporary, self.home / "sandbox"):
                shutil.rmtree(folder)
            (self.home / "photos.pack").unlink()

    @property
    def stages(self) -> dict[str, Any]:
        """The stages of dvc.yaml, in its order."""
        return dict(yaml.safe_load((self.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"])

    def read_notes(self) -> list[dict[str, Any]]:
        """Return what was noted: {"begun": stage} or the figures of a stage. A line that was cut off is left out."""
        lines = self.notes.read_text(encoding="utf-8").splitlines(keepends=True) if self.notes.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def note(self, **values: Any) -> None:
        cut_off = self.notes.exists() and not self.notes.read_text(encoding="utf-8").endswith("\n")
        with self.notes.open("a", encoding="utf-8") as file:
            file.write(("\n" if cut_off else "") + json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def figures(self) -> dict[str, StageFigures]:
        return {note["stage"]: StageFigures(**note) for note in self.read_notes() if "stage" in note}

    @contextmanager
    def running(self) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
        """Run the servers with the marketplace, which is made first. Yield the environment and the servers' ids."""
        with ExitStack() as stack:
            sandbox = stack.enter_context(servers.running(self.home / "sandbox"))
            port = self.choose_port()
            url = f"http://{photo_host.HOST}:{port}"
            pack = self.home / "photos.pack"
            if not (self.home / "filled").exists():
                database = sandbox.environment["DATABASE_URL"]
                thumbnails = self.home / "thumbnails.npy"
                marketplace.fill(database, url, pack, thumbnails, self.photos, settings.workers())
                (self.home / "filled").touch()
            command = [sys.executable, "-m", "benchmarks.growth.photo_host", str(pack), str(port)]
            host = stack.enter_context(started(command, cwd=ROOT, stdout=subprocess.PIPE))
            assert host.stdout is not None
            if host.stdout.readline() != b"ready\n":
                raise SystemExit(f"the photo host did not start on port {port}")
            yield self.make_environment(sandbox.environment, port), {"photo host": host.pid, **find_servers()}

    def choose_port(self) -> int:
        """Return the port of the photo host: of all runs the same, as rows of the database name it."""
        path = self.home / "port"
        if not path.exists():
            port = next(port for port in iter(lambda: 12_000 + secrets.randbelow(10_000), 0) if ports.is_free(port))
            files.write_text(path, str(port))
        return int(path.read_text(encoding="ascii"))

    def make_environment(self, sandbox: dict[str, str], port: int) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {
            **os.environ,
            **sandbox,
            "PATH": path,
            "IMAGESET_ALLOWED_HOSTS": f"{photo_host.HOST}:{port}",
            "IMAGESET_CACHE": str(self.cache),
            "TMPDIR": str(self.temporary),
        }

    def run_stage(self, stage: str, environment: dict[str, str], server_ids: dict[str, int]) -> StageFigures:
        """Run a stage by DVC and note what it took. Ends the benchmark when it fails."""
        continued = {"begun": stage} in self.read_notes()
        self.note(begun=stage)
        folders = (self.folder / "data", self.folder / "models", self.folder / "reports", self.cache, self.temporary)
        dvc_cache = self.folder / ".dvc/cache"
        before = [count_bytes(*folders), count_bytes(self.cache), count_bytes(dvc_cache)]
        load, cpu, begin, of_servers = (
            os.getloadavg()[0],
            cpu_of_children(),
            time.monotonic(),
            measure_servers(server_ids),
        )
        command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
        log = self.home / "log"
        with (
            log.open("wb") as output,
            started(command, cwd=self.folder, env=environment, stdout=output, stderr=subprocess.STDOUT) as child,
        ):
            watch = Watch(child.pid, stage, folders)
            watch.start()
            child.wait()
            seconds = time.monotonic() - begin
            watch.stopped.set()
            watch.join()
        if child.returncode != 0:
            raise SystemExit(f"stage {stage} failed:\n{log.read_text(errors='replace')[-3000:]}")
        cpu = cpu_of_children() - cpu
        after = [count_bytes(*folders), count_bytes(self.cache), count_bytes(dvc_cache)]
        figures = StageFigures(
            stage=stage,
            seconds=watch.seconds,
            cpu=watch.cpu,
            dvc_seconds=seconds - watch.seconds,
            dvc_cpu=cpu - watch.cpu,
            pss=watch.memory.pss,
            anonymous=watch.memory.anonymous,
            outputs=self.count_outputs(stage),
            cached=after[1] - before[1],
            dvc_cached=after[2] - before[2],
            temporary=max(0, watch.disk - after[0]),
            load=load,
            continued=continued,
            servers=of_servers(),
        )
        self.note(**asdict(figures))
        return figures

    def count_outputs(self, stage: str) -> int:
        """Return the bytes on disk of a stage's outputs."""
        listed = [out for kind in OUTPUTS for out in self.stages[stage].get(kind, [])]
        names = [next(iter(out)) if isinstance(out, dict) else out for out in listed]
        return sum((self.folder / name).stat().st_blocks * 512 for name in names)


def find_servers() -> dict[str, int]:
    """Return the process ids of this process's PostgreSQL and S3 server."""
    names = {"postgres": "PostgreSQL", "weed": "S3 server"}
    return {names[child.name()]: child.pid for child in psutil.Process().children() if child.name() in names}


def make_thumbnails(path: Path, folder: Path, count: int) -> None:
    """Write the thumbnails of some photos of a folder, or of drawn ones where there is none: uint8 (R, 64, 64)."""
    bodies = read_originals(folder, count).bodies
    np.save(path, np.stack([planted.prepared(body).thumbnail[..., 0] for body in bodies]))


def capture(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
