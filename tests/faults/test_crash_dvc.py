"""Kills of dvc: with all that it started, at drawn moments; push and pull at renames and fsyncs, too."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.kills import (
    LOG_OF_A_CACHE,
    RENAMES,
    Point,
    draw_points,
    list_points,
    needs_strace,
    require_none,
    run_and_kill,
)
from tests.faults.projects import copy, find_changed, find_damaged, find_half_files, find_orphans, find_stray
from tests.faults.trials import ALL, Trials
from tests.project import Project

STAGES = ("split", "ingest", "masks", "preprocess", "build", "report")
MOMENTS = 2  # of each command
RENAMES_DRAWN = 12  # of each command
SECONDS = 2.0  # in which they are drawn, one in each part of it: most commands have ended by then


def kill_group(project: Project, command: list[str], seconds: float) -> bool:
    """Run a command in a process group of its own and kill the group. Return False if it had ended before."""
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        time.sleep(seconds)
        ended = running.poll() is not None
        if not ended:
            os.killpg(running.pid, signal.SIGKILL)
    return not ended


def draw_moments(name: str) -> list[float]:
    """Return moments, the earliest first: no machine has ended by then."""
    drawn = random.Random(name)
    return [SECONDS * (part + drawn.uniform(0.4, 1)) / MOMENTS for part in range(MOMENTS)]


@pytest.mark.fault("Crash", "kill -9 of dvc repro with its stage", "signal to the group")
def test_kill_the_group_of_dvc_repro(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    trial = copy(project, tmp_path)
    cases = [(stage, moment) for stage in STAGES for moment in draw_moments(stage)]
    for stage, moment in trials.choose(cases, sample=1):
        if not kill_group(trial, ["dvc", "repro", "--force", "--single-item", "--no-run-cache", stage], moment):
            continue
        with trials.trial(f"{stage} after {moment:.1f} s"):
            require_none("orphans", find_orphans(trial))
            require_none("half files", find_half_files(trial, undisturbed))
            if "checking out outputs" in repeat_repro(trial):  # from DVC's cache, so that the stage did not run again
                trial.succeed("dvc", "repro", "--force", "--single-item", "--no-run-cache", stage)
            require_none("changed", find_changed(trial, undisturbed))
            stray = [name for name in find_stray(trial, project) if not LOG_OF_A_CACHE.fullmatch(name)]
            require_none("stray", stray)


def repeat_repro(trial: Project) -> str:
    """Run dvc repro again, and return what it printed.

    A dvc that was killed while it wrote dvc.lock leaves a part of it: git has the last one.
    """
    done = trial.run("dvc", "repro", "--no-run-cache")
    if "'./dvc.lock' validation failed" in done.stderr or "'./dvc.lock' is invalid" in done.stderr:
        trial.succeed("git", "checkout", "--", "dvc.lock")
        done = trial.run("dvc", "repro", "--no-run-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def repeat_pull(trial: Project) -> None:
    """Run dvc pull again. A dvc that was killed while it listed the files leaves a part of its list, and the next one
    fetches that part, fails, and forgets the list."""
    done = trial.run("dvc", "pull")
    if "Checkout failed for following targets" in done.stderr:
        done = trial.run("dvc", "pull")
    assert done.returncode == 0, done.stdout + done.stderr


def remove_data(project: Project, undisturbed: dict[str, str]) -> None:
    """Remove what dvc pull fetches, in DVC's cache and in the project."""
    for path in (project.folder / ".dvc/cache").glob("*"):
        shutil.rmtree(path)
    for name in undisturbed:
        if name.startswith(("data/", "models/")):
            (project.folder / name).unlink(missing_ok=True)


@pytest.mark.faults_only
@pytest.mark.fault("Crash", "kill -9 of dvc push", "signal to the group")
def test_kill_dvc_push(trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    url = trial.succeed("dvc", "config", "remote.storage.url").strip()
    for number, moment in enumerate(trials.choose(draw_moments("push"), sample=1)):
        empty = f"{url}/copy-push-{os.getpid()}-{number}"
        trial.succeed("dvc", "remote", "modify", "--local", "storage", "url", empty)
        if not kill_group(trial, ["dvc", "push"], moment):
            continue
        with trials.trial(f"after {moment:.1f} s"):
            require_none("orphans", find_orphans(trial))
            trial.succeed("dvc", "push")
            shutil.rmtree(trial.folder / ".dvc/cache")
            trial.succeed("dvc", "fetch")
            require_none("damaged", find_damaged(trial.folder / ".dvc/cache"))
            require_none("changed", find_changed(trial, undisturbed))


@pytest.mark.fault("Crash", "kill -9 of dvc pull", "signal to the group")
def test_kill_dvc_pull(trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    for moment in trials.choose(draw_moments("pull"), sample=1):
        remove_data(trial, undisturbed)
        if not kill_group(trial, ["dvc", "pull"], moment):
            continue
        with trials.trial(f"after {moment:.1f} s"):
            require_none("orphans", find_orphans(trial))
            repeat_pull(trial)
            require_none("changed", find_changed(trial, undisturbed))


def draw_renames(project: Project, command: list[str]) -> list[Point]:
    """Return renames and fsyncs of a command; for a sample, one that it makes in any case."""
    if not ALL:
        return [Point("rename", "the cache or the remote", 5)]
    return draw_points(list_points(project, command, RENAMES), command[1], RENAMES_DRAWN)


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Crash", "kill -9 of dvc pull at 12 drawn renames and fsyncs", "strace")
def test_kill_dvc_pull_at_drawn_renames(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    trial = copy(project, tmp_path)
    remove_data(trial, undisturbed)
    for point in draw_renames(trial, ["dvc", "pull"]):
        remove_data(trial, undisturbed)
        if not run_and_kill(trial, ["dvc", "pull"], point).injected:
            continue
        with trials.trial(str(point)):
            require_none("orphans", find_orphans(trial))
            require_none("damaged", find_damaged(trial.folder / ".dvc/cache"))
            require_none("half files", find_half_files(trial, undisturbed))
            repeat_pull(trial)
            require_none("changed", find_changed(trial, undisturbed))


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Crash", "kill -9 of dvc push to a folder at 12 drawn renames and fsyncs", "strace")
def test_kill_dvc_push_at_drawn_renames(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    trial = copy(project, tmp_path)
    remote = tmp_path / "remote"
    trial.succeed("dvc", "remote", "add", "--local", "disk", str(remote))
    command = ["dvc", "push", "--remote", "disk"]
    for point in draw_renames(trial, command):
        shutil.rmtree(remote, ignore_errors=True)
        if not run_and_kill(trial, command, point).injected:
            continue
        with trials.trial(str(point)):
            require_none("orphans", find_orphans(trial))
            require_none("damaged", find_damaged(remote))
            trial.succeed(*command)
            shutil.rmtree(trial.folder / ".dvc/cache")
            trial.succeed("dvc", "fetch", "--remote", "disk")
            require_none("damaged", find_damaged(trial.folder / ".dvc/cache"))
            require_none("changed", find_changed(trial, undisturbed))
