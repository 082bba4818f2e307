"""dvc push and dvc pull on a full disk."""

import shutil
from pathlib import Path

import pytest

from tests.faults.disks import needs_mount, small_disk
from tests.faults.kills import require_none
from tests.faults.projects import copy, find_changed, find_damaged, find_half_files
from tests.faults.test_crash_dvc import remove_data
from tests.faults.trials import Trials
from tests.project import Project

SHARES = (0, 0.1, 0.5, 0.9)  # of what DVC has to write
SAID = {".dvc/cache": "No space left on device", "data": "Checkout failed for following targets"}  # DVC says no more


@pytest.mark.faults_only
@needs_mount
@pytest.mark.fault("Disk", "dvc pull on a full disk", "tmpfs")
def test_dvc_pull_on_a_full_disk(trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    sizes = {
        ".dvc/cache": sum(path.stat().st_size for path in (trial.folder / ".dvc/cache/files").rglob("*")),
        "data": sum(path.stat().st_size for path in (trial.folder / "data").iterdir()),
    }
    remove_data(trial, undisturbed)
    for folder in trials.choose(list(sizes), sample=1):
        with small_disk(trial.folder / folder) as disk:
            for share in trials.choose(SHARES, sample=1):
                remove_data(trial, undisturbed)
                disk.leave(int(share * sizes[folder]))
                done = trial.run("dvc", "pull")
                with trials.trial(f"{share:.0%} of {folder} is free"):
                    assert done.returncode != 0, done.stderr
                    assert SAID[folder] in done.stderr, done.stderr
                    require_none("damaged", find_damaged(trial.folder / ".dvc/cache"))
                    require_none("half files", find_half_files(trial, undisturbed))
                    disk.make_room()
                    trial.succeed("dvc", "pull")
                    require_none("changed", find_changed(trial, undisturbed))
                disk.make_room()
            remove_data(trial, undisturbed)


@pytest.mark.faults_only
@needs_mount
@pytest.mark.fault("Disk", "dvc push to a remote in a folder with a full disk", "tmpfs")
def test_dvc_push_to_a_full_disk(trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    remote = tmp_path / "remote"
    trial.succeed("dvc", "remote", "add", "--local", "disk", str(remote))
    size = sum(path.stat().st_size for path in (trial.folder / ".dvc/cache/files").rglob("*"))
    with small_disk(remote) as disk:
        for share in trials.choose(SHARES, sample=1):
            disk.leave(int(share * size))
            done = trial.run("dvc", "push", "--remote", "disk")
            with trials.trial(f"{share:.0%} is free"):
                assert done.returncode != 0, done.stderr
                assert "No space left" in done.stderr, done.stderr
                require_none("damaged", find_damaged(remote))
                disk.make_room()
                trial.succeed("dvc", "push", "--remote", "disk")
                require_none("damaged", find_damaged(remote))
                shutil.rmtree(trial.folder / ".dvc/cache")
                trial.succeed("dvc", "fetch", "--remote", "disk")
                require_none("damaged", find_damaged(trial.folder / ".dvc/cache"))
            disk.make_room()
            shutil.rmtree(remote / "files")
