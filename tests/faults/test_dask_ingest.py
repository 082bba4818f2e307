"""A Dask cluster where workers or the scheduler die or stall while stage ingest fetches photos: it ends with the table
and the objects of this machine alone, or with one line, and the next run goes on.
"""

from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from imageset.storage.bucket import Bucket
from imageset.web import fetch_on_cluster
from imageset.web.fetch_photo import Outcome
from imageset.web.fetch_photos import Outcomes
from imageset.workers import dask_cluster, dask_queues
from sandbox.cluster import Cluster, running
from tests.faults.test_dask import FAULTS, SETTINGS, Fault
from tests.faults.trials import Trials
from tests.stages.test_ingest import contents, write_listings
from tests.web.test_fetch_on_cluster import (
    HOSTS,
    PHOTOS_OF_A_HOST,
    BusyHost,
    empty,
    hosts,
    list_urls,
    project,
    run,
)

__all__ = ["hosts", "project"]  # fixtures

AFTER = (1, HOSTS * PHOTOS_OF_A_HOST // 2)


def fall_after(noted: int, fault: Fault, cluster: Cluster, patch: pytest.MonkeyPatch) -> list[int]:
    """Send the fault's signal when so many photos have ended. Return the pids that it was sent to, none before."""
    note, fell, ended = Outcomes.note, list[int](), list[int]()

    def note_then_fall(outcomes: Outcomes, place: int, outcome: Outcome) -> None:
        note(outcomes, place, outcome)
        ended.append(place)
        if len(ended) == noted:
            for process in fault.at(cluster):
                process.send_signal(fault.signal)
                fell.append(process.pid)

    patch.setattr(Outcomes, "note", note_then_fall)
    return fell


@pytest.mark.faults_only
@pytest.mark.fault("Dask", "workers or the scheduler die or stall, at two moments of stage ingest", "SIGKILL, SIGSTOP")
def test_ingest_ends_with_the_same_table_or_with_a_line(
    trials: Trials,
    project: Path,
    bucket: Bucket,
    hosts: list[BusyHost],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch_on_cluster, "PHOTOS_AT_ONCE", 5)
    monkeypatch.setattr(dask_queues, "SECONDS_WITHOUT_WORKERS", 6)
    monkeypatch.setattr(dask_cluster, "SECONDS_TO_CONNECT", 8)
    monkeypatch.setattr(dask_cluster, "SECONDS_FOR_AN_ANSWER", 6)
    write_listings(project, *list_urls(hosts))
    undisturbed = run(project, "alone", monkeypatch), contents(bucket)
    cases = [(name, after) for after in AFTER for name in FAULTS]
    for number, (name, after) in enumerate(trials.choose(cases, sample=1)):
        fault, said = FAULTS[name], ""
        empty(bucket)
        with running(tmp_path / f"dask {number}", 2, 0, SETTINGS) as cluster, monkeypatch.context() as patch:
            patch.setenv("IMAGESET_DASK", cluster.address)
            fell = fall_after(after, fault, cluster, patch)
            with trials.trial(f"{name} after {after} photos"):
                try:
                    made = run(project, f"cluster {number}", patch), contents(bucket)
                except ImagesetError as error:
                    said = str(error)
                assert fell, "the fault was not injected"
                assert said.startswith(fault.line)
                assert bool(said) == bool(fault.line)
                assert said or made == undisturbed
            for process in [*cluster.workers, cluster.scheduler]:
                process.kill()  # a stopped one ignores SIGTERM
        with trials.trial(f"again, after that {name} after {after} photos"):
            assert (run(project, f"cluster {number}", monkeypatch), contents(bucket)) == undisturbed
