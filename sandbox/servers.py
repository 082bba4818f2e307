"""Run PostgreSQL, an S3 server and a photo host on loopback: real servers that end with this process."""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imageset.runtime import files
from sandbox.child import wait_until_ready
from sandbox.photo_host import photo_host
from sandbox.ports import HOST, choose_ports
from sandbox.postgres import is_postgres_ready, postgres_server
from sandbox.s3 import PHOTO_BUCKET, is_s3_ready, s3_server


@dataclass(frozen=True)
class Servers:
    """How a program reaches the running servers."""

    environment: dict[str, str]  # settings for the pipeline and DVC
    photo_folder: Path
    photo_url: str  # where the photo host serves the folder


@contextmanager
def running(home: Path) -> Iterator[Servers]:
    """Run the three servers until the context or this process ends. Call it from the main thread.

    Args:
        home: folder for their data, ports and password.

    Raises:
        ImagesetError: a sandbox already runs in this folder.
        ServerError: a server does not start.
    """
    home.mkdir(parents=True, exist_ok=True)
    home = home.resolve()
    with files.lock(home / "lock"), ExitStack() as stack:
        with starting_alone():
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
            wait_until_ready(partial(is_postgres_ready, environment["DATABASE_URL"]), postgres, home / "postgres.log")
            wait_until_ready(partial(is_s3_ready, environment), weed, home / "s3.log")
        yield Servers(environment, photos, f"http://{HOST}:{ports['photos']}")


@contextmanager
def starting_alone() -> Iterator[None]:
    """Wait until no other sandbox of this account starts, in whatever folder: both would find the same ports free."""
    path = Path(tempfile.gettempdir()) / f"imageset-sandbox-{os.getuid()}.lock"
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_secret(path: Path) -> str:
    """Return the password of the servers, made on first use. Only this user can read the file."""
    path.touch(mode=0o600)
    if not path.read_text(encoding="ascii"):
        path.write_text(secrets.token_hex(20), encoding="ascii")
    return path.read_text(encoding="ascii")
