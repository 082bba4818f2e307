"""The fixture that counts trials. A test of a fault has the mark `fault(part, fault, how)`.

`make test` samples each part.
"""

from collections.abc import Generator, Iterator

import pytest

from tests.faults.projects import md5_of_outputs
from tests.faults.trials import ALL, Trials
from tests.project import Project

SECONDS_FOR_ALL_TRIALS = 1500
SKIPPED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if ALL:
        for item in items:
            item.add_marker(pytest.mark.timeout(SECONDS_FOR_ALL_TRIALS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[SKIPPED] = item.stash.get(SKIPPED, False) or report.skipped
    return report


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    """The trials of the test's fault. The test fails if one of them did, or if there was none."""
    mark = request.node.get_closest_marker("fault")
    counted = Trials(*mark.args)
    yield counted
    if request.node.stash.get(SKIPPED, False):
        return
    counted.save(request.node.name)
    assert counted.trials, "no trial was made"
    assert not counted.failures, f"{len(counted.failures)} of {counted.trials} failed:\n" + "\n".join(counted.failures)


@pytest.fixture(scope="session")
def undisturbed(project: Project) -> dict[str, str]:
    """The md5 of each output of the run without a fault."""
    return md5_of_outputs(project)
