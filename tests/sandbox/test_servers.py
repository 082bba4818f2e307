"""The sandbox's servers: loopback only, secrets, ports, starting again."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg2
import pytest

from imageset.errors import ImagesetError, ServerError
from sandbox import ports, servers
from sandbox.child import run_child, wait_until_ready
from sandbox.photo_host import PhotoHandler, PhotoServer, photo_host
from sandbox.ports import HOST
from sandbox.s3 import PHOTO_BUCKET, open_client
from sandbox.servers import Servers
from tests.conftest import execute, folder_for_servers
from tests.project import ROOT, command_line

SECONDS = 60


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Servers]:
    """Servers of this process: the session's may be another's."""
    with folder_for_servers() as folder, servers.running(folder / "home") as running:
        yield running


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def test_servers_listen_on_loopback_alone(sandbox: Servers) -> None:
    us = psutil.Process()
    sockets = [
        socket
        for process in [us, *us.children(recursive=True)]
        for socket in process.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN or not socket.raddr
    ]

    assert len(sockets) >= len(ports.PORTS)
    assert {socket.laddr.ip for socket in sockets} == {"127.0.0.1"}


def test_no_secret_is_in_the_process_list(sandbox: Servers) -> None:
    lines = [" ".join(command_line(process)) for process in psutil.Process().children(recursive=True)]

    assert any("weed" in line and " mini " in line for line in lines)
    assert not any(sandbox.environment["AWS_SECRET_ACCESS_KEY"] in line for line in lines)


def test_a_second_sandbox_in_the_same_home_is_refused_in_one_line(sandbox: Servers) -> None:
    with (
        pytest.raises(ImagesetError, match=rf"another run is active \(pid {os.getpid()}\)") as caught,
        servers.running(sandbox.photo_folder.parent),
    ):
        pass

    assert "\n" not in str(caught.value)


RUN_SERVERS = """
import sys
from pathlib import Path
from sandbox import servers
print("imported", flush=True)
input()
with servers.running(Path(sys.argv[1])) as running:
    print(running.environment["AWS_ENDPOINT_URL"], flush=True)
    input()
"""


@pytest.mark.faults_only
def test_two_sandboxes_that_start_at_the_same_moment_have_other_ports(tmp_path: Path) -> None:
    """Both wanted the ports of their ports.json, which are the same in a copied folder."""
    ports.choose_ports(tmp_path / "one/ports.json")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    with ExitStack() as stack:
        both = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", RUN_SERVERS, str(tmp_path / name)],
                    env=os.environ | {"PYTHONPATH": str(ROOT)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for name in ("one", "other")
        ]
        said = [(each.stdout and each.stdout.readline()) for each in both]
        for each in both:
            tell(each)
        urls = {each.stdout and each.stdout.readline().strip() for each in both}
        for each in both:
            tell(each)
        ends = [each.wait(SECONDS) for each in both]

    assert said == ["imported\n"] * 2
    assert ends == [0, 0]
    assert len(urls) == 2


def tell(process: subprocess.Popen[str]) -> None:
    """Send a line to a process that waits for one, if it has not ended."""
    assert process.stdin
    with suppress(BrokenPipeError):
        process.stdin.write("\n")
        process.stdin.flush()


@pytest.mark.parametrize("path", ["/", "/../secret", "/%2e%2e/secret", "//etc/passwd", "/absent.jpg"])
def test_the_photo_host_shows_its_photos_and_nothing_else(path: str, sandbox: Servers) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(sandbox.photo_url + path, timeout=SECONDS)
    caught.value.close()


@pytest.mark.parametrize(("error", "shown"), [(ConnectionResetError(), ""), (ValueError("of ours"), "ValueError")])
def test_the_photo_host_says_nothing_of_a_client_that_was_killed(
    error: Exception, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with PhotoServer((HOST, 0), PhotoHandler) as server:
        try:
            raise error
        except (ConnectionError, ValueError):
            server.handle_error(None, "a client")

    said = capsys.readouterr().err
    assert said == "" if shown == "" else shown in said


class Ended(NamedTuple):
    """A sandbox that ran and ended."""

    home: Path
    environment: dict[str, str]
    processes: list[psutil.Process]


@pytest.fixture(scope="module")
def ended() -> Iterator[Ended]:
    """A sandbox that has left a table and an object behind."""
    before = set(psutil.Process().children(recursive=True))
    with folder_for_servers() as folder:
        with servers.running(folder / "home") as running:
            processes = set(psutil.Process().children(recursive=True)) - before
            execute(running.environment["DATABASE_URL"], "CREATE TABLE left_behind AS SELECT 42 AS answer")
            s3_of(running.environment).put_object(Bucket=PHOTO_BUCKET, Key="1.jpeg", Body=b"left behind")
        yield Ended(folder / "home", running.environment, list(processes))


def s3_of(environment: dict[str, str]) -> Any:
    return open_client(environment)


@pytest.mark.faults_only
def test_a_sandbox_that_ended_leaves_no_process(ended: Ended) -> None:
    assert ended.processes
    assert [process for process in ended.processes if process.is_running()] == []


def test_only_the_owner_can_read_the_secret(ended: Ended) -> None:
    assert stat.S_IMODE((ended.home / "secret").stat().st_mode) == 0o600


@pytest.fixture
def bystander(ended: Ended) -> Iterator[subprocess.Popen[bytes]]:
    """Another process of the account that PostgreSQL runs under."""
    with subprocess.Popen(["sleep", "600"], user=(ended.home / "postgres").stat().st_uid) as process:
        yield process
        process.kill()


def test_a_sandbox_started_again_has_its_ports_and_data_in_spite_of_a_stale_pid_file(
    ended: Ended, bystander: subprocess.Popen[bytes]
) -> None:
    (ended.home / "postgres/postmaster.pid").write_text(f"{bystander.pid}\n{ended.home / 'postgres'}\n")
    with servers.running(ended.home) as running:
        body = s3_of(running.environment).get_object(Bucket=PHOTO_BUCKET, Key="1.jpeg")["Body"].read()

        assert running.environment == ended.environment
        assert query(running.environment["DATABASE_URL"], "SELECT answer FROM left_behind") == [(42,)]
        assert body == b"left behind"
        assert bystander.poll() is None


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"postgres": 1}'])
def test_new_ports_are_chosen_if_the_file_is_missing_or_damaged(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ports.json").write_text(content)
    chosen = ports.choose_ports(tmp_path / "ports.json")

    assert set(chosen) == set(ports.PORTS)
    assert len(set(ports.list_ports_with_grpc(chosen))) == 2 * len(ports.PORTS)
    assert ports.choose_ports(tmp_path / "ports.json") == chosen


def test_new_ports_are_chosen_if_one_is_taken(tmp_path: Path) -> None:
    chosen = ports.choose_ports(tmp_path / "ports.json")
    with photo_host(tmp_path, chosen["photos"]):
        others = ports.choose_ports(tmp_path / "ports.json")

    assert chosen["photos"] not in ports.list_ports_with_grpc(others)


def test_the_message_quotes_the_log_of_a_server_that_does_not_start(tmp_path: Path) -> None:
    log = tmp_path / "weed.log"
    with run_child(["sh", "-c", "echo starting; echo no room; exit 1"], log, signal.SIGTERM) as server:
        server.wait(SECONDS)

        with pytest.raises(ServerError, match=rf"^weed did not start: no room \(see {log}\)$"):
            wait_until_ready(lambda: False, server, log)


def test_the_database_requires_the_password(sandbox: Servers) -> None:
    without = re.sub(r":\w+@", "@", sandbox.environment["DATABASE_URL"])

    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(without)
