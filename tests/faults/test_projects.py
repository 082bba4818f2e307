"""Copies of the project, and what finds a fault's traces."""

import subprocess
import sys
from pathlib import Path

from tests.faults.projects import copy, find_changed, find_half_files, find_orphans, find_stray, md5_of_outputs
from tests.project import Project


def test_a_copy_runs_on_its_own_servers_and_gives_the_undisturbed_md5(
    project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    trial = copy(project, tmp_path, bucket=True, remote=True, database=True)
    trial.succeed("dvc", "repro", "--force", "--single-item", "--no-run-cache", "listings", "inventory")
    trial.succeed("dvc", "status", "--cloud", "--quiet")

    assert len(undisturbed) > 40
    assert find_changed(trial, undisturbed) == []
    assert find_stray(trial, project) == []
    assert md5_of_outputs(project) == undisturbed
    assert all(trial.environment[name] != project.environment[name] for name in ("DATABASE_URL", "IMAGE_STORE"))


def test_traces_are_found(project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    (trial.folder / "data/split.csv").write_text("half")
    (trial.folder / "data/groups.csv").unlink()
    for stray in ("data/.split.csv.tmp", "reports/x", ".cache/masks.sqlite-wal", "../tmp/x", "new"):
        (trial.folder / stray).touch()
    (tmp_path / "tmp/empty").mkdir()

    assert find_changed(trial, undisturbed) == ["data/groups.csv", "data/split.csv"]
    assert find_half_files(trial, undisturbed) == ["data/split.csv"]
    assert find_half_files(trial, undisturbed, md5_of_outputs(trial)) == []
    assert find_stray(trial, project) == [
        ".cache/masks.sqlite-wal",
        "TMPDIR/empty/",
        "TMPDIR/x",
        "data/.split.csv.tmp",
        "new",
        "reports/x",
    ]


def test_an_orphan_is_found_and_named(project: Project, tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    assert find_orphans(trial) == []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=trial.environment) as orphan:
        assert [line.split()[0] for line in find_orphans(trial, seconds=0.1)] == [str(orphan.pid)]
