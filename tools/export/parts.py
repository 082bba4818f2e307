"""An export cut into parts: what a format writes at a time, and after which a run that was stopped goes on."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from imageset.formats.hdf5 import Pixels
from imageset.storage.object_keys import object_key
from tools.export import source as export_source
from tools.export.source import Classes, Source, Subset

PART_BYTES = 128 << 20  # of pixels
PART_PHOTOS = 1000
BATCH_BYTES = 1 << 20  # of pixels, read and encoded at a time


class Part(NamedTuple):
    """Photos `start` to `stop` of a subset, its part `number` (from 0) of `of`."""

    subset: Subset
    number: int
    of: int
    start: int
    stop: int

    def path(self, folder: Path, ending: str) -> Path:
        """Return its file's, where `datasets` takes any subset's name, and nothing beside the folder data for data."""
        return folder / "data" / f"{self.subset.name}-{self.number:05}-of-{self.of:05}.{ending}"


class Photo(NamedTuple):
    """One photo for a format to write; content: an image file's bytes, or the pixels' where a format takes these."""

    label: int
    product_id: int
    position: int
    copy: int
    content: bytes

    @property
    def key(self) -> str:
        """Its name without an ending: as in the bucket, and of an augmented copy with its number, as in 42-3_2."""
        key = object_key(self.product_id, self.position).removesuffix(".jpeg")
        return f"{key}_{self.copy}" if self.copy else key


class Format(Protocol):
    """What a module tools/export_<name>.py has to have."""

    ENCODED: bool  # whether it takes image files; else pixels
    EXTRA_BYTES: int  # of disk for a photo, beside its content
    VERSIONS: dict[str, str]  # of libraries that decide its bytes

    def prepare(self, folder: Path, source: Source) -> None:
        """Make what has to be there before the first part."""

    def write_part(self, folder: Path, part: Part, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
        """Write all photos of a part, whatever an earlier run left of it; return when they have reached the disk."""


def part_photos(image_shape: tuple[int, ...]) -> int:
    return max(1, min(PART_PHOTOS, PART_BYTES // math.prod(image_shape)))


def cut(subset: Subset) -> list[Part]:
    """Return a subset's parts; one without photos has none: `datasets` and webdataset refuse a file of no photos."""
    total, step = len(subset.rows), part_photos(subset.image_shape)
    count = math.ceil(total / step)
    return [Part(subset, number, count, number * step, min((number + 1) * step, total)) for number in range(count)]


def batches(parts: list[Part]) -> Iterator[Pixels]:
    """Yield the pixels of all photos of the parts, in order, BATCH_BYTES or one photo at a time."""
    for subset, _, _, start, stop in parts:
        step = max(1, BATCH_BYTES // math.prod(subset.image_shape))
        for first in range(start, stop, step):
            yield export_source.read(subset, slice(first, min(first + step, stop)))


def photos(part: Part, contents: Iterator[bytes], advance: Callable[[int], object]) -> Iterator[Photo]:
    """Yield a part's photos, taking as many contents and no more: the next part goes on with them."""
    inside = slice(part.start, part.stop)
    columns = [
        values[inside].tolist()
        for values in (part.subset.labels, part.subset.ids, part.subset.positions, part.subset.copies)
    ]
    for (label, product_id, position, copy), content in zip(zip(*columns, strict=True), contents, strict=False):
        yield Photo(label, product_id, position, copy, content)
        advance(1)
