"""Kill a program by SIGKILL at a system call of our choice. strace injects the signal before the call is made.

A first run under strace lists the calls: each is a point. The program is then run again and killed at one of them.
After each kill all that the program started has to end, and every output is absent or whole. After a group of kills,
each on what the one before left, the program runs without a fault and has to give the undisturbed md5 and nothing else.
"""

import os
import random
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
import yaml

from tests.faults.projects import copy, find_changed, find_half_files, find_orphans, find_stray, read_outputs
from tests.faults.trials import Trials
from tests.project import Project

RENAMES = ("rename", "renameat", "renameat2", "fsync", "fdatasync")
WRITES = ("write", "writev", "pwrite64", "pwritev", "ftruncate", "fallocate", "sendfile", "copy_file_range", "unlink")
BY_NAME = ("rename", "unlink")  # calls that name their files by paths
DRAWN = 30  # writes of a stage
GROUPS = "strace; four kills, one after the other, then the same command: the md5"
PROBE_OF_PYTHON = "blat"  # tempfile writes this word to a file in TMPDIR to see whether it may, and removes it at once
TEMPORARY = re.compile(r"(^|/)\.[^/]+\.tmp(/.*)?$|\.sqlite-(wal|shm|journal)$")  # until the next run
RANDOM = re.compile(r"\.[\w-]{22}\.tmp$|/tmp\w+$|/tmp_obj_\w+$")  # names of DVC, Python and git
LOG_OF_A_CACHE = re.compile(r"\.cache/.+\.sqlite-(wal|shm)")

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
prefixes = count()


@dataclass(frozen=True)
class Point:
    """A system call of a program.

    Attributes:
        call: such as "fsync".
        path: of its file.
        number: it is so many'th of the calls of a thread on this path. Renames and removals are counted on all paths:
            strace does not know the last path of these.
        source: the first path of a rename, where it is counted by that.
    """

    call: str
    path: str
    number: int
    source: str = ""

    def __str__(self) -> str:
        return f"{self.call} {self.number} of {Path(self.path).name}"

    @property
    def has_name(self) -> bool:
        """Whether its file has one: strace shows another as `/#123`, and cannot wait for it."""
        return "/#" not in self.path


@dataclass(frozen=True)
class Killed:
    """How a run under strace ended: its exit code, whether a process of it was killed, and what it printed."""

    code: int
    injected: bool
    printed: str


def list_points(project: Project, command: Sequence[str], calls: Sequence[str], by_source: bool = False) -> list[Point]:
    """Run a command undisturbed, and return its calls on files of the project or its TMPDIR, in order.

    Args:
        project: where it runs.
        command: with all that it starts.
        calls: such as RENAMES.
        by_source: count renames by their first path, unless a part of that is random. Of a command with several
            processes, the first one with so many renames would be killed else.
    """
    folder = project.folder.parent
    log = folder / "strace.log"
    project.succeed("strace", "-f", "-y", "-qq", "--seccomp-bpf", "-o", str(log), "-e", trace(calls), *command)
    points, seen = [], Counter[tuple[str, str, str]]()
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\((.*)", line)
        if match is None or f'"{PROBE_OF_PYTHON}"' in line:
            continue
        thread, call, arguments = match.groups()
        path, source = path_of(call, arguments), source_of(call, arguments) if by_source else ""
        counted = thread, call, source if call.startswith(BY_NAME) else path
        seen[counted] += 1
        if path and (not path.startswith("/") or path.startswith(str(folder))):
            points.append(Point(call, path, seen[counted], source))
    return list(dict.fromkeys(points))


def path_of(call: str, arguments: str) -> str:
    """Return the file of a call as strace -y shows it: that of the first descriptor, or the last path.

    >>> path_of("write", '4</a/.split.csv.tmp>, "text", 4) = 4')
    '/a/.split.csv.tmp'
    >>> path_of("rename", '"data/.split.csv.tmp", "data/split.csv") = 0')
    'data/split.csv'
    """
    if call.startswith(BY_NAME):
        return str(re.findall(r'"([^"]*)"', arguments)[-1])
    found = re.match(r"\d+<(/[^>]*)>", arguments)
    return found[1] if found and not found[1].startswith("/dev/") else ""


def source_of(call: str, arguments: str) -> str:
    """Return the first path of a rename, "" if a part of it is random.

    >>> source_of("rename", '".git/index.lock", ".git/index") = 0')
    '.git/index.lock'
    >>> source_of("rename", '"a/.5yJVZuJtnbDW9kR8hKGYZT.tmp", "a/b") = 0')
    ''
    """
    found = re.search(r'"([^"]*)"', arguments) if call == "rename" else None
    return found[1] if found and not RANDOM.search(found[1]) else ""


def trace(calls: Sequence[str]) -> str:
    return "trace=" + ",".join(f"?{call}" for call in calls)  # "?": not every machine has every call


def run_and_kill(project: Project, command: Sequence[str], point: Point) -> Killed:
    """Run a command, and kill it at a point."""
    return inject(project, command, point, f"inject={point.call}:signal=SIGKILL:when={point.number}")


def inject(project: Project, command: Sequence[str], point: Point, fault: str) -> Killed:
    """Run a command with a fault of strace's at the calls on a path."""
    log = project.folder.parent / "inject.log"
    # No --seccomp-bpf, which is faster: with it, strace injects no signal.
    named = point.source if point.call.startswith(BY_NAME) else point.path
    path = ["-P", named] if named else []
    strace = ["strace", "-f", "-q", "-o", str(log), *path, "-e", f"trace={point.call}"]
    done = project.run(*strace, "-e", fault, *command)
    text = log.read_text(errors="replace")
    return Killed(done.returncode, "killed by SIGKILL" in text or "(INJECTED)" in text, done.stdout + done.stderr)


@dataclass(frozen=True)
class Stage:
    """A stage that is killed.

    Attributes:
        name: its name in dvc.yaml.
        cold: files of the cache that are removed before each group of kills, so that all is made anew.
        empty_bucket: each group of kills begins with an empty bucket.
    """

    name: str
    cold: tuple[str, ...] = ()
    empty_bucket: bool = False

    def __str__(self) -> str:
        return f"{self.name}{' anew' if self.cold else ''}"

    def command(self, project: Project) -> list[str]:
        stages = yaml.load((project.folder / "dvc.yaml").read_text(), yaml.CSafeLoader)["stages"]
        return shlex.split(stages[self.name]["cmd"])[1:]  # without `exec`

    def prepare(self, project: Project) -> Project:
        """Remove what the stage is to make anew, and return the project as its next runs see it."""
        for name in self.cold:
            (project.folder / ".cache" / name).unlink(missing_ok=True)
        if not self.empty_bucket:
            return project
        url = f"{project.environment['IMAGE_STORE'].partition('-empty-')[0]}-empty-{os.getpid()}-{next(prefixes)}"
        return replace(project, environment=project.environment | {"IMAGE_STORE": url})


def draw_points(points: list[Point], name: str, number: int = DRAWN) -> list[Point]:
    """Return so many of the points, in their order, the same each time."""
    points = [point for point in points if point.has_name]
    drawn = random.Random(name).sample(range(len(points)), min(number, len(points)))
    return [points[place] for place in sorted(drawn)]


def kill_stages(
    trials: Trials,
    project: Project,
    undisturbed: dict[str, str],
    folder: Path,
    stages: Sequence[Stage],
    calls: Sequence[str],
    kills_before_a_run: int,
) -> None:
    """Kill each stage at the points of some calls: at all of RENAMES, at DRAWN of WRITES.

    Args:
        trials: counts each kill. Where the run after a group of kills is wrong, each kill of the group has failed.
        project: the session's.
        undisturbed: the md5 of its outputs.
        folder: an empty folder.
        stages: to be killed.
        calls: RENAMES or WRITES.
        kills_before_a_run: so many kills follow each other, then the stage runs without a fault.
    """
    missed = []
    for stage in trials.choose(stages, sample=1):
        trial = copy(project, folder / str(stage))
        command = stage.command(trial)
        points = list_points(stage.prepare(trial), command, calls)
        points = points if calls == RENAMES else draw_points(points, str(stage))
        chosen = trials.choose(points, sample=2)
        for first in range(0, len(chosen), kills_before_a_run):
            group = chosen[first : first + kills_before_a_run]
            trial, made = stage.prepare(trial), []
            for point in group:
                trial, at, killed = kill_at(trial, stage, command, point)
                if not killed.injected:
                    missed.append(f"{stage}: {point}")
                    continue
                with trials.trial(f"{stage}: {at}") as name:
                    made.append(name)
                    require_no_harm(trial, project, undisturbed, killed)
            with trials.charge(*made):
                trial.succeed(*command)
                require_undisturbed(trial, project, undisturbed)
    assert len(missed) <= trials.trials // 20, missed


def kill_at(trial: Project, stage: Stage, command: list[str], point: Point) -> tuple[Project, Point, Killed]:
    """Run a stage and kill it at a point. Return the project as its next runs see it, and where the stage was killed.

    What the kills before have left may spare this call. Or the cache had less to commit: it commits by time, so a
    quicker run has fewer writes, and an earlier one of this file is taken.
    """
    remove_outputs_at_times(trial, stage, point)
    at, killed = point, run_and_kill(trial, command, point)
    for number in (point.number, (point.number + 1) // 2) if stage.cold else ():
        if killed.injected:
            break
        trial, at = stage.prepare(trial), replace(point, number=number)
        remove_outputs_at_times(trial, stage, at)
        killed = run_and_kill(trial, command, at)
    return trial, at, killed


def remove_outputs_at_times(trial: Project, stage: Stage, point: Point) -> None:
    """Remove a stage's outputs at every other point, as dvc does before it runs a stage; a person leaves them."""
    if point.number % 2:
        for name in read_outputs(trial.folder)[stage.name]:
            (trial.folder / name).unlink(missing_ok=True)


def require_no_harm(trial: Project, source: Project, undisturbed: dict[str, str], killed: Killed) -> None:
    """Check what a kill left: outputs are absent or whole, no process goes on, only fixed temporary names are new."""
    assert "Traceback" not in killed.printed, killed.printed
    require_none("orphans", find_orphans(trial))
    require_none("half files", find_half_files(trial, undisturbed))
    require_none("stray", [name for name in find_stray(trial, source) if not TEMPORARY.search(name)])


def require_undisturbed(trial: Project, source: Project, undisturbed: dict[str, str]) -> None:
    """Check that all is as after a run without a fault. Committed rows in a cache's log are no stray files: SQLite
    moves them when somebody opens the cache, which this run may not have done."""
    require_none("changed", find_changed(trial, undisturbed))
    require_none("stray", [name for name in find_stray(trial, source) if not LOG_OF_A_CACHE.fullmatch(name)])
    require_none("orphans", find_orphans(trial))


def require_none(what: str, found: list[str]) -> None:
    assert not found, f"{what}: {', '.join(found)}"
