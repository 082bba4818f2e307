"""tools.export on a disk that is full, has no inode left or becomes full: the destination is absent, or whole."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.disks import PAGE, Disk, needs_mount, small_disk
from tests.faults.kills import WRITES, draw_points, inject, list_points, needs_strace, require_none
from tests.faults.projects import copy, find_changed, find_stray
from tests.faults.test_crash_export import read_export
from tests.faults.trials import Trials
from tests.project import Project
from tools.export.format import FORMATS

FAULTS: dict[str, Callable[[Disk], None]] = {
    "nothing is free": lambda disk: disk.leave(0),
    "two pages are free": lambda disk: disk.leave(2 * PAGE),
    "no inode is free": lambda disk: disk.leave_no_inode(),
    "read-only": lambda disk: disk.make_read_only(),
}
DRAWN = 8  # writes of each format that a disk refuses


def require_refusal(code: int, printed: str, destination: str) -> None:
    """Check that an export failed with one line that names its destination, or what it keeps beside it."""
    lines = [line for line in printed.splitlines() if line and not line.endswith("left")]
    name = Path(destination).name
    assert code == 1, (code, lines)
    assert len(lines) == 1, lines
    assert lines[0].startswith("export: "), lines
    assert f"exports/{name}" in lines[0] or f"exports/.{name}.tmp" in lines[0], lines


def command(name: str) -> list[str]:
    return ["python", "-m", "tools.export", "--to", name, f"exports/{name}"]


@needs_mount
@pytest.mark.fault("Disk", "tools.export, each format, on a full disk, without inodes, or read-only", "tmpfs")
def test_exports_on_a_disk_that_takes_no_more(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    trial = copy(project, tmp_path)
    cases = [(name, fault) for name in sorted(FORMATS) for fault in FAULTS]
    with small_disk(trial.folder / "exports") as disk:
        for name, fault in trials.choose(cases, sample=2):
            FAULTS[fault](disk)
            done: subprocess.CompletedProcess[str] = trial.run(*command(name))
            with trials.trial(f"{name}: {fault}"):
                require_refusal(done.returncode, done.stderr, f"exports/{name}")
                require_none("left", [path.name for path in disk.folder.iterdir() if path.name != ".ballast"])
                disk.make_room()
                trial.succeed(*command(name))
                assert read_export(disk.folder / name)
            disk.make_room()
            trial.succeed("sh", "-c", "rm -rf exports/*")
    require_none("changed", find_changed(trial, undisturbed))


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Disk", "tools.export, each format: the disk becomes full at a drawn write (ENOSPC)", "strace")
def test_exports_on_a_disk_that_becomes_full(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    for name in trials.choose(sorted(FORMATS), sample=1):
        trial = copy(project, tmp_path / name)
        calls = [call for call in WRITES if call != "unlink"]
        points = list_points(trial, command(name), calls)
        points = [point for point in points if f".{name}.tmp/" in point.path]
        complete = read_export(trial.folder / "exports" / name)
        assert complete
        for point in trials.choose(draw_points(points, name, DRAWN), sample=1):
            trial.succeed("rm", "-rf", "exports")
            done = inject(trial, command(name), point, f"inject={point.call}:error=ENOSPC:when={point.number}+")
            if not done.injected:
                continue
            with trials.trial(f"{name}: {point}"):
                require_refusal(done.code, done.printed, f"exports/{name}")
                require_none("left", [str(path) for path in (trial.folder / "exports").iterdir()])
                trial.succeed(*command(name))
                assert read_export(trial.folder / "exports" / name) == complete
                stray = [each for each in find_stray(trial, project) if not each.startswith(f"exports/{name}/")]
                require_none("stray", stray)
        require_none("changed", find_changed(trial, undisturbed))
