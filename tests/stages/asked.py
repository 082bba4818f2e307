"""Objects for the stages that run a network, and for which of them the bucket is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from imageset.photos.worker import Answer, PhotoRequest
from tests.conftest import photo_bytes
from tests.photos.test_preprocess import HTML
from tests.stages.test_ingest import bomb, lossless_jpeg

GOOD = {
    "2.jpeg": photo_bytes(1),
    "10.jpeg": photo_bytes(2, "dress"),
    "10-3.jpeg": photo_bytes(3, "bag", "PNG"),
    "12.jpeg": photo_bytes(4, "pants"),
}
BROKEN = {
    "1.jpeg": HTML,
    "3.jpeg": bomb(),
    "10-1.jpeg": photo_bytes()[:1500],
    "11.jpeg": b"",
    "13.jpeg": lossless_jpeg(),
}


@dataclass
class Asked:
    """What a worker does with a batch, by module and name; it also says in a file for which photos."""

    log: Path
    module: str
    name: str

    def __call__(self, batch: Sequence[PhotoRequest], recipe: Any) -> list[Answer]:
        with self.log.open("a") as file:
            file.writelines(f"{request.stored.key}\n" for request in batch)
        answers: list[Answer] = getattr(import_module(self.module), self.name)(batch, recipe)
        return answers


def log_requests(
    monkeypatch: pytest.MonkeyPatch, folder: Path, worker: ModuleType, name: str
) -> Callable[[], list[str]]:
    """Return for which photos the workers ask the bucket from now on.

    Args:
        monkeypatch: puts `Asked` in the place of the function.
        folder: for the log.
        worker: the module of what a worker does.
        name: of its function.
    """
    log = folder / "asked.txt"
    log.touch()
    monkeypatch.setattr(worker, name, Asked(log, worker.__name__, name))
    return lambda: log.read_text().splitlines()
