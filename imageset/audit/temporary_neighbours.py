"""Keep the nearest photos of all photos in a temporary file: they take 480 bytes a photo, and are needed twice."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from imageset.audit.principal_axes import Neighbours


@contextmanager
def open_temporary_neighbours(folder: Path) -> Iterator["TemporaryNeighbours"]:
    """Yield room for neighbours in a folder. It is gone afterwards."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield TemporaryNeighbours(file)


class TemporaryNeighbours:
    """The neighbours of some photos at a time, appended to an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.parts = 0

    def append(self, found: Neighbours) -> None:
        """Append the neighbours of some photos."""
        for values in found:
            np.save(self.file, values)
        self.parts += 1

    def read(self) -> Iterator[Neighbours]:
        """Yield all that were appended, in this order."""
        self.file.seek(0)
        for _ in range(self.parts):
            yield Neighbours(*(np.load(self.file) for _ in Neighbours._fields))
