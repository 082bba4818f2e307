"""Outputs and caches on a disk that is full, has no inode left, or is read-only."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.disks import PAGE, Disk, needs_mount, small_disk
from tests.faults.kills import Stage, require_none, require_undisturbed
from tests.faults.projects import copy, find_changed, find_stray, md5_of_outputs, read_outputs
from tests.faults.trials import Trials
from tests.project import Project

STAGES = ("audit", "masks", "embed", "preprocess", "build", "page", "report")  # those that write much
COLD = {"masks": "masks.sqlite", "embed": "embeddings.sqlite", "preprocess": "pixels.sqlite"}


def require_refusal(done: subprocess.CompletedProcess[str], stage: str, folder: str) -> None:
    """Check that a stage failed with one line, which names a file in the folder whose disk is at fault."""
    lines = [line for line in done.stderr.splitlines() if line and not line.endswith("left")]
    assert done.returncode == 1, (done.returncode, lines)
    assert lines[-1].startswith(f"{stage}: "), lines
    assert f"{folder}/" in lines[-1], lines
    assert "Traceback" not in done.stderr, lines


def require_old_outputs(trial: Project, project: Project, undisturbed: dict[str, str]) -> None:
    require_none("changed", find_changed(trial, undisturbed))
    require_none("stray", [name for name in find_stray(trial, project) if ".ballast" not in name])


def fill(free: float) -> Callable[[Disk, int], None]:
    """Return what leaves a share of a stage's outputs free, or that many pages less where it is negative."""
    return lambda disk, size: disk.leave(int(size * free) if free >= 0 else max(0, int(size + free * PAGE)))


FAULTS: dict[str, Callable[[Disk, int], None]] = {
    "nothing is free": fill(0),
    "half of the outputs' size is free": fill(0.5),
    "a page less than the outputs' size is free": fill(-1),
    "four pages less than the outputs' size are free": fill(-4),
    "no inode is free": lambda disk, size: disk.leave_no_inode(),
    "read-only": lambda disk, size: disk.make_read_only(),
}


@needs_mount
@pytest.mark.fault("Disk", "outputs on a full disk, without inodes, or read-only", "tmpfs")
def test_outputs_on_a_disk_that_takes_no_more(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    for stage in trials.choose(STAGES, sample=1):
        trial = copy(project, tmp_path / stage)
        command = Stage(stage).command(trial)
        folder = "reports" if stage == "report" else "data"
        size = sum((trial.folder / name).stat().st_size for name in read_outputs(trial.folder)[stage])
        with small_disk(trial.folder / folder) as disk:
            for fault in trials.choose(list(FAULTS), sample=2):
                FAULTS[fault](disk, size)
                done = trial.run(*command)
                if done.returncode == 0 and md5_of_outputs(trial) == undisturbed:
                    disk.make_room()  # outputs that are replaced one by one need less room: no fault, no trial
                    continue
                with trials.trial(f"{stage}: {fault}"):
                    require_refusal(done, stage, folder)
                    require_old_outputs(trial, project, undisturbed)
                disk.make_room()
            trial.succeed(*command)
            require_undisturbed(trial, project, undisturbed)


@needs_mount
@pytest.mark.fault("Disk", "a cache on a full or read-only disk", "tmpfs")
def test_a_cache_on_a_disk_that_takes_no_more(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    for stage in trials.choose(list(COLD), sample=1):
        trial = copy(project, tmp_path / stage)
        command = Stage(stage).command(trial)
        with small_disk(trial.folder / ".cache") as disk:
            for free in trials.choose([0, 4 * PAGE, 20 * PAGE, None], sample=1):
                (trial.folder / ".cache" / COLD[stage]).unlink(missing_ok=True)
                disk.leave(free) if free is not None else disk.make_read_only()
                done = trial.run(*command)
                with trials.trial(f"{stage}: {free} bytes of .cache are free"):
                    if done.returncode:
                        require_refusal(done, stage, ".cache")
                    require_none("changed", find_changed(trial, undisturbed))
                disk.make_room()
                trial.succeed(*command)
                require_undisturbed(trial, project, undisturbed)


@needs_mount
@pytest.mark.fault("Disk", "TMPDIR on a full or read-only disk", "tmpfs")
def test_tmpdir_on_a_disk_that_takes_no_more(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    """No stage needs room there: each puts what it needs for a while beside its outputs."""
    trial = copy(project, tmp_path)
    with small_disk(tmp_path / "tmp") as disk:
        for stage in trials.choose(("model", *STAGES), sample=1):
            disk.leave(0)
            done = trial.run(*Stage(stage).command(trial))
            with trials.trial(stage):
                assert done.returncode == 0, done.stderr
                require_none("changed", find_changed(trial, undisturbed))
            disk.make_room()
    require_undisturbed(trial, project, undisturbed)
