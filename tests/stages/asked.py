"""Objects for the stages that run a network, and for which of them the bucket is asked."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import photo_bytes
from tests.photos.test_preprocess import HTML
from tests.stages.in_workers import Asked
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
