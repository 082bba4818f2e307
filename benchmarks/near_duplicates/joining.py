"""Pairs of photos that are joined: by hashes alone, by candidates, and by candidates that agree."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.near_duplicates.photos import Photos
from imageset.curation.candidates import PhotosToCompare, find_candidates
from imageset.curation.near_duplicates import PAIRS_AT_ONCE, measure_likeness
from imageset.formats.hdf5 import Indices
from imageset.runtime import progress

LARGEST_PARTS = 2048  # rows of a table of distances

Pairs = NDArray[np.intp]  # (P, 2), the lower number first, sorted


class Joined(NamedTuple):
    """Pairs that a method joins, and their likeness (only of the stage's method), the better of both directions."""

    pairs: Pairs
    likeness: NDArray[np.float64]


def by_hash(photos: Photos, distance: int) -> Joined:
    """Join photos by the hashes of the photo and of its mirror image alone."""
    found = [np.empty((0, 2), np.intp)]
    for top in range(0, len(photos.hashes), LARGEST_PARTS):
        block = slice(top, top + LARGEST_PARTS)
        plain, mirrored = (
            np.bitwise_count(hashes[block, np.newaxis] ^ photos.hashes) for hashes in (photos.hashes, photos.mirrored)
        )
        left, right = np.nonzero(np.minimum(plain, mirrored) <= distance)
        found.append(np.column_stack([top + left, right]))
    pairs = ordered(np.concatenate(found))
    return Joined(pairs, np.zeros(len(pairs)))


def by_views(photos: Photos, distance: int) -> Joined:
    """Return the candidates of the stage and their likeness, also of pairs that are joined already."""
    everything = np.arange(len(photos.hashes))
    nothing = np.zeros((len(everything), 4))
    to_compare = PhotosToCompare(everything, everything, nothing, photos.hashes, np.zeros(len(everything), bool))
    pairs = find_candidates(everything, photos.thumbnails, to_compare, distance)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]  # a photo looks like itself
    likeness = np.concatenate(
        [
            np.empty(0),
            *(
                measure_likeness(*(photos.thumbnails[places][..., 0] for places in part.T))
                for part in progress.bar(in_parts(pairs), "look", None, "part")
            ),
        ]
    )
    both = ordered(pairs)
    best = np.full(len(both), -1.0)
    count = len(photos.hashes)
    place = np.searchsorted(both @ [count, 1], np.sort(pairs, axis=1) @ [count, 1])
    np.maximum.at(best, place, likeness)
    return Joined(both, best)


def in_parts(pairs: Pairs) -> Iterator[Pairs]:
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        yield pairs[start : start + PAIRS_AT_ONCE]


def ordered(pairs: Pairs) -> Pairs:
    apart = pairs[pairs[:, 0] != pairs[:, 1]]
    return np.unique(np.sort(apart, axis=1), axis=0).reshape(-1, 2)


def ours(photos: Photos, candidates: Joined, likeness: float) -> Joined:
    """Return what the stage joins: candidates that agree, and photos with equal hashes."""
    agreed = candidates.pairs[candidates.likeness >= likeness]
    return Joined(ordered(np.concatenate([agreed, by_hash(photos, 0).pairs])), np.empty(0))


def recall(photos: Photos, joined: Joined, kind: int) -> float:
    """Return the share of the copies of a kind that are joined with their photo directly."""
    return len(true_pairs(photos, joined, kind)) / np.count_nonzero(photos.kinds == kind)


def true_pairs(photos: Photos, joined: Joined, kind: int) -> Indices:
    """Return which pairs are of a photo and its copy of a kind."""
    left, right = joined.pairs.T
    kinds = np.sort(photos.kinds[joined.pairs], axis=1)
    return np.flatnonzero((photos.sources[left] == photos.sources[right]) & (kinds == [0, kind]).all(axis=1))


def false_pairs(photos: Photos, joined: Joined) -> Indices:
    left, right = photos.sources[joined.pairs].T
    return np.flatnonzero(left != right)


def among_originals(photos: Photos, joined: Joined) -> Joined:
    inside = (photos.kinds[joined.pairs] == 0).all(axis=1)
    return Joined(joined.pairs[inside], joined.likeness[inside] if len(joined.likeness) else joined.likeness)
