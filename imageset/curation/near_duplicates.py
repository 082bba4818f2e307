"""Thumbnails -> pairs of near-duplicates: candidates by the hashes of all views, confirmed by comparing details.

A cropped copy has another hash than its photo, so a search uses the hashes that the photo's crops would have. It also
finds other garments in the same place, so its pairs are only candidates.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation.alignment import aligned_likeness
from imageset.curation.candidates import Pairs, PhotosToCompare, find_candidates
from imageset.curation.crop_hashes import VIEWS, nearest_views, view_frequencies
from imageset.curation.union_find import UnionFind
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import progress

HASHES_AT_ONCE = 1 << 22  # in one search: 100 MB
PAIRS_AT_ONCE = 256  # aligned together: 100 MB


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
        distance: a candidate's hash differs in at most so many bits from the hash of a view of the other photo.
        likeness: the least likeness of a near-duplicate.
        connected: which photos are connected already. Each pair found is added.

    Raises:
        DataError: there are more candidates than anybody waits for.
    """
    # First compare each photo with the first one that has the same hash. A placeholder on thousands of listings then
    # makes thousands of pairs, not millions. Photos that turn out to show something else stay in the search.
    _, first, inverse = np.unique(photos.hashes, return_index=True, return_inverse=True)
    equal = np.column_stack([first[inverse], np.arange(len(inverse))])
    yield from confirm(equal, thumbnails, photos, likeness, connected)
    firsts = photos.numbers[first[inverse]].tolist()
    stays = [
        number == one or connected.are_apart(number, one)
        for number, one in zip(photos.numbers.tolist(), firsts, strict=True)
    ]
    photos = photos.take(np.array(stays, bool))
    _, first, inverse = np.unique(photos.hashes, return_index=True, return_inverse=True)
    step = max(1, HASHES_AT_ONCE // len(VIEWS))
    for start in range(0, len(photos.numbers), step):
        places = np.arange(start, min(start + step, len(photos.numbers)))
        pairs = find_candidates(places, thumbnails, photos, distance)
        pairs = pairs[pairs[:, 0] != first[inverse[pairs[:, 1]]]]  # these were compared above
        yield from confirm(pairs, thumbnails, photos, likeness, connected)


def confirm(
    pairs: Pairs, thumbnails: Pixels, photos: PhotosToCompare, likeness: float, connected: UnionFind
) -> Iterator[NearDuplicate]:
    """Yield the near-duplicates among pairs that were not compared before and are not connected yet."""
    pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & ~photos.compared[pairs].all(axis=1)]
    if not len(pairs):
        return
    with progress.bar(None, "near-duplicates: details", len(pairs), unit="pair") as bar:
        for block in np.split(pairs, range(PAIRS_AT_ONCE, len(pairs), PAIRS_AT_ONCE)):
            yield from confirm_block(block, thumbnails, photos, likeness, connected)
            bar.update(len(block))


def confirm_block(
    pairs: Pairs, thumbnails: Pixels, photos: PhotosToCompare, likeness: float, connected: UnionFind
) -> Iterator[NearDuplicate]:
    """Yield the near-duplicates among pairs that are not connected yet."""
    apart = pairs[[connected.are_apart(left, right) for left, right in photos.numbers[pairs].tolist()]]
    agreed = measure_likeness(thumbnails, *photos.rows[apart].T) if len(apart) else np.empty(0)
    for (left, right), value in zip(photos.numbers[apart].tolist(), agreed.tolist(), strict=True):
        if value >= likeness and connected.are_apart(left, right):
            connected.join(left, right)
            yield NearDuplicate(left, right, value)


def measure_likeness(thumbnails: Pixels, left: Indices, right: Indices) -> NDArray[np.float64]:
    """Return how much the details of P pairs agree, -1 to 1, (P,), one cropped and mirrored to fit the other.

    Args:
        thumbnails: grey, uint8 (M, 64, 64, 1).
        left, right: the rows of the two thumbnails of each pair, (P,).
    """
    images, others = (thumbnails[rows][..., 0] for rows in (left, right))
    frequencies, other_frequencies = view_frequencies(images), view_frequencies(others)
    view, cosine = nearest_views(frequencies, other_frequencies[:, 0])
    other_view, other_cosine = nearest_views(other_frequencies, frequencies[:, 0])
    # The photo has to be cropped to fit its copy. A copy cropped once more may also have the hash of its photo, so the
    # better of both directions counts.
    is_swapped = other_cosine > cosine
    swapped = is_swapped[:, np.newaxis, np.newaxis]
    images, others = np.where(swapped, others, images), np.where(swapped, images, others)
    views = [VIEWS[number] for number in np.where(is_swapped, other_view, view).tolist()]
    boxes, mirrored = np.array([view[:4] for view in views]), np.array([view.mirrored for view in views])
    others = np.where(mirrored[:, np.newaxis, np.newaxis], others[:, :, ::-1], others)
    return aligned_likeness(images.astype(np.float64), others.astype(np.float64), boxes)
