"""Kills of tools.release and of all that it starts: what it says then leads to the same release."""

import os
import shutil
from pathlib import Path

import pytest

from imageset.runtime import files
from sandbox.s3 import open_client
from tests.faults.kills import RENAMES, Point, draw_points, list_points, needs_strace, require_none, run_and_kill
from tests.faults.projects import copy, find_changed, find_half_files, find_orphans
from tests.faults.trials import ALL, Trials
from tests.project import Project
from tests.tools.test_release import AUTHOR, commands
from tools.release import LABEL_MAP, SPLIT, UNDO

DRAWN = 12  # calls of dvc and its stages; git makes none
TAG = "dataset@v1.0.0"
COMMAND = ("python", "-m", "tools.release", "v1.0.0")
TABLES = (SPLIT, LABEL_MAP)


def list_own_points(project: Project) -> list[Point]:
    """Return the calls of the tool itself, which writes two tables."""
    points = []
    for number, path in enumerate(TABLES, 1):
        temporary = path.with_name(f".{path.name}.tmp")
        points += [
            Point("fsync", str(project.folder / temporary), 1),
            Point("rename", str(path), 1, source=str(temporary)),
            Point("fsync", str(project.folder / path.parent), number),
        ]
    return points


def draw_further_points(project: Project) -> list[Point]:
    """Release, and return drawn calls of all that the tool started."""
    points = list_points(project, COMMAND, RENAMES, by_source=True)
    own = list_own_points(project)
    assert set(own) <= set(points), points
    further = [point for point in points if point not in own and "__pycache__" not in point.path]
    return draw_points(further, "release", DRAWN)


def read_state(project: Project, undisturbed: dict[str, str]) -> dict[str, object]:
    """Return all that a release makes, after its printed commands: the commit, the tag, the data and what is pushed."""
    tree, tagged = project.succeed("git", "rev-parse", "HEAD^{tree}", f"{TAG}^{{tree}}").split()
    assert tree == tagged
    assert project.succeed("git", "status", "--porcelain") == ""
    url = project.succeed("dvc", "config", "remote.storage.url").strip()
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    found = open_client(project.environment).list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
    pushed = sorted((each["Key"].removeprefix(prefix), each["Size"]) for each in found.get("Contents", ()))
    return {"tree": tree, "pushed": pushed, "changed": find_changed(project, undisturbed)}


def begin_again(project: Project, number: int) -> None:
    """Take back a release and its commit, also in DVC's run cache, and give the project a remote that has nothing."""
    if project.run("git", "tag", "--delete", TAG).returncode == 0:
        project.succeed("git", "reset", "--quiet", "--hard", "HEAD~1")
    project.succeed("sh", "-c", UNDO)
    shutil.rmtree(project.folder / ".dvc/cache/runs", ignore_errors=True)  # else the next release runs no stage
    url = project.succeed("dvc", "config", "remote.storage.url").strip().partition("/copy-")[0]
    project.succeed(
        "dvc", "remote", "modify", "--local", "storage", "url", f"{url}/copy-release-{os.getpid()}-{number}"
    )


def release_and_commit(project: Project) -> None:
    """Release. Where the command says how to undo an earlier run, do that first. Then run what it prints."""
    done = project.run(*COMMAND)
    if done.returncode:
        assert done.stderr.count("\n") == 1, done.stderr
        assert UNDO in done.stderr, done.stderr
        project.succeed("sh", "-c", UNDO)
        done = project.run(*COMMAND)
    assert done.returncode == 0, done.stderr
    project.succeed("sh", "-c", commands(done.stdout)[0], **AUTHOR)


def require_whole(project: Project, undisturbed: dict[str, str], old: dict[Path, str]) -> None:
    """Check what a kill left: outputs are absent or whole, as are tables; nothing runs on, and git is not locked."""
    require_none("orphans", find_orphans(project))
    require_none("half files", find_half_files(project, undisturbed))
    require_none("locks of git", [path.name for path in (project.folder / ".git").glob("*.lock")])
    for path in TABLES:
        assert files.md5(project.folder / path) in (old[path], undisturbed[f"data/{path.name}"]), path


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Crash", "kill -9 of tools.release, dvc or a stage at a rename or fsync", "strace")
def test_kill_release(trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    old = {path: files.md5(trial.folder / path) for path in TABLES}
    points, released = list_own_points(trial)[3:4], None
    if ALL:
        begin_again(trial, 0)
        points = [*list_own_points(trial), *draw_further_points(trial)]
        begin_again(trial, 0)
        release_and_commit(trial)
        released = read_state(trial, undisturbed)
    for number, point in enumerate(points, 1):
        if ALL:
            begin_again(trial, number)
        if not run_and_kill(trial, COMMAND, point).injected:
            continue
        with trials.trial(str(point)):
            require_whole(trial, undisturbed, old)
            release_and_commit(trial)
            assert released in (None, read_state(trial, undisturbed))
            require_none("changed", find_changed(trial, undisturbed))
