"""Disks that fail: a call that the disk refuses once, and one that a signal interrupts."""

from pathlib import Path

import pytest

from tests.faults.kills import RENAMES, WRITES, Point, Stage, inject, list_points, needs_strace, require_undisturbed
from tests.faults.projects import copy
from tests.faults.trials import Trials
from tests.project import Project

# Stages that write each kind of file: HDF5 by libraries that hide errors, tables, pictures, text, copies of weights.
STAGES = (Stage("audit"), Stage("build"), Stage("embed"), Stage("preprocess"), Stage("report"), Stage("model"))
HARMLESS = (".lock", "rates.jsonl")  # a stage goes on without them


def list_output_points(trial: Project, stage: Stage) -> list[Point]:
    """Return the calls that write a stage's outputs and name them. strace finds no file without a name (`/#123`)."""
    points = list_points(trial, stage.command(trial), ("write", "pwrite64", "sendfile", *RENAMES))
    named = [point for point in points if point.has_name and ".sqlite" not in point.path]
    return [point for point in named if not point.path.endswith(HARMLESS)]


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Disk", "a write, fsync or rename of an output fails once (EIO)", "strace")
def test_a_call_that_fails(trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    for stage in trials.choose(STAGES, sample=1):
        trial = copy(project, tmp_path / stage.name)
        command = stage.command(trial)
        points = list_output_points(trial, stage)
        for point in trials.choose(points[:: max(1, len(points) // 20)], sample=3):
            done = inject(trial, command, point, f"inject={point.call}:error=EIO:when={point.number}")
            assert done.injected, (point, done)
            with trials.trial(f"{stage}: {point}"):
                if point.call == "sendfile" and done.code == 0:  # Python then copies the file in another way
                    require_undisturbed(trial, project, undisturbed)
                    continue
                lines = [line for line in done.printed.splitlines() if line and not line.endswith("left")]
                name = Path(point.path).name.removeprefix(".").removesuffix(".tmp")
                assert done.code == 1, (done.code, lines)
                assert lines[-1].startswith(f"{stage.name}: "), lines
                assert "its disk fails" in lines[-1], lines
                assert name in lines[-1] or f"{name}/" in lines[-1], lines
                assert "Traceback" not in done.printed, lines
                require_undisturbed(trial, project, undisturbed)  # the old outputs; nothing stray
        trial.succeed(*command)
        require_undisturbed(trial, project, undisturbed)


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Disk", "each other write of an output is interrupted (EINTR)", "strace")
def test_calls_that_are_interrupted(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    for stage in trials.choose(STAGES, sample=1):
        trial = copy(project, tmp_path / stage.name)
        command = stage.command(trial)
        written = {point.path: point for point in list_output_points(trial, stage) if point.call in WRITES}
        for point in trials.choose(list(written.values()), sample=1):
            done = inject(trial, command, point, f"inject={point.call}:error=EINTR:when=1+2")
            assert done.injected, (point, done)
            with trials.trial(f"{stage}: {point}"):
                assert done.code == 0, done.printed
                require_undisturbed(trial, project, undisturbed)
