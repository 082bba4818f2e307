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
from imageset.curation.views import Hashes
from imageset.formats import tables
from imageset.formats.hdf5 import Pixels
from imageset.runtime import params

COMPARED = 2000  # synthetic photos, with each other


def grow(photos: Photos, sizes: Sequence[int], distance: int) -> None:
    """Print how alike synthetic photos are, and what the search for near-duplicates among so many of them takes."""
    real = photos.thumbnails[..., 0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thumbnails"
        hashes = synthetic.write_photos(path, real, max(*sizes, COMPARED))
        thumbnails = np.memmap(path, np.uint8, "r", shape=(len(hashes), *photos.thumbnails.shape[1:]))
        compare_with_real(real, thumbnails)
        table(
            ("photos", "seconds", "us a photo", "processor s", "MB in memory", "MB no file backs", "pairs found"),
            (measure(thumbnails[:size], hashes[:size], distance) for size in sizes),
        )


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


def measure(thumbnails: Pixels, hashes: Hashes, distance: int) -> tuple[str, ...]:
    """Return the cells of a search: memory is that of all processes, above what this one had before."""
    before = memory(os.getpid())
    sampler = Sampler(os.getpid())
    sampler.start()
    begin, busy = time.perf_counter(), time.process_time() + cpu_of_children()
    pairs = search(thumbnails, hashes, distance)
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
    )


def search(thumbnails: Pixels, hashes: Hashes, distance: int) -> list[NearDuplicate]:
    """Return the near-duplicates that stage duplicates finds, each photo a product."""
    shipped = params.load().duplicates.model_copy(update={"distance": distance})
    rows = [(number, 0, number, f"{number:064x}", f"{value:016x}", "") for number, value in enumerate(hashes.tolist())]
    photos, new = tables.frame(tables.PROCESSED, rows), np.full(len(rows), "")
    del rows
    known = duplicate_search.KnownPhotos(photos, thumbnails, tables.frame(tables.LISTING_GROUPS, []), new, new)
    return list(duplicate_search.search(known, shipped))
