"""Thumbnails -> pairs of near-duplicates: candidates by hashes, confirmed by comparing details.

A cropped copy has another hash than its photo, so a search uses the hashes that the photo's crops would have. It also
finds other garments in the same place, so its pairs are only candidates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation.alignment import aligned_likeness
from imageset.curation.candidates import Pairs, PhotosToCompare, find_candidates, find_windows, pair_equal, unique_pairs
from imageset.curation.hamming import find_near
from imageset.curation.union_find import UnionFind
from imageset.curation.views import VIEWS, choose_views, turn_back
from imageset.curation.window_hashes import WINDOWS
from imageset.formats.hdf5 import Pixels
from imageset.runtime import progress

HASHES_AT_ONCE = 1 << 22  # in one search: 100 MB
PAIRS_AT_ONCE = 256  # aligned together: 100 MB

Likeness = Callable[[Pixels, Pixels], NDArray[np.float64]]


class NearDuplicate(NamedTuple):
    """The numbers of two photos, and how much their details agree, -1 to 1."""

    left: int
    right: int
    likeness: float


def find_near_duplicates(
    thumbnails: Pixels, photos: PhotosToCompare, distance: int, likeness: float, connected: UnionFind
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

    Raises:
        DataError: there are more candidates than anybody waits for.
    """
    search = Search(thumbnails, likeness, connected)
    yield from search.search_views(photos, distance)
    yield from search.search_windows(photos, distance // 2)


@dataclass(frozen=True)
class Search:
    """What all steps of a search need: see `find_near_duplicates`."""

    thumbnails: Pixels
    likeness: float
    connected: UnionFind

    def search_views(self, photos: PhotosToCompare, distance: int) -> Iterator[NearDuplicate]:
        """Yield the near-duplicates among photos with near hashes of a view."""
        yield from self.confirm(photos, pair_equal(photos.hashes), measure_likeness)
        photos = photos.take(self.find_left(photos, pair_equal(photos.hashes)))
        equal = pair_equal(photos.hashes)[:, 0]
        step = max(1, HASHES_AT_ONCE // len(VIEWS))
        for start in range(0, len(photos.numbers), step):
            places = np.arange(start, min(start + step, len(photos.numbers)))
            pairs = find_candidates(places, self.thumbnails, photos, distance)
            # Those with equal hashes were compared above.
            yield from self.confirm(photos, pairs[pairs[:, 0] != equal[pairs[:, 1]]], measure_likeness)

    def search_windows(self, photos: PhotosToCompare, distance: int) -> Iterator[NearDuplicate]:
        """Yield the near-duplicates among photos with near hashes of a window: they may differ elsewhere."""
        hashes, tells = find_windows(self.thumbnails, photos)
        for number in range(len(WINDOWS)):
            of_window = np.flatnonzero(tells[:, number])
            equal = pair_equal(hashes[of_window, number])
            yield from self.confirm(photos, of_window[equal], measure_likeness_as_they_are)
            left = of_window[self.find_left(photos.take(of_window), equal)]
            values = hashes[left, number]
            if not len(left):
                continue
            pairs = unique_pairs(find_near(values, values, distance), len(left))
            pairs = pairs[pairs[:, 0] != pair_equal(values)[pairs[:, 1], 0]]
            yield from self.confirm(photos, left[pairs], measure_likeness_as_they_are)

    def find_left(self, photos: PhotosToCompare, equal: Pairs) -> NDArray[np.bool_]:
        """Return which photos are still to be compared: all but those that turned out to show what the first photo
        with their hash shows.

        A placeholder on thousands of listings so makes thousands of pairs, not millions.
        """
        numbers = photos.numbers[equal].tolist()
        return np.array([one == other or self.connected.are_apart(one, other) for one, other in numbers], bool)

    def confirm(self, photos: PhotosToCompare, pairs: Pairs, measure: Likeness) -> Iterator[NearDuplicate]:
        """Yield the near-duplicates among pairs that were not compared before and are not connected yet."""
        numbers = photos.numbers[pairs]
        pairs = pairs[(numbers[:, 0] != numbers[:, 1]) & ~photos.compared[pairs].all(axis=1)]
        if not len(pairs):
            return
        with progress.bar(None, "near-duplicates: details", len(pairs), unit="pair") as bar:
            for block in np.split(pairs, range(PAIRS_AT_ONCE, len(pairs), PAIRS_AT_ONCE)):
                yield from self.confirm_block(photos, block, measure)
                bar.update(len(block))

    def confirm_block(self, photos: PhotosToCompare, pairs: Pairs, measure: Likeness) -> Iterator[NearDuplicate]:
        """Yield the near-duplicates among pairs that are not connected yet."""
        apart = pairs[[self.connected.are_apart(left, right) for left, right in photos.numbers[pairs].tolist()]]
        if not len(apart):
            return
        agreed = measure(*(photos.read(self.thumbnails, places) for places in apart.T))
        for (left, right), value in zip(photos.numbers[apart].tolist(), agreed.tolist(), strict=True):
            if value >= self.likeness and self.connected.are_apart(left, right):
                self.connected.join(left, right)
                yield NearDuplicate(left, right, value)


def measure_likeness(images: Pixels, others: Pixels) -> NDArray[np.float64]:
    """Return how much the details of P pairs agree, -1 to 1, (P,), one cropped and turned to fit the other.

    images, others: the thumbnails of each pair, grey, uint8 (P, 64, 64).
    """
    is_swapped, boxes, turns = choose_views(images, others)
    swapped = is_swapped[:, np.newaxis, np.newaxis]
    images, others = np.where(swapped, others, images), np.where(swapped, images, others)
    return aligned_likeness(images.astype(np.float64), turn_back(others.astype(np.float64), turns), boxes)


def measure_likeness_as_they_are(images: Pixels, others: Pixels) -> NDArray[np.float64]:
    """Return the same for pairs of which neither is cropped or turned by much."""
    return aligned_likeness(images.astype(np.float64), others.astype(np.float64), np.zeros((len(images), 4)))
