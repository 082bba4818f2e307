"""A file that travels by pickle, for workers on machines that do not have it."""

import atexit
import secrets
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import cast

from imageset.runtime import files

CARRIED = "imageset-carried-"  # begins the names of the folders of copies
LOCK = threading.Lock()


def carry_file(path: Path) -> Path:
    """Return a stand-in for a path that takes the file's content along when it is pickled.

    Where it is unpickled it becomes the path of a copy, which the process has to itself and which goes with it. On this
    machine it is not a path yet: pass it to a worker pool only.
    """
    return cast(Path, CarriedFile(path))


class CarriedFile:
    """Pickles as the content of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str, bytes], Path], tuple[str, bytes]]:
        return unpack_file, (files.sha256(self.path), self.path.read_bytes())


def unpack_file(sha256: str, content: bytes) -> Path:
    """Return the path of a file with this content, written if this process has none.

    Its folder has a name that nobody can guess and only this user may enter it, so no other user can put a file there,
    or a link, or change one after the check. The folder is removed when this process ends. What killed processes left
    is removed here, nothing that a process uses.

    Raises:
        DiskError: the disk of the temporary folder is full, is read-only, or fails.
    """
    with LOCK:
        folder = name_folder(Path(tempfile.gettempdir()))
        path = folder / sha256
        if not path.is_file() or files.sha256(path) != sha256:
            folder.parent.mkdir(parents=True, exist_ok=True)
            for left in folder.parent.glob(f"{CARRIED}*"):
                files.remove_unused(left)
            locks().enter_context(files.scratch_folder(folder))
            with files.full_disk(path):
                path.write_bytes(content)
    return path


@cache
def name_folder(temporary: Path) -> Path:
    """Return this process's folder in a temporary folder."""
    return temporary / f"{CARRIED}{secrets.token_hex(16)}"


@cache
def locks() -> ExitStack:
    """Return what holds the locks on this process's folders, until it ends."""
    held = ExitStack()
    atexit.register(held.close)
    return held
