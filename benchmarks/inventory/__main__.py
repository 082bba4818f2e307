"""How long the inventory takes and how much memory it needs: python -m benchmarks.inventory [KEYS ...]

A million objects cannot be put into a real bucket here in minutes, so a server on loopback, in a process of its own,
answers the two requests that the stage makes (GetBucketVersioning, ListObjectsV2) as a bucket of so many keys would.
The stage itself runs whole, as DVC runs it. A row of what is printed is one run; bytes a key are the peak of resident
memory beyond that of the first run of its kind, divided by the keys beyond that run's.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.inventory.bucket_server import PREFIX, STRANGE, product_id, serve
from benchmarks.shared.measure import ROOT

SIZES = (10_000, 100_000, 1_000_000)
WANTED_AMONG_FOREIGN = 1000
COLUMNS = "{:<34} {:>9} {:>8} {:>8} {:>8} {:>11}"


def run_stage(folder: Path, port: int) -> tuple[float, int]:
    """Run the stage in folder; return its seconds and the peak of its resident memory in bytes."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "IMAGE_STORE": f"s3://bucket/{PREFIX}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    started = time.perf_counter()
    stage = subprocess.Popen(
        [sys.executable, "-m", "stages.inventory", "ingest.csv", "takedowns.csv", "inventory.csv"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with stage:
        assert stage.stdout is not None
        said = stage.stdout.read()
        # wait4: the usage of this child alone. It counts from before the exec on, so this process has to stay small.
        _, code, usage = os.wait4(stage.pid, 0)
        stage.returncode = os.waitstatus_to_exitcode(code)
    seconds = time.perf_counter() - started
    if stage.returncode != 0:
        sys.exit(f"the stage ended with {stage.returncode}: {said}")
    return seconds, usage.ru_maxrss * 1024


def prepare(folder: Path, wanted: int | None) -> None:
    """Write params.yaml and ingest.csv for a stage that wants so many photos, or the whole prefix."""
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    if wanted is None:
        params = params.replace("enabled: true", "enabled: false")
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    (folder / "takedowns.csv").write_text("product_id,date\n", encoding="utf-8")
    with (folder / "ingest.csv").open("w", encoding="utf-8") as file:
        file.write("key,product_id,position,status,reason\n")
        for number in range(wanted or 0):
            file.write(f"{product_id(number)}.jpeg,{product_id(number)},0,done,\n")


def measure(photos: int, foreign: int, wanted: int | None) -> tuple[float, int]:
    """Run the stage on a bucket of so many photos and other objects; return its seconds and peak memory."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    server = context.Process(target=serve, args=(photos, foreign, theirs), daemon=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), wanted)
            return run_stage(Path(folder), ours.recv())
    finally:
        server.terminate()
        server.join()


def main(sizes: list[int]) -> None:
    few = WANTED_AMONG_FOREIGN
    kinds: dict[str, list[tuple[int, int, int | None]]] = {
        "ingest's photos": [(size, 0, size) for size in sizes],
        "the whole prefix": [(size, 0, None) for size in sizes],
        f"{few} photos among foreign keys": [(few, size, few) for size in sizes],
    }
    print(COLUMNS.format("kind", "keys", "seconds", "keys/s", "peak MB", "bytes a key"))
    for kind, buckets in kinds.items():
        first: tuple[int, int] | None = None
        for photos, foreign, wanted in buckets:
            keys = photos + foreign + len(STRANGE)
            seconds, peak = measure(photos, foreign, wanted)
            slope = f"{(peak - first[1]) / (keys - first[0]):,.0f}" if first else ""
            first = first or (keys, peak)
            print(
                COLUMNS.format(
                    kind, f"{keys:,}", f"{seconds:.1f}", f"{keys / seconds:,.0f}", f"{peak / 1e6:,.0f}", slope
                ),
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.inventory", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("keys", type=int, nargs="*", default=list(SIZES), metavar="KEYS", help=f"how many ({SIZES})")
    main(parser.parse_args().keys)
