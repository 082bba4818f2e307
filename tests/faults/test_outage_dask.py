"""The connection to the Dask scheduler is refused at the start, or cut at ten points of the bytes of stage preprocess.

The stage then ends with the bytes of this machine alone, or with one line. test_dask.py has workers and schedulers that
die or stall.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sandbox.cluster import Cluster, running
from tests.faults import projects
from tests.faults.proxy import TO_CLIENT, TO_SERVER, Direction, Proxy
from tests.faults.test_outage import HOW, Ended, require_undisturbed, run_stages, try_outages
from tests.faults.trials import Trials
from tests.project import Project

numbers = itertools.count()


@pytest.fixture
def trial(project: Project, tmp_path: Path) -> Project:
    """A copy of the project that has run."""
    return projects.copy(project, tmp_path)


@pytest.fixture
def cluster(trial: Project, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of two workers with the copy's code and settings. Their TMPDIR is not the copy's."""
    settings = trial.environment | {"PYTHONPATH": str(trial.folder), "TMPDIR": str(tmp_path)}
    with running(tmp_path / "dask", 2, 0, settings) as cluster:
        yield cluster


@pytest.mark.faults_only
@pytest.mark.parametrize(
    "direction",
    [
        pytest.param(TO_CLIENT, marks=pytest.mark.fault("Outage", "Dask is down or its answers end: preprocess", HOW)),
        pytest.param(TO_SERVER, marks=pytest.mark.fault("Outage", "Dask is down or dies of requests: preprocess", HOW)),
    ],
)
def test_dask(
    direction: Direction,
    trial: Project,
    cluster: Cluster,
    undisturbed: dict[str, str],
    trials: Trials,
    tmp_path: Path,
) -> None:
    with Proxy.before(cluster.address) as proxy:

        def prepare() -> Callable[[], Ended]:
            cache = tmp_path / f"cache-{next(numbers)}"  # empty: the workers make each photo anew
            return partial(
                run_stages,
                trial,
                "preprocess",
                IMAGESET_DASK=proxy.replace(cluster.address),
                IMAGESET_CACHE=str(cache),
            )

        check = partial(require_undisturbed, trial, undisturbed, ("preprocess",))
        try_outages(trials, f"preprocess, {direction}", proxy, direction, prepare, check)
