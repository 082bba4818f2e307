"""The process of a server that a stage talks to is killed with SIGKILL, and started again meanwhile or afterwards.

The stage then goes on, or fails with one line. What it left is whole. When the server is there, the same command gives
the md5 of the undisturbed run. The servers are the test's own. A proxy counts the bytes and says when to kill.
"""

import itertools
import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.servers import Servers
from tests.faults import projects
from tests.faults.own_servers import OwnServer, own_bucket, own_photo_host, own_postgresql
from tests.faults.projects import find_orphans, md5_of_outputs
from tests.faults.proxy import TO_CLIENT, TO_SERVER, Direction, Proxy
from tests.faults.test_outage import (
    Ended,
    count_photos,
    photos_by_proxy,
    require_one_line,
    require_undisturbed,
    run_stages,
)
from tests.faults.trials import Trials
from tests.project import PHOTOS, Project

HOW = "SIGKILL to its process after some of the bytes; started again at once, or when the stage has ended"

numbers = itertools.count()


class Case(NamedTuple):
    """When a server is killed, and when it is there again."""

    stage: str
    part: int  # of 11 parts of the bytes of an undisturbed run
    again: str  # "at once", "by itself" or "afterwards"


def list_cases(stages: tuple[str, ...], *kills: tuple[int, str]) -> list[Case]:
    return [Case(stage, part, again) for stage in stages for part, again in kills]


INGEST = list_cases(("ingest",), (5, "at once"), (2, "afterwards"), (8, "at once"), (10, "afterwards"))


def try_kills(
    trial: Project,
    trials: Trials,
    cases: list[Case],
    server: OwnServer,
    proxy: Proxy,
    direction: Direction,
    prepare: Callable[[str], Callable[[], Ended]],
    check: Callable[[str, Ended], None],
) -> None:
    """Make the trials of one server.

    Args:
        prepare: makes all new for a stage, and returns what runs it. In one trial this runs twice: while the server is
            killed, and when it is there again.
        check: asserts that a run of a stage was right.
    """
    totals: dict[str, int] = {}
    whole: dict[str, dict[str, str]] = {}
    for case in trials.choose(cases, sample=1):
        if case.stage not in totals:
            proxy.restore()
            check(case.stage, prepare(case.stage)())
            totals[case.stage] = proxy.counted[direction]
            whole[case.stage] = md5_of_outputs(trial, case.stage)
        with trials.trial(f"{case.stage}, {case.part} of 11 parts, started {case.again}"):
            run = prepare(case.stage)
            ended = run_and_kill(server, proxy, direction, totals[case.stage] * case.part // 11, case.again, run)
            if ended.returncode:
                require_one_line(ended)
                assert md5_of_outputs(trial, case.stage).items() <= whole[case.stage].items()
                assert find_orphans(trial) == []
            else:
                check(case.stage, ended)
            check(case.stage, run())


def run_and_kill(
    server: OwnServer, proxy: Proxy, direction: Direction, at: int, again: str, run: Callable[[], Ended]
) -> Ended:
    """Run a stage, kill the server meanwhile, and return how the stage ended. The server is there again then."""
    killed = threading.Event()

    def kill() -> None:
        server.kill_backends() if again == "by itself" else server.kill()
        killed.set()

    proxy.restore()
    proxy.kill(direction, at, kill, stay_down=again != "by itself")
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run)
        if again == "at once":
            while not killed.wait(0.05) and not running.done():
                pass
            start_again(server, proxy)
        ended = running.result()
    assert killed.is_set(), "the stage ended before the server was killed"
    if again == "afterwards":
        start_again(server, proxy)
    return ended


def start_again(server: OwnServer, proxy: Proxy) -> None:
    server.start()
    proxy.restore()


@pytest.mark.fault("Outage", "PostgreSQL is killed: listings, labels", HOW)
def test_postgresql(
    project: Project, undisturbed: dict[str, str], trials: Trials, tmp_path: Path, server_folder: Path
) -> None:
    trial = projects.copy(project, tmp_path)
    with own_postgresql(server_folder, trial.environment["DATABASE_URL"]) as server, Proxy.before(server.url) as proxy:

        def prepare(stage: str) -> Callable[[], Ended]:
            return partial(run_stages, trial, stage, DATABASE_URL=proxy.replace(server.url))

        def check(stage: str, ended: Ended) -> None:
            require_undisturbed(trial, undisturbed, (stage,), ended)

        kills = (
            (6, "afterwards"),
            (2, "at once"),
            (9, "at once"),
            (4, "by itself"),
            (8, "by itself"),
            (10, "afterwards"),
        )
        try_kills(trial, trials, list_cases(("listings", "labels"), *kills), server, proxy, TO_CLIENT, prepare, check)


@pytest.mark.faults_only
@pytest.mark.fault("Outage", "the S3 server is killed: inventory, masks, embed, preprocess", HOW)
def test_bucket_that_is_read(
    project: Project, undisturbed: dict[str, str], trials: Trials, tmp_path: Path, server_folder: Path
) -> None:
    trial = projects.copy(project, tmp_path)
    shutil.rmtree(trial.folder / ".dvc" / "cache")  # masks and embed take what it has of their last run
    with own_bucket(server_folder, trial.environment) as server, Proxy.before(server.url) as proxy:

        def prepare(stage: str) -> Callable[[], Ended]:
            cache = tmp_path / f"cache-{next(numbers)}"  # empty: the stage reads each photo and makes it anew
            url = proxy.replace(server.url)
            return partial(run_stages, trial, stage, AWS_ENDPOINT_URL=url, IMAGESET_CACHE=str(cache))

        def check(stage: str, ended: Ended) -> None:
            require_undisturbed(trial, undisturbed, (stage,), ended)

        stages = ("inventory", "masks", "embed", "preprocess")
        kills = ((5, "at once"), (2, "afterwards"), (9, "at once"))
        try_kills(trial, trials, list_cases(stages, *kills), server, proxy, TO_CLIENT, prepare, check)


@pytest.mark.faults_only
@pytest.mark.fault("Outage", "the photo host is killed: ingest", HOW)
def test_photo_host(
    project: Project,
    sandbox: Servers,
    trials: Trials,
    tmp_path: Path,
    server_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is pending, and counted."""
    trial = projects.copy(project, tmp_path)
    with (
        own_photo_host(server_folder, sandbox.photo_folder) as server,
        photos_by_proxy(trial, server.url) as proxy,
    ):
        changes = {"IMAGESET_ALLOWED_HOSTS": f"127.0.0.1:{proxy.port}"}
        ingest = Ingest(trial, changes, tmp_path, monkeypatch, is_counted=True)
        try_kills(trial, trials, INGEST, server, proxy, TO_CLIENT, ingest.prepare, ingest.check)


@pytest.mark.faults_only
@pytest.mark.fault("Outage", "the S3 server is killed: ingest", HOW)
def test_bucket_that_is_written(
    project: Project, trials: Trials, tmp_path: Path, server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = projects.copy(project, tmp_path)
    with own_bucket(server_folder, trial.environment) as server, Proxy.before(server.url) as proxy:
        own = Project(trial.folder, trial.environment | {"AWS_ENDPOINT_URL": server.url})
        ingest = Ingest(own, {"AWS_ENDPOINT_URL": proxy.replace(server.url)}, tmp_path, monkeypatch)
        try_kills(trial, trials, INGEST, server, proxy, TO_SERVER, ingest.prepare, ingest.check)


class Ingest:
    """Runs of stage ingest, each with an empty prefix of the bucket.

    Args:
        trial: the project.
        changes: settings that lead through the proxy.
        folder: for caches.
        is_counted: whether a run that failed has to say how many photos are pending, if it says that some are.
    """

    def __init__(
        self,
        trial: Project,
        changes: dict[str, str],
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        is_counted: bool = False,
    ) -> None:
        self.trial, self.changes, self.folder = trial, changes, folder
        self.monkeypatch, self.is_counted = monkeypatch, is_counted
        self.store = ""
        self.tables: list[bytes] = []

    def prepare(self, stage: str) -> Callable[[], Ended]:
        self.store = f"{self.trial.environment['IMAGE_STORE']}-killed-{next(numbers)}"
        return partial(self.run, stage)

    def run(self, stage: str) -> Ended:
        cache = str(self.folder / "caches" / self.store.rpartition("/")[2])
        ended = run_stages(self.trial, stage, IMAGE_STORE=self.store, IMAGESET_CACHE=cache, **self.changes)
        pending = re.search(r"ingest: (\d+) photos are pending", ended.stderr)
        if pending and self.is_counted:
            assert self.count() + int(pending[1]) == sum(PHOTOS.values()), ended.stderr
        return ended

    def count(self) -> int:
        return count_photos(self.trial, self.store, self.monkeypatch)

    def check(self, stage: str, ended: Ended) -> None:
        """Assert that no photo is missing, and that the table is that of the first run."""
        assert ended.returncode == 0, ended.stdout[-500:] + ended.stderr[-1500:]
        assert self.count() == sum(PHOTOS.values())
        self.tables.append((self.trial.folder / "data" / "ingest.csv").read_bytes())
        assert self.tables[-1] == self.tables[0]
        assert find_orphans(self.trial) == []
