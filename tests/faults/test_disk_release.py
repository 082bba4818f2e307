"""tools.release on a project's disk that is full or nearly so."""

from pathlib import Path

import pytest

from tests.faults.disks import PAGE, needs_mount, small_disk
from tests.faults.kills import require_none
from tests.faults.projects import copy, find_changed, find_half_files
from tests.faults.test_crash_release import COMMAND, begin_again, read_state, release_and_commit
from tests.faults.trials import ALL, Trials
from tests.project import Project

PAGES = (1, 0)  # with two, a release succeeds: dvc removes outputs before it makes them again


def remove_half_lock(project: Project) -> None:
    """Do what docs/troubleshooting.md says where DVC could not write its lock file."""
    said = project.run("dvc", "status").stderr
    if "Unable to read RWLock-file '.dvc/tmp/rwlock'" in said:
        (project.folder / ".dvc/tmp/rwlock").unlink()


@pytest.mark.faults_only
@needs_mount
@pytest.mark.fault("Disk", "tools.release on a disk with no page or one free", "tmpfs")
def test_release_on_a_full_disk(trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path) -> None:
    trial = copy(project, tmp_path)
    (trial.folder / ".git/info").mkdir(exist_ok=True)
    (trial.folder / ".git/info/exclude").write_text("/.ballast\n")
    with small_disk(trial.folder, megabytes=400, inodes=40_000) as disk:
        released = None
        if ALL:
            begin_again(trial, 0)
            release_and_commit(trial)
            released = read_state(trial, undisturbed)
        for number, pages in enumerate(trials.choose(PAGES, sample=1), 1):
            if ALL:
                begin_again(trial, number)
            disk.leave(pages * PAGE)
            done = trial.run(*COMMAND)
            disk.make_room()
            if done.returncode == 0:
                continue
            with trials.trial(f"{pages} pages are free"):
                assert done.returncode == 1, done.stderr
                last = done.stderr.splitlines()[-1]
                assert last.startswith("release: "), done.stderr
                assert "disk is full" in last or "disk of this folder is full" in last, done.stderr
                assert "Traceback" not in done.stderr, done.stderr
                require_none("half files", find_half_files(trial, undisturbed))
                remove_half_lock(trial)
                release_and_commit(trial)
                assert released in (None, read_state(trial, undisturbed))
                require_none("changed", find_changed(trial, undisturbed))
