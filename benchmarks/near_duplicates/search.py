"""Time and memory of the search for candidates as photos grow in number."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.near_duplicates.joining import Pairs, in_parts
from benchmarks.near_duplicates.photos import Photos
from benchmarks.shared.tables import table
from imageset.curation.candidates import PHOTOS_AT_ONCE
from imageset.curation.hamming import find_near
from imageset.curation.near_duplicates import HASHES_AT_ONCE, measure_likeness
from imageset.curation.views import VIEWS, hash_views, view_frequencies
from imageset.formats.hdf5 import Indices
from imageset.runtime import progress

FLIPPED = 0.25  # of a synthetic hash's bits
COMPARISONS = 1000


def grow(photos: Photos, sizes: Sequence[int], distance: int) -> None:
    """Print time and memory of the search for candidates among so many photos."""

    def lines() -> Iterator[tuple[str, ...]]:
        for count in sizes:
            for name, views in {
                "all": np.arange(len(VIEWS)),
                "plain and mirrored": np.array([0, len(VIEWS) // 2]),
            }.items():
                reset_peak()
                before = resident("VmRSS")
                seconds, pairs = search(photos, count, views, distance)
                yield (
                    f"{count:,}",
                    name,
                    f"{seconds:.1f}",
                    f"{1e6 * seconds / count:.0f}",
                    f"{resident('VmHWM') - before:.0f}",
                    f"{pairs:,}",
                    f"{pairs / count:.2f}",
                )

    seconds = clock(
        lambda: [
            hash_views(view_frequencies(photos.thumbnails[start : start + PHOTOS_AT_ONCE, ..., 0]))
            for start in range(0, len(photos.thumbnails), PHOTOS_AT_ONCE)
        ]
    )
    print(f"Hashes of all views: {1e6 * seconds / len(photos.thumbnails):.0f} us a photo")
    rows = np.random.default_rng(0).integers(0, len(photos.thumbnails), (2, COMPARISONS))
    seconds = clock(
        lambda: [
            measure_likeness(*(photos.thumbnails[places][..., 0] for places in part.T)) for part in in_parts(rows.T)
        ]
    )
    print(f"A second look: {1e3 * seconds / COMPARISONS:.2f} ms\n")
    table(
        ("photos", "views asked with", "search s", "us a photo", "MB above the start", "candidates", "a photo"), lines()
    )


def search(photos: Photos, count: int, views: Indices, distance: int) -> tuple[float, int]:
    """Return the seconds that the search takes, and how many candidates it finds.

    A synthetic photo is a real one with the same bits flipped in the hashes of all its crops, so that the distances
    between the crops stay.
    """
    rng = np.random.default_rng(0)
    flips = np.packbits(rng.random((count, 64)) < FLIPPED, axis=1).view(np.uint64)[:, 0]
    real = hash_views(view_frequencies(photos.thumbnails[..., 0]))[:, views]
    sources = np.arange(count) % len(real)
    base = photos.hashes[sources] ^ flips
    seconds, pairs, step = 0.0, 0, HASHES_AT_ONCE // len(VIEWS)
    for start in progress.bar(range(0, count, step), "search", None, "part"):
        rows = np.arange(start, min(start + step, count))
        queries = (real[sources[rows]] ^ flips[rows, np.newaxis]).reshape(-1)
        begin = time.perf_counter()
        found = [
            np.column_stack([rows[left // len(views)], right]) for left, right in find_near(queries, base, distance)
        ]
        pairs += len(unique_pairs(found, count))
        seconds += time.perf_counter() - begin
    return seconds, pairs


def unique_pairs(found: Sequence[Pairs], count: int) -> Indices:
    pairs = np.concatenate([np.empty((0, 2), np.intp), *found])
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]] @ [count, 1])


def clock(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def reset_peak() -> None:
    """Let the kernel count this process's peak of memory from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> float:
    """Return megabytes: VmRSS now, VmHWM at the peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1000
