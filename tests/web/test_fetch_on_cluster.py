"""Stage ingest on a real Dask cluster: what this machine would do alone, though a worker is killed."""

import asyncio
import functools
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed.client import FutureCancelledError

from imageset.errors import ServerError, SettingsError
from imageset.runtime import params
from imageset.storage.bucket import Bucket
from imageset.web import fetch_on_cluster, fetch_photos, fetch_worker
from imageset.web.fetch_photo import Outcome, PhotoToFetch
from imageset.web.fetch_photos import Outcomes
from imageset.web.host_limits import Host
from imageset.web.photo_list import PhotoList
from imageset.web.web_client import WebClient
from imageset.workers import dask_queues, dask_worker
from imageset.workers.local import LocalWorkers
from sandbox.cluster import running
from stages import ingest
from tests.conftest import jpeg, plain_image
from tests.project import ROOT
from tests.stages.test_ingest import (
    PhotoHost,
    QuietServer,
    Request,
    allow,
    body,
    contents,
    paths,
    redirect,
    status,
    write_labels,
    write_listings,
)
from tests.workers import tasks

HOSTS = 3
PHOTOS_OF_A_HOST = 30
MOST_AT_ONCE = 2  # requests to a host

Edit = Callable[[str, str], None]


class BusyHost(PhotoHost):
    """A photo host that takes its time, and counts how many requests it has at once."""

    def __init__(self) -> None:
        super().__init__("")
        self.lock = threading.Lock()
        self.busy = self.most = 0

    def serve(self, content: bytes) -> Callable[[Request], None]:
        def answer(request: Request) -> None:
            with self.lock:
                self.busy += 1
                self.most = max(self.most, self.busy)
            time.sleep(0.02)
            with self.lock:
                self.busy -= 1
            request.answer(200, content)

        return answer


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BusyHost]]:
    """Hosts on loopback: the settings allow all but the last one."""
    found = [BusyHost() for _ in range(HOSTS + 1)]
    with ExitStack() as stack:
        for host in found:
            server = stack.enter_context(QuietServer(("127.0.0.1", 0), functools.partial(Request, host)))
            host.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        allow(monkeypatch, *(host.url.removeprefix("http://") for host in found[:-1]))
        yield found


def list_urls(hosts: list[BusyHost]) -> list[str]:
    """Return the URLs of photos, most of them good, and set what their hosts answer."""
    *allowed, private = hosts
    urls = []
    for number in range(PHOTOS_OF_A_HOST):
        for which, host in enumerate(allowed):
            photo = jpeg(plain_image((number, which, 9)))
            urls.append(host.at(f"/{number}.jpeg?signature=secret", host.serve(photo)))
    first, second, _ = allowed
    return [
        *urls,
        "no url",
        first.at("/gone", status(410)),
        private.at("/private", status(200)),
        second.at("/inwards", redirect(private.at("/behind", status(200)))),
        second.at("/page", body(b"<html>")),
        first.at("/across", redirect(second.at("/elsewhere", body(jpeg(plain_image()))))),
    ]


@pytest.fixture
def project(in_project: Path, bucket: Bucket, edit_params: Edit, monkeypatch: pytest.MonkeyPatch) -> Path:
    edit_params("max_rejected_share: 0.2\n\nmodel:", "max_rejected_share: 1.0\n\nmodel:")
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    monkeypatch.setenv("IMAGESET_CONNECTIONS_PER_HOST", str(MOST_AT_ONCE))
    write_labels(in_project, [(1, 12)])
    return in_project


def run(project: Path, cache: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Run stage ingest with a cache of its own and return its table."""
    monkeypatch.setenv("IMAGESET_CACHE", cache)
    ingest.main(*paths(project))
    return (project / "data/ingest.csv").read_bytes()


def empty(bucket: Bucket) -> None:
    for key in contents(bucket):
        bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + key)


def test_a_cluster_that_loses_a_worker_fetches_the_same_and_asks_no_host_more_at_once(
    project: Path, bucket: Bucket, hosts: list[BusyHost], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_listings(project, *list_urls(hosts))
    with running(tmp_path / "dask", 2, 0, {"PYTHONPATH": str(ROOT)}) as dask:
        note, noted = Outcomes.note, list[int]()

        def lose_a_worker(outcomes: Outcomes, place: int, outcome: Outcome) -> None:
            note(outcomes, place, outcome)
            noted.append(place)
            if len(noted) == 2 * PHOTOS_OF_A_HOST:
                dask.workers[0].kill()

        with monkeypatch.context() as patch:
            patch.setenv("IMAGESET_DASK", dask.address)
            patch.setattr(fetch_photos, "fetch_all", None)  # this machine fetches nothing
            patch.setattr(Outcomes, "note", lose_a_worker)
            patch.setattr(fetch_on_cluster, "PHOTOS_AT_ONCE", 5)
            patch.setattr(dask_queues, "SECONDS_BETWEEN_COUNTS", 0.2)
            table, stored = run(project, "cluster", patch), contents(bucket)
            remembered = run(project, "cluster", patch)
        lost = dask.workers[0].wait(10)
        logs = "".join(log.read_text() for log in (tmp_path / "dask").glob("*.log"))

    assert lost < 0
    assert [host.most for host in hosts] == [*[MOST_AT_ONCE] * HOSTS, 0]
    assert hosts[-1].asked == {}
    assert "secret" not in logs
    assert remembered == table

    empty(bucket)

    assert (run(project, "alone", monkeypatch), contents(bucket)) == (table, stored)


def test_all_photos_of_a_host_are_in_one_queue_and_small_hosts_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_on_cluster, "PHOTOS_AT_ONCE", 10)
    counts = {"large.example": 25, "ten.example": 10, **{f"small-{number}.example": 4 for number in range(5)}}
    urls = [f"https://{host}/{number}" for number in range(25) for host, count in counts.items() if number < count]
    rows = [(f"{number}.jpeg", number, 0, url) for number, url in enumerate(urls)]
    table = pd.DataFrame(rows, columns=PhotoToFetch._fields)
    queues = fetch_on_cluster.share_out(PhotoList(table, np.arange(len(urls))))
    sizes, hosts_of = [queue.size for queue in queues], []
    for queue in queues:
        tasks = list(queue.items)
        hosts_of.append({urls[place].split("/")[2] for places in tasks for place in places})

        assert sum(map(len, tasks)) == queue.size
        assert max(map(len, tasks)) <= 10

    assert sorted(sizes) == [8, 10, 12, 25]
    assert sum(map(len, hosts_of)) == len(set().union(*hosts_of)) == len(counts)


def test_a_host_of_other_workers_gets_its_part_of_the_requests_until_it_is_this_workers() -> None:
    async def most() -> list[int]:
        async with WebClient(frozenset(), 32, 1, frozenset(), machines=5) as client:
            limits = [client.host("cdn.example").max_limit, client.host("shop.example", own=True).max_limit]
            return [*limits, client.host("cdn.example", own=True).max_limit, client.host("cdn.example").max_limit]

    assert asyncio.run(most()) == [6, 32, 32, 32]


def test_a_host_that_becomes_this_workers_keeps_its_pause_and_its_halved_limit() -> None:
    async def look() -> tuple[Host, Host]:
        async with WebClient(frozenset(), 32, 1, frozenset(), machines=5) as client:
            elsewhere = client.host("cdn.example")
            elsewhere.record_throttling(elsewhere.epoch, "429", 60)
            return elsewhere, client.host("cdn.example", own=True)

    before, own = asyncio.run(look())

    assert own is before
    assert own.resume_at > time.monotonic() + 30
    assert (own.most < 6, own.max_limit) == (True, 32)


def test_a_queue_that_takes_every_worker_with_it_is_not_sent_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_queues, "list_workers", lambda client: {"tcp://another": 1})
    monkeypatch.setattr(dask_queues, "SECONDS_BETWEEN_COUNTS", 0.01)
    sent: list[int] = []

    class Lost:
        def __init__(self) -> None:
            self.key = str(len(sent))

        def add_done_callback(self, call: Callable[["Lost"], None]) -> None:
            call(self)

        def cancel(self) -> None:
            pass

        def result(self, timeout: float) -> None:
            raise FutureCancelledError(self.key, "lost dependencies")

    def submit(function: Callable[[int], None], item: int, workers: list[str], pure: bool) -> Lost:
        sent.append(item)
        return Lost()

    client: Any = SimpleNamespace(submit=submit)
    runner = dask_queues.QueueRunner(client, [dask_queues.Queue(iter([7]), 1)], print, int)
    with pytest.raises(ServerError, match="lost workers over one batch 10 times: run again"):
        list(runner.results())

    assert sent == [7] * dask_queues.MAX_LOSSES


def test_two_runs_share_a_worker_and_what_nobody_uses_ends(
    bucket: Bucket, hosts: list[BusyHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest_params = params.load(ROOT / "params.yaml").ingest
    code, settings = fetch_worker.identify(ingest_params), fetch_worker.list_settings(bucket)
    first, second, third = (fetch_worker.Run(name, ingest_params, 1, code, settings) for name in "123")
    photo = PhotoToFetch("1.jpeg", 1, 0, hosts[0].at("/1.jpeg", hosts[0].serve(jpeg(plain_image()))))
    with LocalWorkers(1) as decoders:
        monkeypatch.setattr(dask_worker, "local_workers", lambda: decoders)
        with fetch_worker.using_session(first) as one, fetch_worker.using_session(second) as two:
            assert one.fetch([photo]) == two.fetch([photo]) == [("", "", "")]
            assert set(fetch_worker.sessions) == {"1", "2"}
        with fetch_worker.using_session(third):
            assert set(fetch_worker.sessions) == {"3"}
            tasks.wait_until(one.loop.is_closed)
        fetch_worker.end("3")

        assert fetch_worker.sessions == {}

        with pytest.raises(SettingsError, match="not as on the machine that runs the stage"):
            fetch_worker.Session(first._replace(settings=[]), decoders)


def test_no_secret_travels_to_workers(
    in_project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    headers = tmp_path / "headers.toml"
    headers.write_text('["photos.example.com"]\nAuthorization = "Bearer token-of-a-shop"\n')
    headers.chmod(0o600)
    monkeypatch.setenv("IMAGESET_HEADERS_FILE", str(headers))
    few = fetch_worker.FewPhotos([PhotoToFetch("1.jpeg", 1, 0, "https://photos.example.com/1?signature=abc")])
    params_of_ingest = params.load(ROOT / "params.yaml").ingest
    run = fetch_worker.Run("1", params_of_ingest, 2, [], fetch_worker.list_settings(bucket))
    sent = pickle.dumps((functools.partial(fetch_worker.fetch_some, run=run), few))

    assert b"token-of-a-shop" not in sent
    assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in sent
    assert repr(few) == "1 photos"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGESET_ALLOWED_HOSTS", "photos.internal"),
        ("IMAGESET_ALLOWED_BUCKETS", "old-photos"),
        ("IMAGESET_ALLOWED_FOLDERS", "/"),
        ("IMAGESET_CONNECTIONS_PER_HOST", "3"),
        ("IMAGESET_USER_AGENT", "shop/1.0"),
    ],
)
def test_a_worker_with_other_settings_is_refused(
    name: str, value: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fetch_worker.list_settings(bucket)
    fetch_worker.require_same_settings(expected, expected)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: not as on the machine that runs the stage"):
        fetch_worker.require_same_settings(fetch_worker.list_settings(bucket), expected)
