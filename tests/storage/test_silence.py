"""A database that sends nothing: the stage ends in bounded time, with one line; a slow query is no silence."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from imageset.errors import ServerError
from imageset.runtime import progress
from imageset.storage import database, engines, silence
from tests.faults.proxy import TO_CLIENT, TO_SERVER, Proxy
from tests.project import ROOT
from tools.check import reading

OUTPUTS = ["listings.csv", "rejects.csv", "attributes.csv", "groups.csv"]
SLEEPING = "SELECT 1 AS product_id, 0 AS position, 'https://a.example/1.jpg' AS image_url FROM pg_sleep(600)"
MANY = "SELECT i AS product_id, 0 AS position, repeat('x', 100) AS image_url FROM generate_series(1, 200000) AS n (i)"
SECONDS = 60  # for what takes one or two
QUERIES_OF_OTHERS = (
    "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'"
)


@contextmanager
def listings_running(url: str, query: str, folder: Path, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """Run stage listings with a query."""
    (folder / "query.sql").write_text(query)
    environment = os.environ | {"DATABASE_URL": url, "IMAGESET_DATABASE_SECONDS": str(seconds), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.listings", "query.sql", *OUTPUTS]
    stage = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield stage
    finally:
        stage.kill()
        stage.communicate()


@pytest.fixture
def two_projects(in_project: Path) -> tuple[Path, Path]:
    """Folders of their own, as a stage holds a lock on its folder."""
    one, other = in_project / "one", in_project / "other"
    for folder in (one, other):
        folder.mkdir()
        shutil.copy(in_project / "params.yaml", folder)
    return one, other


def end_of(stage: subprocess.Popen[str], folder: Path) -> tuple[int, str]:
    """Return the exit code of a stage and what it said, once it has ended. It has written nothing."""
    _, said = stage.communicate(timeout=SECONDS)
    assert not [name for name in OUTPUTS if (folder / name).exists()]
    return stage.returncode, said


def backends(url: str) -> list[int]:
    """Return the processes of the server that run a query in this database."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(QUERIES_OF_OTHERS)
        return [pid for (pid,) in cursor.fetchall()]


def wait_for(condition: Callable[[], object]) -> Any:
    """Return what a condition gives, once that is true."""
    until = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def test_a_backend_that_stops_in_a_query_ends_the_stage(database: str, in_project: Path) -> None:
    with listings_running(database, SLEEPING, in_project, 2) as stage:
        (backend,) = wait_for(lambda: backends(database))
        os.kill(backend, signal.SIGSTOP)
        try:
            code, said = end_of(stage, in_project)
        finally:
            os.kill(backend, signal.SIGCONT)

    assert code == 1
    assert said.startswith("listings: PostgreSQL at 127.0.0.1:")
    assert said.endswith(
        ": it sent nothing for 2 s while query.sql ran: look at what the server does, or allow more, such as "
        "IMAGESET_DATABASE_SECONDS=4\n"
    )
    assert said.count("\n") == 1


def test_a_network_that_drops_packets_ends_the_stage(database: str, two_projects: tuple[Path, Path]) -> None:
    """Early and late in the answer, at the same time."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy.before(database)) for _ in range(2)]
        for proxy, place in zip(proxies, (5_000, 1_000_000), strict=True):
            proxy.drop(TO_CLIENT, at=place)
        stages = [
            stack.enter_context(listings_running(proxy.replace(database), MANY, folder, 2))
            for proxy, folder in zip(proxies, two_projects, strict=True)
        ]
        ends = [end_of(stage, folder) for stage, folder in zip(stages, two_projects, strict=True)]

    assert [proxy.injected for proxy in proxies] == [1, 1]
    assert [code for code, _ in ends] == [1, 1]
    assert [said.count("\n") for _, said in ends] == [1, 1]
    assert ["sent nothing for 2 s" in said for _, said in ends] == [True, True]


def test_a_server_that_does_not_answer_a_connection_is_given_up(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(silence.OF_LIBPQ, "connect_timeout", 2)
    with Proxy.before(database) as proxy:
        monkeypatch.setenv("DATABASE_URL", proxy.replace(database))
        proxy.drop(TO_SERVER)
        with pytest.raises(ServerError, match="timeout expired: correct DATABASE_URL"):
            ask(tmp_path, "SELECT 1 AS one", attempts=1)
    assert proxy.injected == 1


def test_silence_right_after_connecting_is_as_short(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What SQLAlchemy asks a new server has the limit of connecting, not that of a query."""
    with Proxy.before(database) as proxy:
        monkeypatch.setenv("DATABASE_URL", proxy.replace(database))
        psycopg2.connect(proxy.replace(database)).close()
        greeting = proxy.counted[TO_CLIENT]
        proxy.restore()
        monkeypatch.setattr(silence, "SECONDS_TO_CONNECT", 1)
        proxy.drop(TO_CLIENT, at=greeting)
        with pytest.raises(ServerError, match="it sent nothing for 1 s while it was connected to"):
            ask(tmp_path, "SELECT 1 AS one", attempts=1)
    assert proxy.injected == 1


def ask(folder: Path, query: str, attempts: int = 3) -> list[tuple[Any, ...]]:
    (folder / "query.sql").write_text(query)
    with database.snapshot(attempts) as connection:
        return database.fetch_any_rows(connection, folder / "query.sql", lambda names: None, None)


@pytest.mark.usefixtures("database")
def test_a_slow_query_prints_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.2)
    slow = "SELECT i, pg_sleep(CASE WHEN i IN (1, 15000) THEN 1 ELSE 0 END) FROM generate_series(1, 15000) AS n (i)"
    rows = ask(tmp_path, slow)

    lines = capsys.readouterr().err.splitlines()
    assert len(rows) == 15000
    assert any(" s, no row yet from PostgreSQL at 127.0.0.1:" in line for line in lines)
    assert any(re.search(r" s, [\d,]+ rows from PostgreSQL at 127\.0\.0\.1:", line) for line in lines)
    assert all(line.startswith((f"{tmp_path}/query.sql: ", "database: ")) for line in lines)


@pytest.mark.faults_only
def test_a_signal_ends_the_stage_and_its_query(database: str, two_projects: tuple[Path, Path]) -> None:
    """PostgreSQL looks every 5 s whether its client is there: both stages wait for that at the same time."""
    one, other = two_projects
    with (
        listings_running(database, SLEEPING, one, 600) as interrupted,
        listings_running(database, SLEEPING, other, 600) as terminated,
    ):
        wait_for(lambda: len(backends(database)) == 2)
        interrupted.send_signal(signal.SIGINT)
        terminated.send_signal(signal.SIGTERM)

        assert end_of(interrupted, one) == (130, "listings: interrupted\n")
        assert end_of(terminated, other) == (143, "")
    wait_for(lambda: not backends(database))


def test_a_check_gives_up_a_silent_server(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "SECONDS", 1.0)
    (tmp_path / "query.sql").write_text(MANY)
    with Proxy.before(database) as proxy:
        monkeypatch.setenv("DATABASE_URL", proxy.replace(database))
        proxy.drop(TO_CLIENT, at=5_000)

        sample = reading.read(tmp_path / "query.sql", lambda names: None, None)
    assert sample is None or not sample.complete
    assert proxy.injected == 1


def test_the_kernel_looks_whether_the_server_is_there(database: str) -> None:
    found = socket_options(database)

    assert found == {
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 30,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 60_000,
    }


def test_limits_of_the_url_count_more(database: str) -> None:
    found = socket_options(f"{database}?keepalives_idle=7&tcp_user_timeout=5000")

    assert (found["TCP_KEEPIDLE"], found["TCP_USER_TIMEOUT"], found["TCP_KEEPCNT"]) == (7, 5000, 3)


def socket_options(url: str) -> dict[str, int]:
    engine = engines.open_engine(engines.parse_url(url.replace("postgresql://", "postgresql+psycopg2://")))
    with engine.connect() as connection:
        copy = socket.socket(fileno=os.dup(connection.connection.dbapi_connection.fileno()))  # type: ignore[union-attr]
        with copy:
            names = ["TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"]
            options = {name: copy.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names}
            return {"SO_KEEPALIVE": copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), **options}


def test_a_driver_without_known_limits_is_told_none() -> None:
    assert silence.connect_options("oracledb", 600) == {}
    assert silence.connect_options("pymysql", 600) == {"connect_timeout": 10, "read_timeout": 600, "write_timeout": 600}
