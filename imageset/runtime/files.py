"""Files: atomic writes, checksums, free space, and locks that keep two runs of one stage apart."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from imageset.errors import DiskError, ImagesetError

HELD: dict[Path, int] = {}  # the locks of this process, with their inodes
FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_FAULTS = {
    errno.ENOSPC: "its disk is full: make room, then run this again",
    errno.EDQUOT: "its disk is full: make room, then run this again",
    errno.EIO: "its disk fails (input/output error): check the disk, then run this again",
    errno.EROFS: "its disk is read-only: make it writable, then run this again",
}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    Yields a temporary path beside `path`. At the end it is synced and renamed to `path`; after an error the old file is
    still there. The temporary name is fixed: the stage's lock keeps other runs away, and the next run overwrites what
    kill -9 left. So the locks of this process must still be its own.

    Args:
        path: the file to write. Its folder is made if it is missing.

    Raises:
        DiskError: its disk is full, is read-only, or fails.
        ImagesetError: a lock was removed, and another run has it now. The temporary file is its, and stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    require_own_locks()
    with full_disk(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        try:
            yield temporary
            sync(temporary)
            require_own_locks()
            os.replace(temporary, path)
            sync(path.parent)
        finally:
            with suppress(OSError, ImagesetError):  # of a read-only disk, which would hide the first error
                require_own_locks()
                temporary.unlink(missing_ok=True)


@contextmanager
def full_disk(path: Path, *others: Path) -> Iterator[None]:
    """Raise DiskError that names a file, if its disk is full, is read-only, or fails.

    Args:
        path: the file.
        others: further names that the error may have, such as that of a temporary file.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        fault = DISK_FAULTS.get(find_errno(error, {str(name) for name in (path, *path.parents, *others)}))
        if fault is None:
            raise
        raise DiskError(f"{path}: {fault}") from None


def find_errno(error: OSError | RuntimeError, names: set[str]) -> int:
    """Return the number of the system's error, 0 if it is about a file of another name.

    h5py raises OSError, or RuntimeError where a file is closed. Their text has the number and the file.
    """
    if isinstance(error, OSError) and error.errno is not None:
        written = error.filename2 or error.filename  # a copy names what it reads, then what it writes
        return error.errno if written is None or str(written) in names else 0
    number, file = re.search(r"errno = (\d+),", str(error)), re.search(r"filename = '([^']*)'", str(error))
    return int(number[1]) if number and (file is None or file[1] in names) else 0


def lacks_space(error: BaseException) -> bool:
    """Return whether an error says that a disk, or an account's share of it, is full, and does not name the file.

    h5py raises OSError, or RuntimeError where a file is closed.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        return error.filename is None
    return any(f"errno = {number}," in str(error) for number in FULL)


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 with "\\n" line ends, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def sha256(path: Path) -> str:
    """Return a file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: Path) -> str:
    """Return a file's md5 in hexadecimal, as DVC records it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def require_space(path: Path, needed: int) -> None:
    """Raise ImagesetError when the disk of path's folder has less than `needed` bytes free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise ImagesetError(f"{path}: needs {needed / 1e6:,.0f} MB, the disk has {free / 1e6:,.0f} MB left: make room")


def is_alive(pid: int) -> bool:
    """Return whether a process runs, of whatever user."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def read_holder(file: TextIO) -> str:
    """Return the pid in a lock file, or "unknown". Who has just got the lock writes it a moment later."""
    pid = ""
    for _ in range(20):
        file.seek(0)
        pid = file.read().strip()
        if pid.isdecimal() and is_alive(int(pid)):
            break
        time.sleep(0.05)
    return pid or "unknown"


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock file. The kernel releases it when this process ends, however it ends.

    Raises:
        ImagesetError: another run holds it, and the message has its pid; or its disk is full.
    """
    with full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="ascii")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImagesetError(
                f"another run is active (pid {read_holder(file)}); wait for it or stop it ({path})"
            ) from None
        with full_disk(path):
            file.truncate(0)
            os.write(file.fileno(), str(os.getpid()).encode())
        held = path.absolute()
        HELD[held] = os.fstat(file.fileno()).st_ino
        try:
            yield
        finally:
            HELD.pop(held, None)


def require_own_locks() -> None:
    """Raise ImagesetError if a lock of this process was removed, and another process has made and got a new one."""
    for path, inode in HELD.items():
        with suppress(FileNotFoundError):
            if path.stat().st_ino != inode:
                raise ImagesetError(
                    f"{path} was removed while this ran, and another run is active: run this again when that has ended"
                )


@contextmanager
def scratch_folder(folder: Path) -> Iterator[None]:
    """Make a folder for files that nobody needs after this. Remove it when the last context ends that uses it.

    Each context has a lock on it, which the kernel releases when its process ends, however it ends. `remove_unused`
    removes what killed processes left.

    Args:
        folder: in a folder that exists, under a name that nobody can guess.

    Raises:
        DiskError: the disk is full, is read-only, or fails.
    """
    descriptor = lock_folder(folder)
    try:
        yield
    finally:
        os.close(descriptor)
        remove_unused(folder)


def lock_folder(folder: Path) -> int:
    """Make a folder if it is missing, and return a descriptor with a shared lock on it."""
    while True:
        with full_disk(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: nobody gets the lock that removes the folder
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            if folder.exists():
                return descriptor
            os.close(descriptor)  # another process has removed it before it was locked


def remove_unused(folder: Path) -> None:
    """Remove a scratch folder of this user, unless a process uses it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_uid == os.getuid():
                shutil.rmtree(folder)
        finally:
            os.close(descriptor)
