"""Formats with several photos a file cut a subset into shards: files of at most SHARD_PHOTOS photos."""

import math
from collections.abc import Iterator
from pathlib import Path

from tools.export.source import Subset

SHARD_BYTES = 128 << 20  # of raw pixels
SHARD_PHOTOS = 1000


def shard_photos(image_shape: tuple[int, ...]) -> int:
    """Return how many photos of this shape a shard holds."""
    return max(1, min(SHARD_PHOTOS, SHARD_BYTES // math.prod(image_shape)))


def shards(folder: Path, subset: Subset, ending: str) -> Iterator[tuple[Path, int]]:
    """Yield the path of each shard of a subset and how many photos it holds.

    A subset without photos has no shard, because `datasets` and webdataset refuse an empty file. The shards are in the
    folder `data`: there `datasets` accepts any subset's name, and takes no other file for data.
    """
    total, step = subset.rows.total, shard_photos(subset.image_shape)
    count = math.ceil(total / step)
    (folder / "data").mkdir(exist_ok=True)
    for number in range(count):
        path = folder / "data" / f"{subset.name}-{number:05}-of-{count:05}.{ending}"
        yield path, min(step, total - number * step)
