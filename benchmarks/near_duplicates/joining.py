"""Pairs of photos that are joined: by hashes alone, and by the search of stage duplicates."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.near_duplicates.photos import Photos
from imageset.curation.duplicate_search import search_part
from imageset.curation.union_find import UnionFind
from imageset.formats.hdf5 import Indices
from imageset.runtime.sections import DuplicatesParams

LARGEST_PARTS = 2048  # rows of a table of distances
CERTAIN = 0.95  # likeness from which on a pair is not looked at again

Pairs = NDArray[np.intp]  # (P, 2), the lower number first, sorted
Likeness = NDArray[np.float64]  # (P,), -1 to 1


class Joined(NamedTuple):
    """Candidates, and the greatest likeness that the search measured of each before it was CERTAIN."""

    pairs: Pairs
    likeness: Likeness

    def take(self, which: NDArray[np.bool_]) -> "Joined":
        return Joined(self.pairs[which], self.likeness[which])


class NothingConnected(UnionFind):
    """Makes the search look at each candidate itself: none is spared because other pairs connect its photos.

    certain: pairs that are not looked at again. is_spared: whether pairs of one original are not looked at at all.
    """

    def __init__(self, photos: Photos, is_spared: bool) -> None:
        super().__init__([""] * len(photos.hashes))
        self.sources = list(map(set, zip(photos.sources.tolist(), photos.others.tolist(), strict=True)))
        self.is_spared = is_spared
        self.certain: set[tuple[int, int]] = set()

    def are_apart(self, one: int, other: int) -> bool:
        if self.is_spared and self.sources[one] & self.sources[other]:
            return False
        return (min(one, other), max(one, other)) not in self.certain

    def join(self, one: int, other: int) -> None:
        pass


def find_candidates(photos: Photos, duplicates: DuplicatesParams, spare_true: bool = False) -> Joined:
    """Return all pairs that the search of the stage looks at, joined or not.

    spare_true: leave out pairs that show one original.
    """
    count = len(photos.hashes)
    table = pd.DataFrame(
        {
            "sha256": [str(number) for number in range(count)],
            "phash": [f"{value:016x}" for value in photos.hashes.tolist()],
            "row": np.arange(count),
        }
    )
    connected, found = NothingConnected(photos, spare_true), dict[tuple[int, int], float]()
    everything, nothing = np.ones(count, bool), np.zeros(count, bool)
    every_candidate = duplicates.model_copy(update={"likeness": -1.0})
    for left, right, likeness in search_part(table, photos.thumbnails, everything, nothing, connected, every_candidate):
        pair = min(left, right), max(left, right)
        found[pair] = max(likeness, found.get(pair, -1))
        if likeness >= CERTAIN:
            connected.certain.add(pair)
    pairs = sorted(found)
    return Joined(np.array(pairs, np.intp).reshape(-1, 2), np.array([found[pair] for pair in pairs]))


def by_hash(photos: Photos, distance: int) -> Pairs:
    """Join photos by the hashes of the photo and of its mirror image alone."""
    found = [np.empty((0, 2), np.intp)]
    for top in range(0, len(photos.hashes), LARGEST_PARTS):
        block = slice(top, top + LARGEST_PARTS)
        plain, mirrored = (
            np.bitwise_count(hashes[block, np.newaxis] ^ photos.hashes) for hashes in (photos.hashes, photos.mirrored)
        )
        left, right = np.nonzero(np.minimum(plain, mirrored) <= distance)
        found.append(np.column_stack([top + left, right]))
    return ordered(np.concatenate(found))


def ordered(pairs: Pairs) -> Pairs:
    apart = pairs[pairs[:, 0] != pairs[:, 1]]
    return np.unique(np.sort(apart, axis=1), axis=0).reshape(-1, 2)


def likeness_of_copies(photos: Photos, candidates: Joined) -> Likeness:
    """Return how much each copy, in the order of `photos`, is like its original, -1 where the pair is no candidate."""
    copies = np.flatnonzero(photos.kinds)
    likeness = np.full(len(photos.kinds), -1.0)
    left, right = candidates.pairs.T
    is_true = (photos.kinds[left] == 0) != (photos.kinds[right] == 0)
    is_true &= photos.sources[left] == photos.sources[right]
    copy = np.where(photos.kinds[left] == 0, right, left)[is_true]
    likeness[copy] = candidates.likeness[is_true]
    return likeness[copies]


def is_false(photos: Photos, pairs: Pairs) -> NDArray[np.bool_]:
    """Return which pairs show no original in common."""
    left, right = pairs.T
    shown = photos.sources, photos.others
    shared = np.array([one[left] == other[right] for one in shown for other in shown])
    return np.asarray(~shared.any(axis=0))


def found_by_hash(photos: Photos, distance: int) -> NDArray[np.bool_]:
    """Return which copies, in the order of `photos`, have nearly the hash of their original or of its mirror image."""
    originals = photos.originals
    row: Indices = np.full(photos.sources.max() + 1, -1)
    row[originals.sources] = np.arange(len(originals.sources))
    copies = photos.take(photos.kinds > 0)
    of_copy = row[copies.sources]
    plain, mirrored = (
        np.bitwise_count(copies.hashes ^ hashes[of_copy]) for hashes in (originals.hashes, originals.mirrored)
    )
    return np.asarray((of_copy >= 0) & (np.minimum(plain, mirrored) <= distance))


def spell_likeness(likeness: float) -> str:
    return f"{likeness:.3f}" if likeness > -1 else "no candidate"
