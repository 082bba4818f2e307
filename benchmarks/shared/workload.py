"""What the benchmarks of preprocess share: a bucket of distinct photos, and the stage run on it."""

import asyncio
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.shared.measure import ROOT, Run, measure
from imageset.formats import stable_hash, tables
from imageset.storage import bulk
from imageset.storage.bucket import open_bucket
from imageset.storage.object_keys import object_key
from sandbox import draw, garments, servers

DRAWN_PHOTOS = 100
PUTS_AT_ONCE = 64

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

    def stage(
        self,
        rows: Sequence[Row],
        cache: Path | None = None,
        settings: Mapping[str, str] | None = None,
        **changes: dict[str, Any],
    ) -> Run:
        """Run the stage as DVC does, with an empty cache where none is given. Ends the benchmark when it fails.

        changes: of params.yaml, such as preprocess={"background": "keep"}.
        """
        self.make_project(rows, **changes)
        paths = (
            "data/inventory.csv",
            str(self.weights),
            "data/processed.h5",
            "data/thumbnails.h5",
            "data/processed.csv",
            "data/rejects.csv",
        )
        return measure(
            [sys.executable, "-m", "stages.preprocess", *paths],
            self.project,
            {"IMAGESET_CACHE": str(cache or self.project / "cache"), **(settings or {})},
        )


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
            here.make_project([])
            measure([sys.executable, "-m", "stages.model", str(here.weights)], here.project, {})
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
