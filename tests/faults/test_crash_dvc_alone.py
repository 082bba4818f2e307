"""Kills of dvc alone, while a stage that it started runs: the stage ends by itself."""

import ctypes
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.kills import LOG_OF_A_CACHE, require_none
from tests.faults.projects import (
    copy,
    find_changed,
    find_half_files,
    find_orphans,
    find_stray,
    md5_of_outputs,
    processes_of,
)
from tests.faults.trials import Trials
from tests.project import Project, command_line

STAGES = ("split", "ingest", "masks", "embed", "preprocess", "build", "report")
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
MOMENTS = 2  # of each stage
SECONDS = 1.5  # after the stage's start, in which they are drawn


def find_stage(project: Project, stage: str) -> psutil.Process | None:
    """Return the stage's process, or the shell that is about to become it."""
    found = [each for each in processes_of(project) if f"stages.{stage}" in " ".join(command_line(each))]
    return min(found, key=lambda process: process.pid, default=None)


def kill_dvc(project: Project, stage: str, seconds: float) -> set[str] | None:
    """Kill dvc so many seconds after its stage has started; the stage is stopped meanwhile.

    Returns:
        The stage's outputs that were there as dvc was killed. None if the stage had ended before.
    """
    command = ["dvc", "repro", "--force", "--single-item", "--no-run-cache", stage]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=quiet, stderr=quiet) as dvc:
        while (process := find_stage(project, stage)) is None and dvc.poll() is None:
            time.sleep(0.01)
        time.sleep(seconds)
        if process is None or dvc.poll() is not None:
            return None
        try:
            process.suspend()
        except psutil.NoSuchProcess:
            return None
        there = set(md5_of_outputs(project, stage))
        dvc.kill()
        dvc.wait()
        process.resume()
    return there


@pytest.fixture
def adopt_orphans() -> Iterator[None]:
    """Make this process the new parent of orphans, as a container's first process is. It is of their session."""
    set_option = ctypes.CDLL(None).prctl
    set_option(PR_SET_CHILD_SUBREAPER, 1)
    yield
    set_option(PR_SET_CHILD_SUBREAPER, 0)


@pytest.mark.usefixtures("adopt_orphans")
@pytest.mark.fault("Crash", "kill -9 of dvc repro alone: its stage ends, too", "signal")
def test_kill_dvc_alone(trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    drawn = random.Random(0)
    cases = [(stage, 0.0) for stage in STAGES]  # before Python runs, which then asks whether its parent is there
    cases += [(stage, drawn.uniform(0, SECONDS)) for stage in STAGES for _ in range(MOMENTS)]
    for stage, moment in trials.choose(cases, sample=2):
        there = kill_dvc(trial, stage, moment)
        if there is None:
            continue
        with trials.trial(f"{stage} after {moment:.1f} s"):
            require_none("orphans", find_orphans(trial))
            require_none("made by a stage without dvc", sorted(set(md5_of_outputs(trial, stage)) - there))
            require_none("half files", find_half_files(trial, undisturbed))
            trial.succeed("dvc", "repro", "--no-run-cache")
            require_none("changed", find_changed(trial, undisturbed))
            stray = [name for name in find_stray(trial, project) if not LOG_OF_A_CACHE.fullmatch(name)]
            require_none("stray", stray)
