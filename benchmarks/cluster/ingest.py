"""Stage ingest alone and on a Dask cluster of this machine: what a photo costs, all processes together."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.ingest.contenders import stage
from benchmarks.ingest.measure import PhotoServer, photo_server
from benchmarks.ingest.photo_server import HOST
from benchmarks.shared.measure import cpu_of_children, measure
from sandbox import servers
from sandbox.cluster import running
from sandbox.s3 import PHOTO_BUCKET

LATENCY = 0.02
HOSTS = 4


class Cost(NamedTuple):
    """Seconds from start to end of the stage, and of processor time of all that ran for it, the cluster too."""

    wall: float
    cpu: float


class Runs:
    """Runs of stage ingest, each into a prefix of its own."""

    def __init__(self, home: Path, server: PhotoServer, environment: dict[str, str]) -> None:
        self.home = home
        self.server = server
        self.environment = environment
        self.numbers = count()

    def run(self, photos: int, workers: int) -> Cost:
        """Run the stage on a cluster of so many workers, or alone. Ends the benchmark when it fails."""
        folder = self.home / f"run-{next(self.numbers)}"
        folder.mkdir()
        hosts = [f"{HOST}:{port}" for port in self.server.ports]
        urls = [f"http://{hosts[number % HOSTS]}/{number}.jpeg" for number in range(photos)]
        settings = {
            **self.environment,
            "IMAGE_STORE": f"s3://{PHOTO_BUCKET}/{folder.name}",
            "IMAGESET_ALLOWED_HOSTS": ",".join(hosts),
            "IMAGESET_CACHE": str(folder / "cache"),
        }
        command = stage().command(folder, urls)
        before = cpu_of_children()
        with running(folder / "dask", workers, 0, settings, nannies=True) if workers else nullcontext() as cluster:
            wall = measure(command, folder, settings | ({"IMAGESET_DASK": cluster.address} if cluster else {})).wall
        return Cost(wall, cpu_of_children() - before)

    def beyond(self, few: int, many: int, workers: int) -> Cost:
        """Return the milliseconds of one more photo."""
        costs = zip(self.run(few, workers), self.run(many, workers), strict=True)
        return Cost(*(1e3 * (most - least) / (many - few) for least, most in costs))


@contextmanager
def set_up(home: Path, folder: Path) -> Iterator[Runs]:
    """Run a photo server with some hosts, and a bucket."""
    with photo_server(folder, LATENCY, HOSTS) as server, servers.running(home / "sandbox") as sandbox:
        yield Runs(home, server, {**os.environ, **sandbox.environment})
