"""Tables of how many copies are found, and of how many other photos are joined."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from benchmarks.near_duplicates.joining import (
    Joined,
    Likeness,
    by_hash,
    find_candidates,
    found_by_hash,
    is_false,
    likeness_of_copies,
    spell_likeness,
)
from benchmarks.near_duplicates.photos import Photos, gather
from benchmarks.shared.tables import table
from imageset.formats.hdf5 import Indices
from imageset.runtime import progress
from imageset.runtime.sections import DuplicatesParams
from sandbox import draw
from tests import planted

WIDER = 10  # bits
THRESHOLDS = (0.7, 0.75, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.95)

# Drawn photos of garments of one cut, no two of one garment: how many of each, and the first seed.
TUNED_ON = (("t-shirt", 0), ("pants", 0), ("dress", 0))
HELD_OUT = (("longsleeve", 5000), ("shirt", 5000), ("jacket", 5000), ("skirt", 5000), ("shorts", 5000), ("hat", 5000))


class Found(NamedTuple):
    """The copies of one kind: N of them.

    sources: the numbers of their originals, (N,).
    likeness: to the original, (N,), -1 where the search does not look at the pair.
    """

    photos: Photos
    sources: Indices
    likeness: Likeness


class Negatives(NamedTuple):
    """Photos, and the candidates among them that show no photo in common."""

    photos: Photos
    candidates: Joined


def find_copies(photos: Photos, kinds: Sequence[str], duplicates: DuplicatesParams) -> dict[str, Found]:
    """Search originals and the copies of one kind, kind by kind."""
    return {kind: find_kind(photos, kind, duplicates) for kind in progress.bar(kinds, "search", len(kinds))}


def find_kind(photos: Photos, kind: str, duplicates: DuplicatesParams) -> Found:
    """Search originals and their copies of one kind."""
    subset = photos.of_kind(kind)
    likeness = likeness_of_copies(subset, find_candidates(subset, duplicates))
    return Found(subset, subset.sources[subset.kinds > 0], likeness)


def report_copies(found: Mapping[str, Found], is_tuned_on: NDArray[np.bool_], duplicates: DuplicatesParams) -> None:
    """Print the recall of each kind.

    is_tuned_on: which originals the constants of the search were chosen on, by their numbers.
    """

    def lines() -> Iterator[tuple[str, ...]]:
        for kind, (photos, sources, likeness) in found.items():
            is_found = likeness >= duplicates.likeness
            halves = (share_and_interval(is_found[is_tuned_on[sources] == half]) for half in (True, False))
            hashes = (f"{100 * found_by_hash(photos, bits).mean():.1f} %" for bits in (duplicates.distance, WIDER))
            ends = [f"{np.quantile(likeness[is_found], share):.2f}" if is_found.any() else "-" for share in (0, 0.01)]
            yield kind, *halves, f"{100 * (likeness > -1).mean():.1f} %", *hashes, *ends

    table(
        (
            "kind of copy",
            "found, half tuned on",
            "found, held out",
            "candidates, both halves",
            f"hash and mirrored hash, {duplicates.distance} bits",
            f"the same, {WIDER} bits",
            "likeness of those found: least",
            "1 %",
        ),
        lines(),
    )


def share_and_interval(is_found: NDArray[np.bool_]) -> str:
    """Return the share in percent, with Wilson's interval of 95 %."""
    if not len(is_found):
        return "-"
    result = binomtest(int(is_found.sum()), len(is_found))
    interval = result.proportion_ci(0.95, "wilson")
    return f"{100 * result.statistic:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def find_negatives(
    photos: Photos, drawn: int, held_out: int, duplicates: DuplicatesParams
) -> Iterator[tuple[str, Negatives]]:
    """Yield photos to tell apart, by name: the originals, with all copies, and drawn garments of one cut each."""
    yield "originals", negatives(photos.originals, duplicates)
    yield "originals and all copies", negatives(photos, duplicates)
    for garments, count, note in ((TUNED_ON, drawn, ""), (HELD_OUT, held_out, ", held out")):
        for garment, first in garments if count else ():
            prepared = [
                planted.prepared(planted.encode(draw.draw(garment, first + seed)))
                for seed in progress.bar(range(count), f"draw {garment}", count)
            ]
            yield f"drawn: {garment}{note}", negatives(gather(prepared, range(count), [0] * count), duplicates)


def negatives(photos: Photos, duplicates: DuplicatesParams) -> Negatives:
    candidates = find_candidates(photos, duplicates, spare_true=True)
    return Negatives(photos, candidates.take(is_false(photos, candidates.pairs)))


def report_negatives(groups: Mapping[str, Negatives], duplicates: DuplicatesParams) -> None:
    """Print how many pairs of photos that show nothing in common are candidates, and how many are joined."""

    def lines() -> Iterator[tuple[str, ...]]:
        for name, (photos, (pairs, likeness)) in groups.items():
            by_hashes = [by_hash(photos, bits) for bits in (0, duplicates.distance, WIDER)]
            yield (
                name,
                f"{len(photos.hashes):,}",
                *(f"{np.count_nonzero(is_false(photos, joined)):,}" for joined in by_hashes),
                f"{len(pairs):,}",
                spell_likeness(likeness.max(initial=-1)),
                f"{np.count_nonzero(likeness >= duplicates.likeness):,}",
            )

    table(
        (
            "false pairs among",
            "photos",
            "equal hashes",
            f"hashes, {duplicates.distance} bits",
            f"hashes, {WIDER} bits",
            "candidates",
            "their greatest likeness",
            "joined",
        ),
        lines(),
    )


def report_thresholds(found: Mapping[str, Found], groups: Mapping[str, Negatives]) -> None:
    """Print what other values of duplicates.likeness would find and join."""
    of_copies = np.concatenate([each.likeness for each in found.values()])
    collages = found["collage"].likeness
    false = {
        "originals and copies": [groups["originals and all copies"].candidates.likeness],
        "drawn": [group.candidates.likeness for name, group in groups.items() if name.startswith("drawn")],
    }

    def lines() -> Iterator[tuple[str, ...]]:
        for least in THRESHOLDS:
            yield (
                f"{least}",
                *(f"{np.count_nonzero(values >= least):,} of {len(values):,}" for values in (of_copies, collages)),
                *(f"{count_from(values, least):,}" for values in false.values()),
            )

    table(
        ("likeness", "copies found", "of these collages", *(f"false pairs: {name}" for name in false)),
        lines(),
    )


def count_from(likeness: Sequence[Likeness], least: float) -> int:
    return sum(int(np.count_nonzero(values >= least)) for values in likeness)
