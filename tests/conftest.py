"""Fixtures: real servers and a project for the run; for each test a bucket prefix and a database of its own."""

import fcntl
import functools
import gc
import inspect
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import botocore.session
import psycopg2
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from imageset.runtime import stage
from imageset.storage.bucket import Bucket, open_bucket
from sandbox import draw, marketplace, servers
from sandbox.marketplace import SCHEMA
from sandbox.s3 import PHOTO_BUCKET
from sandbox.servers import Servers
from stages import model
from tests import forked
from tests.faults.trials import ALL
from tests.forked import run_python
from tests.forked_dvc import fork_dvc
from tests.project import PHOTOS, ROOT, Project, copy_project
from tests.samples import examples

U2NETP_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
DATABASE = "shop"  # of the project
UNCONNECTED = "shop_unconnected"  # a copy of it, which can be copied at any time: PostgreSQL copies none that is in use
FILES_MEANWHILE = 16  # of other tests, while the project is made
LONG = "curation"  # a folder of files that compute long, and would be among the last
SANDBOX = pytest.StashKey[Servers]()
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
numbers = itertools.count()

# Other processes share the cores: how long an example takes says nothing of the code.
settings.register_profile(
    "shared cores", deadline=None, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared cores")

# The processes that tests start compile each module once, also where the environment says that nobody keeps that.
# pytest rewrites the assertions of each module of tests once: that takes half of the collection.
os.environ["PYTHONDONTWRITEBYTECODE"] = ""
sys.dont_write_bytecode = False

# All that the collection makes stays. To look through it again and again for what to free takes a third of its time.
gc.disable()

# The processes of a run share the cores: threads of PyTorch that wait for each other double its processor time.
os.environ["OMP_NUM_THREADS"] = "1"

# What a test runs in this process, and a tool or stage in a fork, runs dvc in a fork.
fork_dvc()

# Each session of boto3 reads 1.5 MB of JSON anew: 0.15 s of processor time for each open_bucket.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)


def pytest_configure(config: pytest.Config) -> None:
    if given := getattr(config, "workerinput", {}).get("prepared"):
        forked.GIVEN.append(given)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out_faults(config, items)
    put_in_order(items)


def leave_out_faults(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests that take seconds to `make faults`, and to `make test` those that it runs whole."""
    runs_here = is_for_faults if ALL else is_for_all_runs
    config.hook.pytest_deselected(items=[item for item in items if not runs_here(item)])
    items[:] = [item for item in items if runs_here(item)]


def is_for_all_runs(item: pytest.Item) -> bool:
    return not item.get_closest_marker("faults_only")


def is_for_faults(item: pytest.Item) -> bool:
    marks = {mark.name for mark in item.iter_markers()}
    return (
        ROOT / "tests/faults" in item.path.parents
        or not marks.isdisjoint({"faults_only", "sampled"})
        or getattr(getattr(item, "function", None), "is_hypothesis_test", False)
    )


def put_in_order(items: list[pytest.Item]) -> None:
    """Run first what needs the project: that takes longest. Only one file of it is the very first, as the process that
    runs it makes the project, and the others would wait. They begin with the files of most other tests. Of the rest
    the folder LONG comes first, and the others backwards: the files at the end of the alphabet, of workers, web and
    tools, take longer than those at its start, and a long one at the end would keep one core alone."""
    with_project = list(dict.fromkeys(item.path for item in items if needs_project(item)))
    others = Counter(item.path for item in items if item.path not in with_project)
    meanwhile = [path for path, _ in others.most_common(FILES_MEANWHILE)]
    rest = sorted(
        (path for path in reversed(others) if path not in meanwhile), key=lambda path: path.parent.name != LONG
    )
    ranks = {path: rank for rank, path in enumerate([*with_project[:1], *meanwhile, *with_project[1:], *rest])}
    items.sort(key=lambda item: ranks[item.path])


def needs_project(item: pytest.Item) -> bool:
    """Tell whether a test uses the `project` of this module; the modules that have another make it of in_project."""
    names = item.fixturenames if isinstance(item, pytest.Function) else []
    return "project" in names and "in_project" not in names


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Let one process of a run import a module of tests first. The others read what it has compiled."""
    if not WORKER or not isinstance(collector, pytest.File):
        return (yield)
    with (Path(collector.config.option.basetemp).parent / "modules.lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, zlib.crc32(bytes(collector.path)))
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Run the sandbox and the prepared process in the one that starts those of pytest-xdist, and tell each where."""
    if SANDBOX not in node.config.stash:
        stack = ExitStack()
        node.config.add_cleanup(stack.close)
        folder = stack.enter_context(folder_for_servers())
        node.config.stash[SANDBOX] = stack.enter_context(servers.running(folder / "home"))
    node.workerinput["prepared"] = forked.address() if forked.can_fork() else ""
    node.workerinput["sandbox"] = json.dumps(asdict(node.config.stash[SANDBOX]), default=str)


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    """Make a folder outside of pytest's, and remove it.

    Each pytest that starts closes the root of pytest's folders to other accounts. Where we are root, PostgreSQL has an
    account of its own, and ends when it cannot open its files.
    """
    with tempfile.TemporaryDirectory(prefix="imageset-") as folder:
        yield Path(folder)


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A folder in which a test may run servers of its own."""
    with folder_for_servers() as folder:
        yield folder


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The servers, for all tests of all processes."""
    given = getattr(request.config, "workerinput", {}).get("sandbox")
    if given:
        values = json.loads(given)
        yield Servers(values["environment"], Path(values["photo_folder"]), values["photo_url"])
        return
    with folder_for_servers() as folder, servers.running(folder / "home") as running:
        yield running


def new_name() -> str:
    """Return a name that no other test of any process uses."""
    return f"test{WORKER}n{next(numbers)}"


@pytest.fixture
def bucket(sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A store under a prefix that no other test uses, with the environment that leads there."""
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IMAGE_STORE", f"s3://{PHOTO_BUCKET}/{new_name()}")
    return open_bucket()


@pytest.fixture
def database(sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new database with the marketplace's empty tables; DATABASE_URL names it."""
    name = new_name()
    create_database(sandbox, name)
    url = f"{sandbox.environment['DATABASE_URL'].rpartition('/')[0]}/{name}"
    execute(url, SCHEMA)
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def execute(url: str, statement: str) -> None:
    """Run SQL and commit it."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def photo_folder(sandbox: Servers) -> tuple[Path, str]:
    """A folder of the photo host that no other test uses, and its URL."""
    name = new_name()
    folder = sandbox.photo_folder / name
    folder.mkdir()
    return folder, f"{sandbox.photo_url}/{name}"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real weights of u2netp, fetched once as the model stage fetches them."""
    return fetch_once(tmp_path_factory, "u2netp.onnx", partial(model.fetch_background, "u2netp", U2NETP_SHA256))


@pytest.fixture(scope="session")
def embedding_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real weights of EfficientNet-Lite0, fetched once as the model stage fetches them."""
    return fetch_once(tmp_path_factory, "efficientnet-lite0.pth", model.fetch_embedding)


def fetch_once(factory: pytest.TempPathFactory, name: str, fetch: Callable[[Path], object]) -> Path:
    """Return a file or folder that is made once for all processes of pytest-xdist, by the first that asks."""
    folder = factory.getbasetemp()
    if WORKER:
        folder = folder.parent  # which they share
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).exists():
            fetch(folder / f"new-{name}")
            (folder / f"new-{name}").rename(folder / name)
    return folder / name


@pytest.fixture(scope="session")
def project(
    sandbox: Servers, weights: Path, embedding_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A project after a run of its pipeline on a marketplace of drawn photos, committed and pushed.

    It is made once. Each process has a copy; all have the same photos, rows of the database and remote of DVC.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | sandbox.environment | {"PATH": path, "IMAGESET_WORKERS": "1"}
    environment |= {"IMAGESET_MODEL_FILE": str(weights), "IMAGESET_EMBEDDING_FILE": str(embedding_weights)}
    environment["DATABASE_URL"] = f"{environment['DATABASE_URL'].rpartition('/')[0]}/{DATABASE}"
    environment["IMAGE_STORE"] += "/end-to-end"
    made = fetch_once(tmp_path_factory, "end-to-end", partial(make_project, sandbox=sandbox, environment=environment))
    folder = tmp_path_factory.mktemp("end-to-end") / "project"
    shutil.copytree(made, folder, symlinks=True)
    return Project(folder, environment)


def make_project(folder: Path, sandbox: Servers, environment: dict[str, str]) -> None:
    """Fill the marketplace and run the pipeline on it.

    Args:
        folder: for the project.
        sandbox: the servers.
        environment: that the project's commands run in.
    """
    source = folder.with_name("photos")
    for garment, count in PHOTOS.items():
        (source / garment).mkdir(parents=True)
        for number in range(count):
            (source / garment / f"{number}.jpeg").write_bytes(photo_bytes(number, garment))
    listings, classes = marketplace.copy_folders(source, sandbox.photo_folder)
    create_database(sandbox, DATABASE)
    marketplace.fill_database(environment["DATABASE_URL"], sandbox.photo_url, listings, classes)
    create_database(sandbox, UNCONNECTED, template=DATABASE)
    project = copy_project(folder, environment)
    project.succeed(sys.executable, "-m", "compileall", "-q", "imageset", "stages", "tools")  # once for all its copies
    project.succeed("dvc", "repro")
    project.commit("a run")
    project.succeed("dvc", "push")


def create_database(sandbox: Servers, name: str, template: str = "template1") -> None:
    with closing(psycopg2.connect(sandbox.environment["DATABASE_URL"])) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {template}")


@pytest.fixture
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the project's params.yaml, queries, releases and corrections; mains can run in it."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "queries", tmp_path / "queries")
    shutil.copytree(ROOT / "releases", tmp_path / "releases")
    shutil.copytree(ROOT / "corrections", tmp_path / "corrections")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(bucket: Bucket, key: str, body: bytes) -> None:
    """Put an object as another system would, over whatever is there."""
    bucket.client.put_object(Bucket=bucket.name, Key=bucket.prefix + key, Body=body)


@functools.cache
def photo_bytes(number: int = 0, garment: str = "t-shirt", kind: str = "JPEG") -> bytes:
    """A drawn photo, small and real."""
    file = io.BytesIO()
    draw.draw(garment, number).resize((120, 160)).save(file, kind)
    return file.getvalue()


def plain_image(color: tuple[int, int, int] = (200, 30, 30), sides: tuple[int, int] = (40, 60)) -> Image.Image:
    return Image.new("RGB", sides, color)


def jpeg(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image as a file of a kind, by Pillow's name."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def run_stage(
    name: str,
    *arguments: object,
    cwd: Path,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a stage as DVC does, from another working directory, and return what it said."""
    return run_python(f"stages.{name}", *as_given(name, list(map(str, arguments))), cwd=cwd, environment=environment)


def as_given(name: str, arguments: list[str]) -> list[str]:
    """Return a stage's paths as its command line has them: named, when there are many."""
    parameters = list(inspect.signature(import_module(f"stages.{name}").main).parameters)
    if len(parameters) <= stage.MAX_POSITIONAL_PATHS or len(parameters) != len(arguments):
        return arguments
    return [
        word
        for pair in zip((stage.option(one, parameters) for one in parameters), arguments, strict=True)
        for word in pair
    ]


@pytest.fixture
def edit_params(in_project: Path) -> Callable[[str, str], None]:
    """Replace a line of the project's params.yaml: edit_params("  limit: null", "  limit: 3")."""

    def edit(old: str, new: str) -> None:
        path = in_project / "params.yaml"
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    return edit
