"""What the benchmarks of masks and preprocess share: a bucket of distinct photos, and the stages run on it."""

import asyncio
import hashlib
import io
import math
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.shared.measure import ROOT, Run, measure
from imageset.formats import stable_hash, tables
from imageset.photos.mask_file import scan_masks, writing_masks
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.storage import bulk
from imageset.storage.bucket import StoredObject, open_bucket
from imageset.storage.object_keys import object_key
from sandbox import draw, garments, servers

DRAWN_PHOTOS = 100
PUTS_AT_ONCE = 64
PATHS = {
    "masks": (
        "data/inventory.csv",
        "{weights}",
        str(ROOT / "models/u2netp-int8.zip"),
        "data/masks.h5",
        "data/masks.csv",
    ),
    "preprocess": (
        *("--inventory", "data/inventory.csv"),
        *("--masks", "data/masks.h5"),
        *("--processed-h5", "data/processed.h5"),
        *("--thumbnails", "data/thumbnails.h5"),
        *("--processed-csv", "data/processed.csv"),
        *("--rejects", "data/rejects.csv"),
        *("--photos", "data/photos.csv"),
        *("--previews", "data/previews.h5"),
    ),
}

Row = tuple[Any, ...]  # of the inventory


@dataclass
class Workload:
    """A bucket, the inventory of what is in it, the network's weights, and a folder for what the runs write."""

    home: Path
    weights: Path
    rows: list[Row]

    @property
    def project(self) -> Path:
        """The folder of the last run, which the next one removes."""
        return self.home / "project"

    def make_project(self, rows: Sequence[Row], **changes: dict[str, Any]) -> None:
        """Begin a project anew, with params.yaml as it is shipped but for changes, and an inventory."""
        shutil.rmtree(self.project, ignore_errors=True)
        (self.project / "data").mkdir(parents=True)
        chosen = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for section, values in changes.items():
            chosen[section] |= values
        (self.project / "params.yaml").write_text(yaml.safe_dump(chosen), encoding="utf-8")
        tables.write(self.project / "data/inventory.csv", tables.INVENTORY, tables.frame(tables.INVENTORY, rows))

    def run(self, stage: str, cache: Path | None = None, settings: Mapping[str, str] | None = None) -> Run:
        """Run a stage in the project as DVC does. Ends the benchmark when it fails.

        stage: of PATHS. cache: the project's own where none is given, which is empty at first.
        """
        paths = [path.format(weights=self.weights) for path in PATHS[stage]]
        return measure(
            [sys.executable, "-m", f"stages.{stage}", *paths],
            self.project,
            {"IMAGESET_CACHE": str(cache or self.project / "cache"), **(settings or {})},
        )

    def mask(self, rows: Sequence[Row], **changes: dict[str, Any]) -> Run:
        """Run stage masks in a new project, with an empty cache. changes: of params.yaml, masks={"side": 192}."""
        self.make_project(rows, **changes)
        return self.run("masks")

    def keep(self, rows: Sequence[Row], cache: Path | None = None) -> Run:
        """Run stage preprocess in a new project that keeps backgrounds, after stage masks, which has nothing to do."""
        self.make_project(rows, masks={"background": "keep"})
        self.run("masks", cache)
        return self.run("preprocess", cache)

    def fetch_embedding_weights(self) -> Path:
        """Return the file of the weights of the embedding network: the project's own, or one that is fetched."""
        weights = ROOT / "models/efficientnet-lite0.pth"
        if weights.exists() and weights.stat().st_size:
            return weights
        weights = self.home / "efficientnet-lite0.pth"
        if not weights.exists():
            self.make_project([], masks={"background": "keep"})
            command = [sys.executable, "-m", "stages.model", str(self.home / "none.onnx"), str(weights)]
            measure(command, self.project, {})
        return weights

    def make_masks(self, photos: int) -> Path:
        """Have stage masks make the masks of the first photos, and return a masks.h5 of all, in which they repeat."""
        self.mask(self.rows[:photos])
        made = list(scan_masks(self.project / "data/masks.h5"))
        side = math.isqrt(len(zlib.decompress(next(row.mask for row in made if row.mask))))
        path = self.home / "masks.h5"
        with writing_masks(path, len(self.rows), side, "masks that repeat") as add:
            for number, (key, product_id, position, *rest) in enumerate(self.rows):
                row = made[number % photos]
                outcome = PhotoMask(row.mask, 1, 0.0, 0.0, 0, 0.0) if row.mask else Rejected(row.reason)
                add(product_id, position, StoredObject(key, *rest), outcome)
        return path

    def remove(self, rows: Sequence[Row], masks: Path) -> Run:
        """Run stage preprocess in a new project with the masks of all photos, with empty caches."""
        self.make_project(rows)
        shutil.copy(masks, self.project / "data/masks.h5")
        return self.run("preprocess")


def find_number(run: Run, pattern: str) -> int:
    """Return a number of what a stage printed last. Ends the benchmark if it is not there."""
    said = re.search(pattern, run.said)
    if said is None:
        raise SystemExit(f"a stage says no {pattern!r}: {run.said}")
    return int(said[1])


def count_requests(run: Run) -> int:
    """Return how many photos a stage asked the bucket for."""
    return find_number(run, r"the bucket was asked for (\d+)")


def count_predictions(run: Run) -> int:
    """Return of how many photos stage masks knew nothing."""
    return find_number(run, r"^masks: (\d+) photos") - find_number(run, r" (\d+) known before")


@contextmanager
def set_up(photos: Sequence[bytes], count: int) -> Iterator[Workload]:
    """Run the sandbox's servers with `count` photos in the bucket. All is stopped and removed at the end.

    From then on the environment of this process names the bucket.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imageset-bench-")))
        os.environ.update(stack.enter_context(servers.running(home / "sandbox")).environment)
        here = Workload(home, ROOT / "models/background.onnx", [])
        if not here.weights.exists():
            here.weights = home / "background.onnx"
            here.make_project([], embed={"enabled": False})
            command = [sys.executable, "-m", "stages.model", str(here.weights), str(home / "none.pth")]
            measure(command, here.project, {})
        here.rows = asyncio.run(fill(distinct(photos, count)))
        print(f"{count} photos are in the bucket", file=sys.stderr, flush=True)
        yield here


def read_photos(folder: Path) -> list[bytes]:
    """Return a folder's JPEGs in an order that mixes its classes; drawn ones where there is no such folder."""
    if folder.is_dir():
        paths = sorted(folder.glob("**/*.jp*g"), key=lambda path: stable_hash.rank(*path.name.encode()))
        return [path.read_bytes() for path in paths]
    return [drawn(number) for number in range(DRAWN_PHOTOS)]


def drawn(number: int, sides: tuple[int, int] | None = None) -> bytes:
    """Return a drawn photo, of these sides where some are given."""
    photo = draw.draw(garments.GARMENTS[number % len(garments.GARMENTS)], number)
    file = io.BytesIO()
    (photo.resize(sides) if sides else photo).save(file, "JPEG", quality=85)
    return file.getvalue()


def distinct(photos: Sequence[bytes], count: int) -> Iterator[bytes]:
    """Yield `count` distinct photos: each has other bytes after its end, where no decoder looks."""
    for number in range(count):
        yield photos[number % len(photos)] + number.to_bytes(4, "big")


async def fill(bodies: Iterable[bytes]) -> list[Row]:
    """Put photos into the bucket as ingest does, and return the inventory of them."""
    bucket = open_bucket()
    client = bulk.open_client(bucket)
    waiting = enumerate(bodies)
    rows: list[Row] = []

    async def work() -> None:
        for number, body in waiting:
            key = object_key(number, 0)
            await bulk.put_new(client, bucket, key, body, hashlib.sha256(body).hexdigest())
            rows.append((key, number, 0, hashlib.md5(body, usedforsecurity=False).hexdigest(), len(body), ""))

    await asyncio.gather(*(work() for _ in range(PUTS_AT_ONCE)))
    return sorted(rows, key=lambda row: int(row[1]))
