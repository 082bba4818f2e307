"""Small disks: a tmpfs over a folder of a trial. Mounting needs root, and a container that lets it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PAGE = 4096  # a tmpfs gives out whole pages


@cache
def can_mount() -> bool:
    """Tell whether this process may mount a tmpfs."""
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
        return True


needs_mount = pytest.mark.skipif(
    shutil.which("mount") is None or not can_mount(), reason="needs root, and to mount a tmpfs"
)


@dataclass(frozen=True)
class Disk:
    """A tmpfs over a folder. It begins with what the folder has."""

    folder: Path

    @property
    def ballast(self) -> Path:
        return self.folder / ".ballast"

    def leave(self, free: int) -> None:
        """Fill the disk until so many bytes are free, rounded down to whole pages."""
        self.make_room()
        room = os.statvfs(self.folder)
        with self.ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - free // PAGE * PAGE)

    def leave_no_inode(self) -> None:
        """Fill the disk with empty files until it takes no more."""
        self.ballast.mkdir()
        for number in range(os.statvfs(self.folder).f_ffree):
            (self.ballast / str(number)).touch()

    def make_read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)

    def make_room(self) -> None:
        """Make the disk as empty and as writable as it was."""
        subprocess.run(["mount", "-o", "remount,rw", self.folder], check=True)
        if self.ballast.is_dir():
            shutil.rmtree(self.ballast)
        self.ballast.unlink(missing_ok=True)

    @property
    def free(self) -> int:
        room = os.statvfs(self.folder)
        return room.f_bavail * room.f_frsize


@contextmanager
def small_disk(folder: Path, megabytes: int = 64, inodes: int = 4000) -> Iterator[Disk]:
    """Mount a tmpfs over a folder for the context. It has a copy of the folder's files, which are back at the end."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder, aside, symlinks=True, dirs_exist_ok=True)
        options = f"size={megabytes}m,nr_inodes={inodes}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
        disk = Disk(folder)
        try:
            shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
            yield disk
            disk.make_room()
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
