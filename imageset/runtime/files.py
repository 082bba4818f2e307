"""Files that are whole or not there: atomic writes, checksums, room on the disk, one run of a stage at a time."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imageset.errors import ImagesetError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path to write to; at the end it takes path's place, or on an error leaves what was there.

    The temporary file stands beside path, under one fixed name: its stage's lock keeps others away, and what a
    kill -9 left behind is written over by the next run.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Return when the file's, or the folder's, content has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with "\\n" line ends, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole, atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_space(path: Path, needed: int) -> None:
    """Raise ImagesetError when the disk that holds path's folder has not `needed` bytes left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise ImagesetError(f"{path}: needs {needed / 1e6:,.0f} MB, the disk has {free / 1e6:,.0f} MB left")


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a file's lock. Raises ImagesetError, naming the holder's process, when another run holds it.

    The kernel lets go of the lock when the holder ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ImagesetError(
                f"another run is active (pid {file.read().strip() or 'unknown'}); wait for it or stop it ({path})"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
