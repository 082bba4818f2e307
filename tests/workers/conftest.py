"""A pool of two workers, and checks of what tests leave behind."""

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

import pytest

from imageset.workers.local import LocalWorkers


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalWorkers]:
    """Two workers, or their replacements, for all tests that do not need to see them end."""
    with LocalWorkers(2) as pool:
        yield pool

    assert multiprocessing.active_children() == []


@pytest.fixture(autouse=True)
def no_callback_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """concurrent.futures only logs what callbacks raise."""
    yield

    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "concurrent.futures"] == []


@pytest.fixture
def children() -> Callable[[], set[BaseProcess]]:
    """Return a function that returns the processes started since the test began."""
    before = set(multiprocessing.active_children())
    return lambda: set(multiprocessing.active_children()) - before
