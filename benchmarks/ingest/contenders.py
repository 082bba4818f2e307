"""The contenders of benchmarks/ingest, each with its best setting, and the settings that were tried."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.shared.environments import install
from benchmarks.shared.measure import ROOT
from sandbox.s3 import PHOTO_BUCKET

BENCH = ROOT / ".cache/bench"
CONCURRENCIES = (16, 32, 64, 128)
IMG2DATASET_THREADS = (16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Contender:
    """A program that fetches photos; `command` makes its folder ready and says how to start it there.

    keeps: where the photos are when it has ended, in the `bucket`, in `files`, or `nowhere`. outlasts_errors: whether
    it goes on to the other photos when one cannot be had.
    """

    name: str
    keeps: str
    command: Callable[[Path, list[str]], list[str]]
    checkout: Path = ROOT
    outlasts_errors: bool = True


def stage(name: str = "stage", checkout: Path = ROOT) -> Contender:
    """The ingest stage of a checkout, by its command line, in a project folder of its own."""

    def command(folder: Path, urls: list[str]) -> list[str]:
        shutil.copy(checkout / "params.yaml", folder)
        (folder / "data").mkdir()
        has_keys = '"image_url": "string", "key"' in (checkout / "imageset/formats/tables.py").read_text("utf-8")
        comma, header = (",", "image_url,key") if has_keys else ("", "image_url")  # earlier checkouts know no keys
        rows = [f"{number},0,{url}{comma}\n" for number, url in enumerate(urls)]
        (folder / "data/listings.csv").write_text(f"product_id,position,{header}\n" + "".join(rows), encoding="ascii")
        paths = ["data/listings.csv", "data/ingest.csv"]
        if (checkout / "corrections/takedowns.csv").exists():  # not in checkouts of before there were takedowns
            shutil.copytree(checkout / "corrections", folder / "corrections")
            paths.insert(1, "corrections/takedowns.csv")
        if "labels_csv" in (checkout / "stages/ingest.py").read_text("utf-8"):  # earlier checkouts read no labels
            (folder / "data/labels.csv").write_text("product_id,catalog_id,date\n0,1,\n", encoding="ascii")
            (folder / "data/classes.csv").write_text("catalog_id,name,parent_id\n1,any,\n", encoding="ascii")
            paths[1:1] = ["data/labels.csv", "data/classes.csv"]
        return [sys.executable, "-m", "stages.ingest", *paths]

    return Contender(name, "bucket", command, checkout)


def loop(name: str, peer: str, concurrency: int) -> Contender:
    """One of benchmarks/ingest/peers.py."""

    def command(folder: Path, urls: list[str]) -> list[str]:
        (folder / "urls.txt").write_text("\n".join(urls), encoding="ascii")
        return [sys.executable, "-m", "benchmarks.ingest.peers", peer, "urls.txt", str(concurrency)]

    return Contender(name, "nowhere" if peer == "get" else "bucket", command, outlasts_errors=False)


def img2dataset(
    name: str,
    reencoding: str,
    output: str,
    processes: int,
    threads: int,
    robots_header: bool = True,
    to_bucket: bool = False,
) -> Contender:
    """img2dataset without what costs time and is not asked for: EXIF, checksums, resizing, encoding anew.

    reencoding: the option that keeps the photos' bytes, disable_all_reencoding (not decoded, so not checked at all)
    or skip_reencode (decoded, by OpenCV).
    """

    def command(folder: Path, urls: list[str]) -> list[str]:
        (folder / "urls.txt").write_text("\n".join(urls), encoding="ascii")
        place = f"s3://{PHOTO_BUCKET}/{folder.name}" if to_bucket else "out"
        return [
            str(BENCH / "bin/img2dataset"),
            "--url_list=urls.txt",
            f"--output_folder={place}",
            "--resize_mode=no",
            f"--{reencoding}=True",
            f"--output_format={output}",
            f"--processes_count={processes}",
            f"--thread_count={threads}",
            f"--number_sample_per_shard={-(-len(urls) // processes)}",
            "--extract_exif=False",
            "--compute_hash=None",
            "--retries=0",
            *([] if robots_header else ["--disallowed_header_directives=[]"]),
        ]

    return Contender(name, "bucket" if to_bucket else "files", command)


def successes(folder: Path) -> int:
    """Return how many photos img2dataset says it has kept."""
    return sum(json.loads(path.read_text())["successes"] for path in folder.glob("out/*_stats.json"))


BASE = loop("loop, obstore", "obstore", 64)

# The best of what `sweep` tries, each.
CONTENDERS = [
    stage(),
    BASE,
    loop("loop, boto3", "boto3_in_workers", 64),
    loop("GET alone", "get", 64),
    img2dataset("img2dataset, not decoding", "disable_all_reencoding", "webdataset", 1, 256),
    img2dataset("img2dataset, decoding", "skip_reencode", "webdataset", 1, 256),
    # The only one of its formats that makes an object of every photo, as the stage does.
    img2dataset("img2dataset, decoding, to the bucket", "skip_reencode", "files", 1, 64, to_bucket=True),
]


def sweep() -> list[Contender]:
    """Return every setting that is tried to find the best."""
    loops = [
        loop(f"{peer} {concurrency}", peer, concurrency)
        for concurrency in CONCURRENCIES
        for peer in ("get", "obstore", "boto3_in_workers", "boto3_in_threads")
    ]
    settings = [
        (reencoding, output, processes, threads, True)
        for threads in IMG2DATASET_THREADS
        for processes in (1, 2)
        for output in ("files", "webdataset")
        for reencoding in ("disable_all_reencoding", "skip_reencode")
    ]
    settings += [
        (reencoding, "webdataset", 1, 256, False)  # without looking at the X-Robots-Tag header
        for reencoding in ("disable_all_reencoding", "skip_reencode")
    ]
    return loops + [img2dataset(f"img2dataset {' '.join(map(str, setting))}", *setting) for setting in settings]


def install_peers() -> None:
    """Make the environment of requirements-bench.txt where it is missing or out of date."""
    install(ROOT / "requirements-bench.txt", BENCH)
