"""Thumbnails -> pairs of near-duplicates: candidates by hashes, confirmed by comparing details.

A cropped copy has another hash than its photo, so a search uses the hashes that the photo's crops would have. It also
finds other garments in the same place, so its pairs are only candidates.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation.alignment import aligned_likeness
from imageset.curation.candidates import (
    Digests,
    Pairs,
    PhotosToCompare,
    find_candidates,
    find_windows,
    pair_equal,
    sign_photos,
    unique_pairs,
    windows_agree,
)
from imageset.curation.hamming import find_near
from imageset.curation.search_cache import SearchMemory
from imageset.curation.search_pool import map_in_order
from imageset.curation.sieve import OF_EQUAL_HASHES, WORDS, Signs, count_differing
from imageset.curation.union_find import UnionFind
from imageset.curation.views import Hashes, choose_views, turn_back
from imageset.curation.window_hashes import WINDOWS
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import progress
from imageset.workers.ordered_map import WorkerPool

SEARCHED_AT_ONCE = 1 << 18  # photos with the hashes of a window: fewer pairs are in memory
PAIRS_AT_ONCE = 256  # that a worker compares: 2 MB of thumbnails
ALIGNED_AT_ONCE = 16  # of them: 5 MB, which a processor's cache holds; 256 take half as long again

Likeness = Callable[[Pixels, Pixels], NDArray[np.float64]]


class NearDuplicate(NamedTuple):
    """The numbers of two photos, and how much their details agree, -1 to 1."""

    left: int
    right: int
    likeness: float


def find_near_duplicates(
    thumbnails: Pixels,
    photos: PhotosToCompare,
    distance: int,
    likeness: float,
    connected: UnionFind,
    pool: WorkerPool | None = None,
    memory: SearchMemory | None = None,
    is_kept: bool = False,
) -> Iterator[NearDuplicate]:
    """Yield as many pairs of near-duplicates as it takes to connect all photos that belong together.

    Which pairs these are depends on the order of the search. What they connect does not.

    Args:
        thumbnails: grey, uint8 (M, 64, 64, 1).
        photos: the photos to compare, N of them.
        distance: a candidate's hash differs in at most so many bits from the hash of a view of the other photo, and in
            at most half as many from that of the same window of it.
        likeness: the least likeness of a near-duplicate.
        connected: which photos are connected already. Each pair found is added.
        pool: the workers, or None: this process does it. It changes nothing that is found.
        memory: what earlier searches found, or None. It changes nothing that is found.
        is_kept: whether the memory keeps the hashes and candidates of this search, instead of those that it has.

    Raises:
        DataError: there are more candidates than anybody waits for.
    """
    memory = memory or SearchMemory()
    known = memory.find(photos.digests)
    if is_kept:
        memory.keep_photos(photos, known)
    search = Search(thumbnails, likeness, connected, pool, memory, is_kept)
    yield from search.search_views(photos, known, distance)
    yield from search.search_windows(photos, known, distance // 2)


@dataclass(frozen=True)
class Search:
    """What all steps of a search need: see `find_near_duplicates`."""

    thumbnails: Pixels
    likeness: float
    connected: UnionFind
    pool: WorkerPool | None
    memory: SearchMemory
    is_kept: bool

    def search_views(self, photos: PhotosToCompare, known: Indices, distance: int) -> Iterator[NearDuplicate]:
        """Yield the near-duplicates among photos with near hashes of a view. known: from `SearchMemory.find`, (N,)."""
        signs, equal = self.sign(photos, known), pair_equal(photos.hashes)
        agree = count_differing(*signs[equal.T]) <= OF_EQUAL_HASHES
        yield from self.confirm(photos, equal[agree], measure_likeness)
        left = np.flatnonzero(self.find_left(photos, equal))
        photos, signs, views = photos.take(left), signs[left], self.memory.earlier.of_views(known[left])
        first = pair_equal(photos.hashes)[:, 0]
        done = np.empty(0, np.intp)
        for part, hashes, found in find_candidates(photos, self.thumbnails, signs, distance, self.pool, views):
            if self.is_kept:
                self.memory.keep_views(left[part], hashes, left[found])
            pairs = unique_pairs([(found[:, 0], found[:, 1])], len(first))
            # A pair may come once with the views of each of its photos. Those with equal hashes were compared above.
            keys = pairs[:, 0] * len(first) + pairs[:, 1]
            new = ~np.isin(keys, done, assume_unique=True) & (pairs[:, 0] != first[pairs[:, 1]])
            done = np.concatenate([done, keys[new]])
            yield from self.confirm(photos, pairs[new], measure_likeness)

    def search_windows(self, photos: PhotosToCompare, known: Indices, distance: int) -> Iterator[NearDuplicate]:
        """Yield the near-duplicates among photos with near hashes of a window: they may differ elsewhere."""
        hashes, tells = self.hash_windows(photos, known)
        for number in range(len(WINDOWS)):
            of_window = np.flatnonzero(tells[:, number])
            equal = pair_equal(hashes[of_window, number])
            yield from self.confirm_window(photos, of_window[equal], number)
            left = of_window[self.find_left(photos.take(of_window), equal)]
            values = hashes[left, number]
            first = pair_equal(values)[:, 0]
            for start in range(0, len(left), SEARCHED_AT_ONCE):
                near = find_near(values[start : start + SEARCHED_AT_ONCE], values, distance)
                pairs = unique_pairs(((start + queries, others) for queries, others in near), len(left))
                # Those with a photo before `start` came with that photo.
                new = (pairs[:, 0] >= start) & (pairs[:, 0] != first[pairs[:, 1]])
                yield from self.confirm_window(photos, left[pairs[new]], number)

    def sign(self, photos: PhotosToCompare, known: Indices) -> Signs:
        """Return the signs of all photos as they are, (N, WORDS)."""
        signs, is_new = np.empty((len(known), WORDS), np.uint64), known < 0
        signs[~is_new] = self.memory.earlier.signs[known[~is_new]]
        signs[is_new] = sign_photos(self.thumbnails, photos.take(is_new))
        if self.is_kept:
            self.memory.keep_of_photos(signs=signs)
        return signs

    def hash_windows(self, photos: PhotosToCompare, known: Indices) -> tuple[Hashes, NDArray[np.bool_]]:
        """Return the hashes of all photos' windows, (N, WINDOWS), and which of them tell photos apart."""
        earlier, is_new = self.memory.earlier, known < 0
        hashes = np.empty((len(known), len(WINDOWS)), np.uint64)
        tells = np.empty(hashes.shape, bool)
        hashes[~is_new], tells[~is_new] = earlier.windows[known[~is_new]], earlier.tells[known[~is_new]]
        hashes[is_new], tells[is_new] = find_windows(self.thumbnails, photos.take(is_new), self.pool)
        if self.is_kept:
            self.memory.keep_of_photos(windows=hashes, tells=tells)
        return hashes, tells

    def confirm_window(self, photos: PhotosToCompare, pairs: Pairs, window: int) -> Iterator[NearDuplicate]:
        """Yield the near-duplicates among pairs with near hashes of a window."""
        pairs = self.drop_known(photos, pairs)
        agree = windows_agree(self.thumbnails, photos, pairs, window)
        yield from self.confirm(photos, pairs[agree], measure_likeness_as_they_are)

    def find_left(self, photos: PhotosToCompare, equal: Pairs) -> NDArray[np.bool_]:
        """Return which photos are still to be compared: all but those that turned out to show what the first photo
        with their hash shows.

        A placeholder on thousands of listings so makes thousands of pairs, not millions.
        """
        left = np.ones(len(equal), bool)
        others = np.flatnonzero(photos.numbers[equal[:, 0]] != photos.numbers[equal[:, 1]])
        left[others] = self.are_apart(photos, equal[others])
        return left

    def confirm(self, photos: PhotosToCompare, pairs: Pairs, measure: Likeness) -> Iterator[NearDuplicate]:
        """Yield the near-duplicates among pairs that were not compared before and are not connected yet."""
        pairs = self.drop_known(photos, pairs)
        if not len(pairs):
            return
        asked: deque[tuple[Pairs, Digests, NDArray[np.float64], int]] = deque()

        # Workers are ahead: some pairs are measured that others connect meanwhile. These are left out below, so that
        # neither the number of workers nor that of pairs in a block changes what is found.
        def read_blocks() -> Iterator[tuple[Pixels, Pixels]]:
            for block in np.split(pairs, range(PAIRS_AT_ONCE, len(pairs), PAIRS_AT_ONCE)):
                unknown = self.drop_known(photos, block)
                keys, known = self.memory.recall(measure.__name__, *photos.digests[unknown.T])
                asked.append((unknown, keys, known, len(block)))
                yield self.read_pairs(photos, unknown[np.isnan(known)])

        with progress.bar(None, "near-duplicates: details", len(pairs), unit="pair") as bar:
            for agreed in map_in_order(self.pool, partial(measure_pairs, measure=measure), read_blocks()):
                block, keys, values, done = asked.popleft()
                values[np.isnan(values)] = agreed
                self.memory.keep_likeness(keys, values)
                for (left, right), value in zip(photos.numbers[block].tolist(), values.tolist(), strict=True):
                    if value >= self.likeness and self.connected.are_apart(left, right):
                        self.connected.join(left, right)
                        yield NearDuplicate(left, right, value)
                bar.update(done)

    def read_pairs(self, photos: PhotosToCompare, pairs: Pairs) -> tuple[Pixels, Pixels]:
        """Return the thumbnails of pairs, uint8 (P, 64, 64) each."""
        one, other = (photos.read(self.thumbnails, places) for places in pairs.T)
        return one, other

    def drop_known(self, photos: PhotosToCompare, pairs: Pairs) -> Pairs:
        """Return the pairs of two photos that are to be compared, were not before, and are not connected yet."""
        numbers = photos.numbers[pairs]
        is_open = (numbers[:, 0] != numbers[:, 1]) & ~photos.compared[pairs].all(axis=1)
        pairs = pairs[is_open & ~photos.mostly_frame[pairs].any(axis=1)]
        apart: Pairs = pairs[self.are_apart(photos, pairs)]
        return apart

    def are_apart(self, photos: PhotosToCompare, pairs: Pairs) -> NDArray[np.bool_]:
        """Return which pairs are not connected, (P,)."""
        numbers = photos.numbers[pairs].tolist()
        return np.array([self.connected.are_apart(left, right) for left, right in numbers], bool)


def measure_pairs(both: tuple[Pixels, Pixels], measure: Likeness) -> NDArray[np.float64]:
    """Return the likeness of pairs, (P,); a worker does this."""
    parts = range(0, len(both[0]), ALIGNED_AT_ONCE)
    return np.concatenate(
        [np.empty(0), *(measure(*(images[start : start + ALIGNED_AT_ONCE] for images in both)) for start in parts)]
    )


def measure_likeness(images: Pixels, others: Pixels) -> NDArray[np.float64]:
    """Return how much the details of P pairs agree, -1 to 1, (P,), one cropped and turned to fit the other.

    images, others: the thumbnails of each pair, grey, uint8 (P, 64, 64).
    """
    is_swapped, boxes, turns = choose_views(images, others)
    swapped = is_swapped[:, np.newaxis, np.newaxis]
    images, others = np.where(swapped, others, images), np.where(swapped, images, others)
    return aligned_likeness(images.astype(np.float64), turn_back(others.astype(np.float64), turns), boxes)


def measure_likeness_as_they_are(images: Pixels, others: Pixels) -> NDArray[np.float64]:
    """Return the same for pairs where neither photo is cropped or turned by much."""
    return aligned_likeness(images.astype(np.float64), others.astype(np.float64), np.zeros((len(images), 4)))
