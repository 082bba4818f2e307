"""The fixture that counts trials. A test of a fault has the mark `fault(part, fault, how)`.

`make test` samples each part.
"""

from collections import Counter
from collections.abc import Generator, Iterator

import pytest

from tests.faults.projects import md5_of_outputs
from tests.faults.trials import ALL, Trials
from tests.project import Project

SECONDS_FOR_ALL_TRIALS = 1500
SKIPPED = pytest.StashKey[bool]()
ENDED = pytest.StashKey[str]()  # the error that ended a test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = Counter(place_of(item) for item in items if item.get_closest_marker("fault"))
    if twice := [place for place, count in places.items() if count > 1]:
        raise pytest.UsageError(f"tests whose results would replace each other: {', '.join(twice)}")
    if ALL:
        for item in items:
            item.add_marker(pytest.mark.timeout(SECONDS_FOR_ALL_TRIALS))


def place_of(item: pytest.Item) -> str:
    """Return the name of the file with a test's result."""
    return f"{item.path.stem}.{item.name}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[SKIPPED] = item.stash.get(SKIPPED, False) or report.skipped
    if call.excinfo and not report.skipped:
        item.stash[ENDED] = call.excinfo.exconly()
    return report


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    """The trials of the test's fault. The test fails if one of them did, or if there was none."""
    mark = request.node.get_closest_marker("fault")
    counted = Trials(*mark.args)
    yield counted
    if request.node.stash.get(SKIPPED, False):
        return
    if error := request.node.stash.get(ENDED, ""):
        counted.end(error)
    counted.save(place_of(request.node))
    assert counted.trials, "no trial was made"
    lines = "\n".join(f"{name}: {said}" for name, said in counted.failures.items())
    assert not lines, f"{len(counted.failures)} of {counted.trials} failed:\n{lines}"


@pytest.fixture(scope="session")
def undisturbed(project: Project) -> dict[str, str]:
    """The md5 of each output of the run without a fault."""
    return md5_of_outputs(project)
