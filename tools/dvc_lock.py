"""DVC's lock of the project: who has it, and how to have it."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dvc.exceptions import NotDvcRepoError
from dvc.lock import LockError, make_lock
from dvc.repo import Repo

from imageset.errors import ImagesetError
from imageset.runtime import files


@contextmanager
def hold() -> Iterator[None]:
    """Hold DVC's lock of the project, if DVC knows this folder. A dvc command that starts ends at once.

    Raises:
        ImagesetError: a dvc command runs. The message has its pid.
    """
    try:
        repo = Repo()
    except NotDvcRepoError:
        yield
        return
    with closing(repo):
        folder, hardlink = Path(repo.tmp_dir), repo.config["core"].get("hardlink_lock", False)
    path = folder / "lock"
    lock = make_lock(str(path), tmp_dir=str(folder), hardlink_lock=hardlink)
    try:
        lock.lock()  # waits for three seconds, as each dvc command does
    except LockError:
        raise ImagesetError(describe(read_pid(path), path)) from None
    try:
        require_no_stage_of_dvc(folder / "rwlock")
        yield
    finally:
        lock.unlock()


def require_no_stage_of_dvc(path: Path) -> None:
    """Raise ImagesetError if a dvc runs a stage.

    `dvc repro` leaves the lock meanwhile. This file then has its pid, with each file that the stage reads or writes.
    """
    for pid in sorted(read_pids(path)):
        if files.is_alive(pid):
            raise ImagesetError(describe(str(pid), path))


def read_pids(path: Path) -> set[int]:
    """Return the pids in DVC's list of files in use, those of killed processes included."""
    try:
        used = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # a dvc that was killed may leave half of it
        return set()
    writers, readers = used.get("write", {}).values(), used.get("read", {}).values()
    return {entry["pid"] for entry in (*writers, *(one for several in readers for one in several))}


def read_pid(path: Path) -> str:
    """Return the pid in DVC's lock, or "unknown": with `core.hardlink_lock` there is none."""
    text = path.read_text(encoding="ascii", errors="replace").strip() if path.is_file() else ""
    return text if text.isdecimal() else "unknown"


def describe(pid: str, path: Path) -> str:
    return f"another run is active (pid {pid}); wait for it or stop it ({os.path.relpath(path)})"
