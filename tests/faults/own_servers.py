"""Servers of a test's own, with the project's rows and photos. Each can be killed and started again.

The session's servers are all tests': nobody kills these.
"""

import io
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg2

from sandbox.child import run_child, wait_until_ready
from sandbox.marketplace import SCHEMA
from sandbox.ports import HOST, choose_ports
from sandbox.postgres import is_postgres_ready, postgres_server
from sandbox.s3 import PHOTO_BUCKET, is_s3_ready, open_client, s3_server

TABLES = ("products_catalog", "products_photos", "tracking_staging", "catalogs")


@dataclass
class OwnServer:
    """A server that can be killed and started again, with the same port and data.

    Attributes:
        url: where it listens; as the setting that names it, where there is one.
        run: runs it until the context ends.
        is_ready: tells whether it answers.
        log: what it says.
    """

    url: str
    run: Callable[[], AbstractContextManager[subprocess.Popen[bytes]]]
    is_ready: Callable[[], bool]
    log: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start it, and wait until it answers. Call it from the main thread: it ends with the thread that starts it."""
        self.stack.close()
        self.process = self.stack.enter_context(self.run())
        wait_until_ready(self.is_ready, self.process, self.log)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def kill_backends(self) -> None:
        """Kill the processes of PostgreSQL that serve a connection. The server then starts again by itself."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if f"{HOST}(" in " ".join(child.cmdline()):
                    child.kill()


@contextmanager
def started(server: OwnServer) -> Iterator[OwnServer]:
    with closing(server.stack):
        server.start()
        yield server


@contextmanager
def own_postgresql(folder: Path, source: str) -> Iterator[OwnServer]:
    """Run PostgreSQL with the rows of another database, in its own database "postgres".

    Args:
        folder: for its data and log.
        source: the other database's url. The user and the password are the same.
    """
    parts = urlsplit(source)
    port = choose_ports(folder / "ports.json")["postgres"]
    url = parts._replace(netloc=f"{parts.username}:{parts.password}@{HOST}:{port}", path="/postgres").geturl()
    run = partial(postgres_server, folder / "postgres", port, str(parts.password))
    with started(OwnServer(url, run, partial(is_postgres_ready, url), folder / "postgres.log")) as server:
        with closing(psycopg2.connect(source)) as old, closing(psycopg2.connect(url)) as new:
            rows = new.cursor()
            rows.execute(SCHEMA)
            for table in TABLES:
                text = io.StringIO()
                old.cursor().copy_expert(f"COPY {table} TO STDOUT", text)
                text.seek(0)
                rows.copy_expert(f"COPY {table} FROM STDIN", text)
            new.commit()
        yield server


@contextmanager
def own_bucket(folder: Path, environment: dict[str, str]) -> Iterator[OwnServer]:
    """Run SeaweedFS with the objects of another one's photo bucket.

    Args:
        folder: for its data and log.
        environment: that leads to the other one. The keys are the same.
    """
    ports = choose_ports(folder / "ports.json")
    own = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    own["AWS_ENDPOINT_URL"] = f"http://{HOST}:{ports['s3']}"
    run = partial(s3_server, folder / "s3", ports, own)
    with started(OwnServer(own["AWS_ENDPOINT_URL"], run, partial(is_s3_ready, own), folder / "s3.log")) as server:
        old, new = open_client(environment), open_client(own)
        prefix = environment["IMAGE_STORE"].removeprefix(f"s3://{PHOTO_BUCKET}/") + "/"
        for page in old.get_paginator("list_objects_v2").paginate(Bucket=PHOTO_BUCKET, Prefix=prefix):
            for each in page["Contents"]:
                photo = old.get_object(Bucket=PHOTO_BUCKET, Key=each["Key"])
                new.put_object(
                    Bucket=PHOTO_BUCKET,
                    Key=each["Key"],
                    Body=photo["Body"].read(),
                    ContentType=photo["ContentType"],
                    Metadata=photo["Metadata"],
                )
        yield server


@contextmanager
def own_photo_host(folder: Path, photos: Path) -> Iterator[OwnServer]:
    """Serve a folder of photos over HTTP, in a process of its own.

    Args:
        folder: for its log.
        photos: the folder to serve.
    """
    port = choose_ports(folder / "ports.json")["photos"]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", HOST, "--protocol", "HTTP/1.1"]
    log = folder / "photos.log"
    run = partial(run_child, [*command, "--directory", str(photos)], log, signal.SIGTERM)
    with started(OwnServer(f"http://{HOST}:{port}", run, partial(listens, port), log)) as server:
        yield server


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
