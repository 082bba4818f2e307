import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import psutil
import psycopg2
import pytest

import sandbox.__main__ as command
from imageset.errors import DataError, ImagesetError, ServerError, Undecodable
from imageset.formats import tables
from imageset.photos import decode
from sandbox import marketplace, ports, servers
from sandbox.child import run_child, wait_until_ready
from sandbox.marketplace import FIRST_CATALOG, FIRST_PRODUCT, Listing
from sandbox.photo_host import photo_host
from sandbox.s3 import PHOTO_BUCKET
from sandbox.servers import Servers
from stages import labels, listings
from tests.conftest import execute, folder_for_servers, jpeg, photo_bytes, plain_image
from tests.project import ROOT, command_line

SECONDS = 60


@pytest.fixture
def tmp_path(server_folder: Path) -> Path:
    """A folder in which servers can run, in place of pytest's."""
    return server_folder


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

    assert any("weed mini" in line for line in lines)
    assert not any(sandbox.environment["AWS_SECRET_ACCESS_KEY"] in line for line in lines)


def test_a_second_sandbox_in_the_same_home_is_refused_in_one_line(sandbox: Servers) -> None:
    with (
        pytest.raises(ImagesetError, match=rf"another run is active \(pid {os.getpid()}\)") as caught,
        servers.running(sandbox.photo_folder.parent),
    ):
        pass

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/", "/../secret", "/%2e%2e/secret", "//etc/passwd", "/absent.jpg"])
def test_the_photo_host_shows_its_photos_and_nothing_else(path: str, sandbox: Servers) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(sandbox.photo_url + path, timeout=SECONDS)
    caught.value.close()


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
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


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


def run_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=2 * SECONDS,
        check=False,
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photos for each class, and files that are no photos."""
    folder = tmp_path / "photos"
    for name, count in (("skirt", 3), ("Blusen, Größe L", 9)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.JPG").write_bytes(jpeg(plain_image((number * 20, len(name), 0))))
    (folder / "skirt/notes.txt").write_text("not a photo")
    (folder / "stray.jpg").write_bytes(photo_bytes())
    return folder


@pytest.fixture
def served(photos: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m sandbox serve`, ready, in tmp_path."""
    arguments = [sys.executable, "-m", "sandbox", "serve", "--photos", str(photos)]
    supervisor = subprocess.Popen(
        arguments,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: (tmp_path / ".env").exists() or supervisor.poll() is not None)
    yield supervisor
    supervisor.terminate()
    supervisor.wait(SECONDS)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert condition()


def test_servers_end_with_a_supervisor_that_is_killed_and_services_start_after_it(
    served: subprocess.Popen[bytes], tmp_path: Path, photos: Path
) -> None:
    children = psutil.Process(served.pid).children(recursive=True)
    served.kill()
    _, alive = psutil.wait_procs(children, SECONDS)

    assert len(children) >= 2
    assert alive == []

    started = run_command(tmp_path, "services", "--photos", str(photos))
    environment = (tmp_path / ".env").read_text()
    stopped = run_command(tmp_path, "stop")

    assert (started.returncode, started.stderr) == (0, "")
    assert environment.startswith("# Written by `make services`")
    assert (stopped.returncode, stopped.stdout) == (0, "The services have stopped.\n")
    assert not (tmp_path / ".env").exists()


def test_a_supervisor_that_is_terminated_stops_the_servers_and_removes_the_env_file(
    served: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    children = psutil.Process(served.pid).children(recursive=True)
    mode = stat.S_IMODE((tmp_path / ".env").stat().st_mode)
    refused = run_command(tmp_path, "services")
    kept = (tmp_path / ".env").exists()
    served.terminate()
    served.wait(SECONDS)

    assert [process for process in children if process.is_running()] == []
    assert not (tmp_path / ".env").exists()
    assert kept
    assert mode == 0o600
    assert refused.returncode == 1
    assert refused.stderr.startswith("sandbox: the services or a demo already run")
    assert refused.stderr.count("\n") == 1


def test_an_env_file_that_the_sandbox_did_not_write_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://shop/production\n")

    with pytest.raises(ImagesetError, match=r"\.env was not written by the sandbox"):
        command.start_services(None)

    assert (tmp_path / ".env").read_text() == "DATABASE_URL=postgresql://shop/production\n"


def test_another_set_of_photos_has_another_prefix_in_the_bucket(tmp_path: Path) -> None:
    names = []
    for content in (b"a", b"b", b"a"):
        (tmp_path / "3000001.jpg").write_bytes(content)
        names.append(marketplace.name_photos(tmp_path))

    assert names[0] == names[2] != names[1]


def test_settings_for_other_servers_do_not_disturb(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-the-office")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    started = run_command(tmp_path, "services", "--photos", str(photos))
    environment = (tmp_path / ".env").read_text() if started.returncode == 0 else ""
    run_command(tmp_path, "stop")

    assert (started.returncode, started.stderr) == (0, "")
    assert "IMAGE_STORE='s3://imageset-photos/" in environment


def test_the_database_requires_the_password(sandbox: Servers) -> None:
    without = re.sub(r":\w+@", "@", sandbox.environment["DATABASE_URL"])

    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(without)


def test_stopping_without_running_services_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command.stop_services()

    assert capsys.readouterr().out == "No services are running.\n"


def test_folders_become_a_marketplace_that_the_stages_can_read(
    database: str, photo_folder: tuple[Path, str], photos: Path, in_project: Path
) -> None:
    folder, url = photo_folder
    (folder / "of_last_time.jpg").write_bytes(b"")

    assert marketplace.open_marketplace(database, url, folder, photos)[0] == 12

    data, queries = in_project / "data", in_project / "queries"
    listings.main(queries / "listings.sql", data / "listings.csv", data / "listings_rejects.csv")
    labels.main(queries / "labels.sql", queries / "classes.sql", data / "labels.csv", data / "classes.csv")
    listed = tables.read(data / "listings.csv", tables.LISTINGS)
    classes = tables.read(data / "classes.csv", tables.CLASSES)

    assert listed["product_id"].tolist() == list(range(FIRST_PRODUCT, FIRST_PRODUCT + 12))
    assert sorted(path.name for path in folder.iterdir()) == [f"{number}.jpg" for number in listed["product_id"]]
    assert listed["image_url"].tolist() == [f"{url}/{number}.jpg" for number in listed["product_id"]]
    assert classes["name"].tolist() == ["clothing", "Blusen, Größe L", "skirt"]
    assert query(database, "SELECT title, count(*) FROM products_catalog GROUP BY title ORDER BY title") == [
        ("Blusen, Größe L", 9),
        ("skirt", 3),
    ]


def test_a_product_that_was_moved_has_its_own_class_last(
    database: str, photo_folder: tuple[Path, str], photos: Path
) -> None:
    folder, url = photo_folder
    marketplace.open_marketplace(database, url, folder, photos)
    tracked = query(database, "SELECT catalog_id FROM tracking_staging WHERE product_id = 3000010 ORDER BY date")

    assert tracked == [(FIRST_CATALOG,), (FIRST_CATALOG + 1,)]
    assert query(database, "SELECT count(*) FROM tracking_staging") == [(13,)]


def test_a_folder_without_photos_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "skirt").mkdir()

    with pytest.raises(DataError, match="expected a folder for each class"):
        marketplace.copy_folders(tmp_path, tmp_path)


def outcome(photo: bytes) -> str:
    try:
        decode.decode(photo, 1_000_000)
    except Undecodable as error:
        return error.reason
    return "a photo"


def test_each_dirty_listing_is_wrong_in_the_way_that_its_name_says(tmp_path: Path) -> None:
    clean = []
    for number, title in enumerate(("bag", "jacket", "dress")):
        (tmp_path / f"{number}.jpg").write_bytes(photo_bytes(number, title))
        clean.append(Listing(number, title, (f"{number}.jpg",), (10 + number,)))
    dirty = list(marketplace.make_dirty_listings(clean, tmp_path))
    outcomes = {
        listing.photos[0].partition("-")[2]: outcome((tmp_path / listing.photos[0]).read_bytes())
        for listing in dirty[:9]
    }

    assert outcomes == {
        "again.jpg": "a photo",
        "smaller.jpg": "a photo",
        "mirrored.jpg": "a photo",
        "sideways.jpg": "a photo",
        "cmyk.jpg": "a photo",
        "picture.png": "a photo",
        "truncated.jpg": "truncated",
        "login.jpg": "not_an_image",
        "empty.jpg": "empty",
    }
    assert [(len(listing.photos), len(listing.catalog_ids)) for listing in dirty[9:]] == [(1, 1), (1, 0), (3, 1)]
