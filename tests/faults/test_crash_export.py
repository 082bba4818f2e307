"""Kills of tools.export in each format: the destination is absent or complete, and the next run completes it."""

from pathlib import Path

import pytest

from imageset.runtime import files
from tests.faults.kills import RENAMES, WRITES, draw_points, list_points, needs_strace, require_none, run_and_kill
from tests.faults.projects import copy, find_changed, find_orphans, find_stray
from tests.faults.trials import Trials
from tests.project import Project
from tools.export.format import FORMATS

DRAWN = 12  # writes of each format


def read_export(folder: Path) -> dict[str, str]:
    """Return the md5 of each file of an export, none if there is no export."""
    return {str(path.relative_to(folder)): files.md5(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def kill_exports(
    trials: Trials, project: Project, undisturbed: dict[str, str], folder: Path, calls: tuple[str, ...]
) -> None:
    for name in trials.choose(sorted(FORMATS), sample=1):
        trial = copy(project, folder / name)
        destination = trial.folder / "exports" / name
        command = ["python", "-m", "tools.export", "--to", name, f"exports/{name}"]
        points = list_points(trial, command, calls)
        complete = read_export(destination)
        assert complete
        for point in trials.choose(points if calls == RENAMES else draw_points(points, name, DRAWN), sample=2):
            trial.succeed("rm", "-r", "exports")
            killed = run_and_kill(trial, command, point)
            if not killed.injected:
                trial.succeed("mkdir", "-p", "exports")
                continue
            with trials.trial(f"{name}: {point}"):
                require_none("orphans", find_orphans(trial))
                assert "Traceback" not in killed.printed, killed.printed
                assert read_export(destination) in ({}, complete), "half an export"
                trial.succeed(*command)
                assert read_export(destination) == complete
                require_none("changed", find_changed(trial, undisturbed))
                stray = [each for each in find_stray(trial, project) if not each.startswith(f"exports/{name}/")]
                require_none("stray", stray)
            (trial.folder / "exports").mkdir(exist_ok=True)


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Crash", "kill -9 of tools.export, each format, at each rename and fsync", "strace")
def test_kill_export_at_each_rename_and_fsync(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    kill_exports(trials, project, undisturbed, tmp_path, RENAMES)


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Crash", "kill -9 of tools.export, each format, at 12 drawn writes", "strace")
def test_kill_export_at_drawn_writes(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    kill_exports(trials, project, undisturbed, tmp_path, WRITES)
