"""How much can one writing process take, and what does a cluster cost? Tables: python -m benchmarks.cluster [--help]

The stages on results that cost no work, here and through Dask; stage build with rows that a cluster renders; stage
ingest on a cluster. README.md says what is measured and how.
"""

import json
import os
import pickle
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.build import workload as build_workload
from benchmarks.cluster import ingest
from benchmarks.cluster.canned import FILE
from benchmarks.shared.measure import ROOT, Run, measure
from benchmarks.shared.tables import circumstances, options, origin, rounds, spread, table
from benchmarks.shared.workload import Workload, read_photos
from imageset.photos import masks as mask_maker
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.photos.file_formats import list_decodable
from imageset.photos.outcomes import PhotoEmbedding, Rejected
from imageset.photos.pixel_worker import read_mask
from imageset.photos.preprocess import preprocess_photo
from imageset.photos.worker import PhotoRequest
from imageset.runtime import params
from imageset.storage.bucket import StoredObject
from sandbox.cluster import running

WEIGHTS = ROOT / "models/u2netp-int8.zip"
FEW = 200  # photos of the runs that are subtracted
DISTINCT = 100  # photos that results are made of
EMBEDDING_BYTES = 4 * 1280
STAGES = ("masks", "embed", "preprocess")
# No server is asked: the stages only need to know which bucket it would be.
BUCKET = {
    "IMAGE_STORE": "s3://bench",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}


class Pace(NamedTuple):
    """Milliseconds of one more photo or row: from one to the next, and of processor time.

    cpu: of the process that writes. everybody: of this process and those that it starts; Dask's are others.
    """

    wall: float
    cpu: float
    everybody: float


def make_results(folder: Path, path: Path) -> None:
    """Write real masks and pixels of some photos, and embeddings of as many bytes, where canned.py finds them."""
    shipped = params.load(ROOT / "params.yaml")
    formats = list_decodable(shipped.ingest.formats)
    limits = PhotoLimits(shipped.preprocess.max_pixels, formats)
    network = Network("u2netp", WEIGHTS, 320, "int8", "cpu")
    bodies = read_photos(folder)[:DISTINCT]
    results: dict[str, list[Any]] = {"masks": [], "embed": [], "preprocess": []}
    for number, body in enumerate(bodies):
        (mask,) = mask_maker.mask_photos([body], mask_maker.MaskRecipe(network, limits, False))
        if isinstance(mask, Rejected):
            raise SystemExit(f"a photo is rejected: {mask.reason}")
        request = PhotoRequest(StoredObject("", "", 0, ""), mask.compressed)
        values = np.random.default_rng(number).standard_normal(EMBEDDING_BYTES // 4, np.float32).tobytes()
        results["masks"].append(mask)
        results["embed"].append(PhotoEmbedding(values, mask.photo_pixels))
        results["preprocess"].append(preprocess_photo(body, shipped.preprocess, read_mask(request), formats))
    path.write_bytes(pickle.dumps(results))


def make_rows(count: int) -> list[tuple[Any, ...]]:
    """Return an inventory of photos that are in no bucket."""
    return [(f"{number}.jpeg", number, 0, f"{number:032x}", 26_000, "") for number in range(count)]


def read_cost(run: Run) -> Pace:
    said = json.loads(run.said)
    return Pace(1e3 * said["wall"], 1e3 * said["cpu"], 1e3 * run.cpu)


def between(few: Pace, many: Pace, count: int) -> Pace:
    """Return the pace beyond the start, from runs that differ by so many photos or rows."""
    return Pace(*((most - least) / count for least, most in zip(few, many, strict=True)))


class Writers:
    """Runs stages on results that cost no work."""

    def __init__(self, home: Path, count: int, settings: dict[str, str]) -> None:
        self.here = Workload(home, home / "none", [])
        self.rows = make_rows(count)
        self.settings = settings
        self.cache = home / "caches"

    def run(self, stage: str, count: int, address: str) -> Pace:
        """Run a stage with empty caches. Preprocess gets the masks that stage masks writes for it."""
        self.here.make_project(self.rows[:count], masks={"precision": "int8"})
        settings = self.settings | {"IMAGESET_CACHE": str(self.cache)}
        if stage == "preprocess":
            measure([sys.executable, "-m", "benchmarks.cluster.writer", "masks", ""], self.here.project, settings)
        command = [sys.executable, "-m", "benchmarks.cluster.writer", stage, address]
        done = measure(command, self.here.project, settings | ({"IMAGESET_DASK": address} if address else {}))
        shutil.rmtree(self.cache)
        return read_cost(done)

    def pace(self, stage: str, address: str) -> Pace:
        return between(self.run(stage, FEW, address), self.run(stage, len(self.rows), address), len(self.rows) - FEW)


def lines(paces: Mapping[str, list[Pace]]) -> Iterator[tuple[str, ...]]:
    for name, each in paces.items():
        walls, cpus, everybody = zip(*each, strict=True)
        most = f"{1e3 / statistics.median(cpus):,.0f}"
        yield name, spread(walls, 3), spread(cpus, 3), f"{statistics.median(everybody):.3f}", most


def print_paces(what: str, paces: Mapping[str, list[Pace]]) -> None:
    processor = ("processor ms in the writing process", "and in processes that it starts")
    names = ("run", f"ms a {what} (least to most)", *processor, f"{what}s/s at most")
    table(names, lines(paces))


def writers(home: Path, folder: Path, count: int, turns: int, stack: ExitStack) -> None:
    """Print the pace of the writing process, with results made in it and through Dask."""
    results = home / "results"
    make_results(folder, results)
    settings = {**BUCKET, FILE: str(results), "PYTHONPATH": str(ROOT)}
    cluster = stack.enter_context(running(home / "dask", os.cpu_count() or 1, 0, settings, nannies=True))
    each = Writers(home, count, settings)
    contenders = {
        f"{stage}, {how}": partial(each.pace, stage, address)
        for stage in STAGES
        for how, address in (("results at hand", ""), ("results through Dask", cluster.address))
    }
    print_paces("photo", rounds(contenders, turns))


def rendering(home: Path, folder: Path, count: int, turns: int, stack: ExitStack) -> None:
    """Print the pace of stage build: with its own processes, with rows at hand, and with those that Dask sends."""
    here = stack.enter_context(build_workload.set_up(folder, count))
    settings = {"PYTHONPATH": str(ROOT)}
    address = stack.enter_context(running(home / "dask", os.cpu_count() or 1, 0, settings, nannies=True)).address
    rows = count // build_workload.HELD_OUT * (1 + build_workload.COPIES * (build_workload.HELD_OUT - 1))
    few = rows * FEW // count

    def pace(how: str) -> Pace:
        command = [sys.executable, "-m", "benchmarks.cluster.writer", "build", how]
        least, most = (read_cost(measure(command, here.emptied(photos), settings)) for photos in (FEW, count))
        return between(least, most, rows - few)

    contenders = {
        name: partial(pace, how)
        for name, how in (("own processes", ""), ("rows at hand", "free"), ("rows through Dask", address))
    }
    print_paces("row", rounds(contenders, turns))


def fetching(home: Path, folder: Path, count: int, turns: int, stack: ExitStack) -> None:
    """Print what a photo costs in stage ingest, alone and on clusters."""
    runs = stack.enter_context(ingest.set_up(home, folder))
    contenders = {
        name: partial(runs.beyond, FEW, count, workers)
        for name, workers in (("alone", 0), ("one worker", 1), ("two workers", 2))
    }
    names = ("stage ingest", "ms a photo (least to most)", "processor ms, all processes")
    table(
        names,
        (
            (name, spread([cost.wall for cost in costs], 2), spread([cost.cpu for cost in costs], 2))
            for name, costs in rounds(contenders, turns).items()
        ),
    )


def main() -> None:
    parser = options("cluster", __doc__, turns=3, photos=10_000)
    parser.add_argument("--only", choices=("writers", "build", "ingest"), help="one of the tables")
    chosen = parser.parse_args()
    circumstances(chosen, f"{chosen.photos} photos, {origin(chosen.folder)}", "h5py", "distributed", "numpy")
    with tempfile.TemporaryDirectory(prefix="imageset-bench-") as name:
        for what, show in (("writers", writers), ("build", rendering), ("ingest", fetching)):
            if chosen.only in (what, None):
                home = Path(name) / what
                home.mkdir()
                with ExitStack() as stack:
                    show(home, chosen.folder, chosen.photos, chosen.turns, stack)


if __name__ == "__main__":
    main()
