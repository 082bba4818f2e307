"""Kills of `make services` and of its servers, while they start and while they run: the same command then works."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import psutil
import psycopg2
import pytest
from dotenv import dotenv_values

from sandbox.s3 import DVC_BUCKET, open_client
from tests.conftest import execute, jpeg, plain_image
from tests.faults.kills import require_none
from tests.faults.trials import Trials
from tests.project import ROOT, command_line

SECONDS = 60
LISTINGS = 12
DATA = (".sandbox/postgres/", ".sandbox/s3/")  # of servers, who name their files as they like
KEY, CONTENT = "kept", b"an object of an earlier run"


class Kill(NamedTuple):
    """A kill: of `serve`, of all of its process group, of the command that started it, or of a server, by its program.

    at: the file that is there then. Empty: when all have run for a moment, with data of a person.
    """

    victim: str
    at: str


STARTING = ("serve.log", "secret", ".postgres.tmp/PG_VERSION", "postgres/PG_VERSION", "postgres.log", "s3.log")
KILLS = [
    *(Kill("serve", at) for at in STARTING),
    *(Kill("group", at) for at in (".postgres.tmp/PG_VERSION", ".postgres.tmp/global/pg_control", "postgres.log")),
    Kill("services", "secret"),
    Kill("services", "postgres.log"),
    *(Kill(victim, "") for victim in ("serve", "group", "postgres", "weed")),
]


@dataclass
class Market:
    """A folder for the services, with photos and a TMPDIR of its own."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "tmp").mkdir(parents=True)
        (self.folder / "photos/skirt").mkdir(parents=True)
        for number in range(LISTINGS):
            content = jpeg(plain_image((number * 20, 0, 0)))
            (self.folder / f"photos/skirt/{number}.jpg").write_bytes(content)

    @property
    def home(self) -> Path:
        return self.folder / ".sandbox"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of the sandbox."""
        return subprocess.Popen(
            [sys.executable, "-m", "sandbox", *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command of the sandbox, and return its exit code and what it printed."""
        running = self.start(*arguments)
        printed, _ = running.communicate(timeout=SECONDS)
        return running.returncode, printed

    def serve(self) -> None:
        code, printed = self.run("services", "--photos", "photos")
        assert code == 0, printed

    def stop(self) -> None:
        code, printed = self.run("stop")
        assert code == 0, printed
        assert not (self.folder / ".env").exists()

    def environment(self) -> dict[str, str]:
        return {name: value or "" for name, value in dotenv_values(self.folder / ".env").items()}

    def processes(self) -> list[psutil.Process]:
        """Return what runs here: its command line names the folder, or it works there."""
        return [each for each in psutil.process_iter() if self.is_ours(each)]

    def is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and (
                str(self.folder) in " ".join(command_line(process)) or process.cwd().startswith(str(self.folder))
            )
        except psutil.Error:
            return False

    def find(self, name: str) -> psutil.Process:
        """Return the process of a command of the sandbox, or of a server: the one that the others come from."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [each for each in self.processes() if name in command_line(each) or each.name() == name]
            return bool(found)

        wait_for(look, name)
        return min(found, key=psutil.Process.create_time)

    def files(self) -> list[str]:
        """Return the files that are here, without those of PostgreSQL and of the S3 server."""
        names = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
        return sorted(name for name in names if not name.startswith(DATA))


def read_market(market: Market) -> dict[str, str]:
    """Return the sha256 of each listing's photo, as the running services give them."""
    with closing(psycopg2.connect(market.environment()["DATABASE_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT product_id, image FROM products_catalog")
        found = {}
        for product, url in cursor.fetchall():
            with urlopen(url, timeout=SECONDS) as answer:
                found[str(product)] = hashlib.sha256(answer.read()).hexdigest()
    return found


def keep_data(market: Market) -> None:
    """Write a row and an object, as a person's run does."""
    environment = market.environment()
    execute(environment["DATABASE_URL"], "CREATE TABLE kept AS SELECT 20 AS number")
    open_client(environment).put_object(Bucket=DVC_BUCKET, Key=KEY, Body=CONTENT)


def require_data(market: Market) -> None:
    environment = market.environment()
    with closing(psycopg2.connect(environment["DATABASE_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT number FROM kept")
        assert cursor.fetchall() == [(20,)]
    assert open_client(environment).get_object(Bucket=DVC_BUCKET, Key=KEY)["Body"].read() == CONTENT


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def kill(market: Market, victim: str) -> None:
    process = market.find("serve" if victim == "group" else victim)
    if victim == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def require_ended(market: Market) -> None:
    """Wait for what ends by itself; what does not is an orphan."""
    _, alive = psutil.wait_procs(market.processes(), SECONDS)
    require_none("orphans", [" ".join(command_line(each)) for each in alive])


def kill_while_starting(market: Market, case: Kill) -> None:
    starting = market.start("services", "--photos", "photos")
    wait_for(lambda: (market.home / case.at).exists() or starting.poll() is not None, case.at)
    kill(market, case.victim)
    printed, _ = starting.communicate(timeout=SECONDS)
    assert "Traceback" not in printed, printed
    if case.victim == "services":  # what it started goes on, and is ended as it says
        assert starting.returncode == -signal.SIGKILL
        wait_for(lambda: (market.folder / ".env").exists(), ".env")
        assert "`make stop` ends them" in market.run("services", "--photos", "photos")[1]
        market.stop()
    else:
        assert (starting.returncode, printed.count("the services did not start")) == (1, 1), printed
    require_ended(market)


def kill_while_running(market: Market, case: Kill) -> None:
    market.serve()
    keep_data(market)
    kill(market, case.victim)
    if case.victim in ("postgres", "weed"):  # the others run
        assert "`make stop` ends them" in market.run("services", "--photos", "photos")[1]
        market.stop()
    require_ended(market)


@contextmanager
def ended(market: Market) -> Iterator[None]:
    """End all that runs here at the end, also where a trial has failed."""
    try:
        yield
    finally:
        for process in market.processes():
            process.kill()


@pytest.mark.faults_only
@pytest.mark.fault("Crash", "kill -9 of `make services`, of its process group or of a server", "signal")
def test_kill_the_services(trials: Trials, server_folder: Path) -> None:
    undisturbed = Market(server_folder / "undisturbed")
    with ended(undisturbed):
        undisturbed.serve()
        expected = read_market(undisturbed)
        undisturbed.stop()
        require_ended(undisturbed)
    files = undisturbed.files()
    assert len(expected) == LISTINGS

    for number, case in enumerate(KILLS):
        market = Market(server_folder / str(number))
        with ended(market), trials.trial(f"{case.victim} {case.at or 'running'}"):
            (kill_while_starting if case.at else kill_while_running)(market, case)
            market.serve()
            assert read_market(market) == expected
            if not case.at:
                require_data(market)
            market.stop()
            require_ended(market)
            require_none("stray", sorted(set(market.files()) ^ set(files)))
