"""How fast is ingest, and beside whom? Prints tables: python -m benchmarks.ingest [--help]

The stage, bare loops that do the same work, and img2dataset fetch the same urls from one photo server on loopback, turn
by turn; README.md says what is measured and how.
"""

import argparse
import datetime
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from benchmarks.ingest.contenders import BASE, BENCH, CONTENDERS, Contender, install_peers, stage, successes, sweep
from benchmarks.ingest.measure import PhotoServer, Run, measure, photo_server
from benchmarks.ingest.photo_server import HOST
from benchmarks.shared.measure import ROOT
from sandbox import draw, garments, servers
from sandbox.s3 import PHOTO_BUCKET
from sandbox.servers import Servers

REAL_PHOTOS = ROOT.parent / "shared/photos"
DRAWN_PHOTOS = 100
GROWTH = (2_000, 10_000)
HOSTS = 10  # with --dead-host: one of them is dead
NOBODY: frozenset[int] = frozenset()
SECONDS_AT_MOST = 900.0


@dataclass
class Workload:
    """What all runs share: the servers, a folder for their outputs, and the number of the last run."""

    server: PhotoServer
    sandbox: Servers
    home: Path
    number: int = 0

    def urls(self, count: int, hosts: int = 1) -> list[str]:
        """Return `count` URLs, dealt to the hosts in turn."""
        return [f"http://{HOST}:{self.server.ports[number % hosts]}/{number}.jpeg" for number in range(count)]

    def run(self, contender: Contender, urls: list[str], dead: frozenset[int] = NOBODY) -> Run:
        """Run a contender once, under a prefix of its own. Ends the benchmark when a photo of a live host is missing.

        dead: ports among the urls' where nobody answers; with some, a contender may end with an error.
        """
        self.number += 1
        folder, log = self.home / f"run-{self.number}", self.home / "log"
        folder.mkdir()
        python_path = os.pathsep.join(filter(None, [str(contender.checkout), os.environ.get("PYTHONPATH")]))
        environment = (
            os.environ
            | self.sandbox.environment
            | {
                "IMAGE_STORE": f"s3://{PHOTO_BUCKET}/{folder.name}",
                "IMAGESET_CACHE": str(folder / "cache"),
                "IMAGESET_ALLOWED_HOSTS": ",".join(f"{HOST}:{port}" for port in [*self.server.ports, *sorted(dead)]),
                "PYTHONPATH": python_path,
                "NO_ALBUMENTATIONS_UPDATE": "1",  # or img2dataset's start would ask pypi.org for a newer albumentations
            }
        )
        run = measure(contender.command(folder, urls), environment, folder, log, self.server, SECONDS_AT_MOST)
        alive = sum(urlsplit(url).port not in dead for url in urls)
        if contender.keeps == "bucket":
            kept = self.objects(folder)
        else:
            kept = run.requests if contender.keeps == "nowhere" else successes(folder)
        if kept != alive or (run.exit_code and not dead):
            raise SystemExit(
                f"{contender.name}: {kept} of {alive} photos, exit code {run.exit_code}, "
                f"{run.wall:.1f} s\n{log.read_text(errors='replace')[-2000:]}"
            )
        shutil.rmtree(folder)
        print(f"{contender.name}: {run.wall:.2f} s, {run.fetching:.2f} s of it fetching", file=sys.stderr, flush=True)
        return run

    def objects(self, folder: Path) -> int:
        """Return how many photos a run has uploaded."""
        here = self.sandbox.environment
        client = boto3.client(
            "s3",
            endpoint_url=here["AWS_ENDPOINT_URL"],
            region_name=here["AWS_DEFAULT_REGION"],
            aws_access_key_id=here["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=here["AWS_SECRET_ACCESS_KEY"],
        )
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=PHOTO_BUCKET, Prefix=f"{folder.name}/")
        return sum(entry["Key"].endswith((".jpeg", ".jpg")) for page in pages for entry in page.get("Contents", []))

    def rounds(self, contenders: list[Contender], urls: list[str], runs: int) -> dict[str, list[Run]]:
        """Run every contender so many times, in turn: what else the machine does then hits all alike."""
        results: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
        for contender in contenders * runs:
            results[contender.name].append(self.run(contender, urls))
        return results


@contextmanager
def set_up(photos: Path, latency: float) -> Iterator[Workload]:
    """Run the servers; all that they and the runs leave is removed at the end."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imageset-bench-")))
        if not photos.is_dir():
            photos = home / "drawn"
            photos.mkdir()
            for number in range(DRAWN_PHOTOS):
                draw.draw(garments.GARMENTS[number % len(garments.GARMENTS)], number).save(photos / f"{number}.jpeg")
        server = stack.enter_context(photo_server(photos, latency, HOSTS))
        yield Workload(server, stack.enter_context(servers.running(home / "sandbox")), home)


def median(runs: Iterable[Run], field: str) -> float:
    return float(statistics.median(getattr(run, field) for run in runs))


def ratio(base: list[Run], runs: list[Run], field: str) -> str:
    """Return how many times as fast as the base, the median over the rounds; "" where the base took no part."""
    ratios = [getattr(other, field) / getattr(run, field) for other, run in zip(base, runs, strict=False)]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def comparison(results: dict[str, list[Run]], photos: int) -> Iterator[str]:
    """Yield a table of medians."""
    yield from header(
        "contender",
        "wall s (least to most)",
        "photos/s",
        "ratio",
        "fetching s (least to most)",
        "photos/s fetching",
        "ratio fetching",
        "processor s",
        "at once",
        "PSS MB",
        "RSS MB",
    )
    base = results.get(BASE.name, [])
    for name, runs in results.items():
        cells = [name]
        for field in ("wall", "fetching"):
            values = [getattr(run, field) for run in runs]
            middle = statistics.median(values)
            cells += [
                f"{middle:.2f} ({min(values):.2f} to {max(values):.2f})",
                f"{photos / middle:.0f}",
                ratio(base, runs, field),
            ]
        yield row(*cells, f"{median(runs, 'cpu'):.1f}", f"{median(runs, 'at_once'):.0f}", *memory(runs))


def growth(workload: Workload, contenders: list[Contender], runs: int) -> Iterator[str]:
    """Yield a table of the stage's memory over the number of photos."""
    yield from header("contender", "photos", "wall s", "PSS MB", "RSS MB")
    for contender in [contender for contender in contenders if contender.name.startswith("stage")]:
        for count in GROWTH:
            measured = [workload.run(contender, workload.urls(count)) for _ in range(runs)]
            yield row(contender.name, str(count), f"{median(measured, 'wall'):.2f}", *memory(measured))


def dead_host(workload: Workload, contenders: list[Contender], count: int, runs: int) -> Iterator[str]:
    """Yield a table of what one dead host in ten costs the photos of the other nine."""
    yield from header("contender", "the tenth host", "wall s", "s until the others' photos were answered")
    urls = workload.urls(count, HOSTS)
    last = f":{workload.server.ports[-1]}/"
    living = [url for url in urls if last not in url]
    with dead_port(listens=False) as refusing, dead_port(listens=True) as silent:
        cases = [("is not asked", living, NOBODY)]
        cases += [
            (name, [url.replace(last, f":{port}/") for url in urls], frozenset({port}))
            for name, port in (("refuses connections", refusing), ("accepts and never answers", silent))
        ]
        for contender in [contender for contender in contenders if contender.outlasts_errors]:
            results: list[list[Run]] = [[] for _ in cases]
            for _ in range(runs):
                for (_, asked, dead), measured in zip(cases, results, strict=True):
                    measured.append(workload.run(contender, asked, dead))
            for (name, _, _), measured in zip(cases, results, strict=True):
                yield row(
                    contender.name, name, f"{median(measured, 'wall'):.2f}", f"{median(measured, 'answered'):.2f}"
                )


@contextmanager
def dead_port(listens: bool) -> Iterator[int]:
    """Hold a port where nobody listens, or where the kernel takes connections and nobody ever answers."""
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        if listens:
            holder.listen(4096)
        yield holder.getsockname()[1]


def memory(runs: list[Run]) -> tuple[str, str]:
    return f"{median(runs, 'pss') / 1e6:.0f}", f"{median(runs, 'rss') / 1e6:.0f}"


def header(*names: str) -> Iterator[str]:
    yield row(*names)
    yield "|---" * len(names) + "|"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def circumstances(options: argparse.Namespace) -> Iterator[str]:
    """Yield what the figures depend on: machine, load, versions."""
    cpu = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    photos = "drawn photos" if not options.folder.is_dir() else f"photos of {options.folder}"
    yield (
        f"{datetime.date.today()}, {os.cpu_count()} cores of {cpu}, load {os.getloadavg()[0]:.1f} before; "
        f"{options.photos} urls, {photos}, {1000 * options.latency:.0f} ms, medians of {options.runs}"
    )
    peers = subprocess.run(
        [BENCH / "bin/python", "-c", "from importlib import metadata; print(metadata.version('img2dataset'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    weed = subprocess.run(
        [Path(sys.executable).with_name("weed"), "version"], capture_output=True, text=True, check=True
    ).stdout.split()[2]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    versions = [f"{name} {metadata.version(name)}" for name in ("aiohttp", "boto3", "obstore", "pillow")]
    yield (
        f"stage at {commit}, Python {platform.python_version()}, {', '.join(versions)}, "
        f"img2dataset {peers.stdout.strip()}, weed {weed}"
    )


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.ingest", description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=2000, help="urls to fetch (2000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contender, in turn (5)")
    parser.add_argument("--latency", type=float, default=0.02, help="of the photo server, in seconds (0.02)")
    parser.add_argument("--folder", type=Path, default=REAL_PHOTOS, help="photos; drawn ones where it is missing")
    parser.add_argument("--only", help="contenders whose names begin so, separated by semicolons")
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="CHECKOUT",
        help="let the stage of another checkout take part, too",
    )
    parser.add_argument("--sweep", action="store_true", help="all settings of the peers in place of their best")
    parser.add_argument("--growth", action="store_true", help=f"the stage's memory at {GROWTH} photos instead")
    parser.add_argument("--dead-host", action="store_true", help="what a dead host in ten costs instead")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of the contexts, which end what they started
    install_peers()
    contenders = sweep() if options.sweep else CONTENDERS
    contenders = contenders + [stage(f"stage of {path}", path.resolve()) for path in options.against]
    contenders = [
        contender
        for contender in contenders
        if options.only is None or contender.name.startswith(tuple(options.only.split(";")))
    ]
    print("\n".join(circumstances(options)), end="\n\n", flush=True)
    with set_up(options.folder, options.latency) as servers_and_folder:
        if options.growth:
            lines = growth(servers_and_folder, contenders, options.runs)
        elif options.dead_host:
            lines = dead_host(servers_and_folder, contenders, options.photos, options.runs)
        else:
            urls = servers_and_folder.urls(options.photos)
            lines = comparison(servers_and_folder.rounds(contenders, urls, options.runs), options.photos)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
