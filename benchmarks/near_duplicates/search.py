"""Time and memory of the whole search for near-duplicates as photos grow in number."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.near_duplicates import synthetic
from benchmarks.near_duplicates.photos import Photos
from benchmarks.shared.measure import Sampler, cpu_of_children, memory
from benchmarks.shared.memory import megabytes
from benchmarks.shared.tables import table
from imageset.curation import duplicate_search
from imageset.curation.near_duplicates import NearDuplicate
from imageset.curation.search_cache import SearchMemory, open_memory
from imageset.curation.views import Hashes
from imageset.formats import tables
from imageset.formats.hdf5 import Pixels
from imageset.runtime import params

COMPARED = 2000  # synthetic photos, with each other


def grow(photos: Photos, sizes: Sequence[int], distance: int) -> None:
    """Print how alike synthetic photos are, and what the search for near-duplicates among so many of them takes.

    First with an empty cache, then with 1 % more photos and what the first search left.
    """
    real = photos.thumbnails[..., 0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thumbnails"
        hashes = synthetic.write_photos(path, real, max(*map(one_percent_more, sizes), COMPARED))
        thumbnails = np.memmap(path, np.uint8, "r", shape=(len(hashes), *photos.thumbnails.shape[1:]))
        compare_with_real(real, thumbnails)

        def lines() -> Iterator[tuple[str, ...]]:
            for size in sizes:
                cache = Path(folder) / f"cache of {size}"
                for count in (size, one_percent_more(size)):
                    yield measure(thumbnails[:count], hashes[:count], distance, cache)

        table(
            (
                "photos",
                "seconds",
                "us a photo",
                "processor s",
                "MB in memory",
                "MB no file backs",
                "pairs found",
                "photos hashed",
                "pairs compared",
            ),
            lines(),
        )


def one_percent_more(count: int) -> int:
    return count + count // 100


def compare_with_real(real: Pixels, thumbnails: Pixels) -> None:
    """Print how many bits differ between the hashes of real photos and of synthetic ones."""
    sets = {
        f"{len(real)} real": synthetic.measure_likeness(real),
        "synthetic": synthetic.measure_likeness(thumbnails[synthetic.originals(COMPARED), ..., 0]),
    }

    def lines() -> Iterator[tuple[str, ...]]:
        for what in next(iter(sets.values())):
            for name, measured in sets.items():
                shares = (f"{bound} bits: {1e6 * share:.1f}" for bound, share in measured[what].within.items())
                yield what, name, f"{measured[what].mean:.2f}", *shares

    table(("hashes of", "photos", "bits that differ, mean", "pairs of a million within", "", ""), lines())


def measure(thumbnails: Pixels, hashes: Hashes, distance: int, cache: Path) -> tuple[str, ...]:
    """Return the cells of a search: memory is that of all processes, above what this one had before.

    cache: the folder of what the search before left.
    """
    before = memory(os.getpid())
    sampler = Sampler(os.getpid())
    sampler.start()
    begin, busy = time.perf_counter(), time.process_time() + cpu_of_children()
    pairs, remembered = search(thumbnails, hashes, distance, cache)
    seconds, busy = time.perf_counter() - begin, time.process_time() + cpu_of_children() - busy
    sampler.stopped.set()
    sampler.join()
    return (
        f"{len(hashes):,}",
        f"{seconds:.1f}",
        f"{1e6 * seconds / len(hashes):.0f}",
        f"{busy:.1f}",
        megabytes(sampler.everybody.rss - before.rss),
        megabytes(sampler.everybody.anonymous - before.anonymous),
        f"{len(pairs):,}",
        f"{remembered.new:,}",
        f"{remembered.compared:,}",
    )


def search(thumbnails: Pixels, hashes: Hashes, distance: int, cache: Path) -> tuple[list[NearDuplicate], SearchMemory]:
    """Return the near-duplicates that stage duplicates finds, each photo a product, and what it remembers."""
    shipped = params.load().duplicates.model_copy(update={"distance": distance})
    rows = [(number, 0, number, f"{number:064x}", f"{value:016x}", "") for number, value in enumerate(hashes.tolist())]
    photos, new = tables.frame(tables.PROCESSED, rows), np.full(len(rows), "")
    del rows
    known = duplicate_search.KnownPhotos(photos, thumbnails, tables.frame(tables.LISTING_GROUPS, []), new, new)
    with open_memory(cache, f"distance {distance}") as remembered:
        return list(duplicate_search.search(known, shipped, remembered, is_kept=True)), remembered
