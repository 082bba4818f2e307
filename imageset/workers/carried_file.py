"""A file that travels by pickle, for workers on machines that do not have it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

from imageset.runtime import files


def carry_file(path: Path) -> Path:
    """Return a stand-in for a path that takes the file's content along when it is pickled.

    Where it is unpickled it becomes the path of a copy in the temporary folder, written once for each content. On this
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
    """Return the path of a file with this content, written if it is not there.

    Several threads and processes of a machine may write it at once, each with a temporary file of its own.

    Raises:
        DiskError: the disk of the temporary folder is full, is read-only, or fails.
    """
    path = Path(tempfile.gettempdir()) / f"imageset-{os.getuid()}-{sha256}"
    if not path.is_file() or files.sha256(path) != sha256:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.full_disk(path), tempfile.TemporaryDirectory(prefix="imageset-", dir=path.parent) as folder:
            written = Path(folder, path.name)
            written.write_bytes(content)
            written.replace(path)
    return path
