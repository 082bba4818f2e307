"""Thumbnails -> pairs of near-duplicates: found by hashes of all views of a photo, judged by their details.

A copy that was cropped has another hash, so each photo asks with the hashes that its crops would have; as that finds
other garments in the same place too, the pairs are only candidates.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation import alignment, hamming
from imageset.curation import crop_hashes as views
from imageset.curation.crop_hashes import VIEWS, Hashes
from imageset.curation.union_find import Forest
from imageset.errors import DataError
from imageset.formats.hdf5 import Pixels
from imageset.runtime import progress

HASHES_AT_ONCE = 1 << 22  # asked for together: 100 MB
PHOTOS_AT_ONCE = 512  # of which frequencies are held: 9 MB
PAIRS_AT_ONCE = 256  # aligned together: 100 MB
MOST_PAIRS = 20_000_000  # candidates of HASHES_AT_ONCE: 160 MB, and eleven hours

Rows = NDArray[np.intp]


class Photos(NamedTuple):
    """Photos to compare, N of them: their numbers, where among the thumbnails they are, their hashes, and which of them
    have been compared with each other before."""

    numbers: Rows
    places: Rows
    hashes: Hashes
    seen: NDArray[np.bool_]

    def take(self, which: NDArray[np.bool_]) -> "Photos":
        return Photos(self.numbers[which], self.places[which], self.hashes[which], self.seen[which])


class Pair(NamedTuple):
    """Numbers of two photos, and by how much they agree, -1 to 1."""

    left: int
    right: int
    likeness: float


def find(thumbnails: Pixels, photos: Photos, distance: int, likeness: float, forest: Forest) -> Iterator[Pair]:
    """Yield near-duplicates among photos, as many pairs as it takes to tie all that belong together.

    Which pairs these are depends on the order of the search, what they tie together does not.

    thumbnails: uint8 (M, 64, 64, 1); distance: of bits between a view's hash and another photo's, for a candidate;
    likeness: from which on a candidate is a near-duplicate; forest: what is tied already, and it grows.
    """
    # First each photo with the first one of its hash: a placeholder on thousands of listings makes thousands of pairs,
    # not millions. Those that do not show the same go on by themselves.
    _, first, inverse = np.unique(photos.hashes, return_index=True, return_inverse=True)
    yield from look_at(np.column_stack([first[inverse], np.arange(len(inverse))]), thumbnails, photos, likeness, forest)
    firsts = photos.numbers[first[inverse]].tolist()
    alone = [
        number == one or forest.apart(number, one) for number, one in zip(photos.numbers.tolist(), firsts, strict=True)
    ]
    photos = photos.take(np.array(alone, bool))
    _, first, inverse = np.unique(photos.hashes, return_index=True, return_inverse=True)
    step = max(1, HASHES_AT_ONCE // len(VIEWS))
    for start in range(0, len(photos.numbers), step):
        rows = np.arange(start, min(start + step, len(photos.numbers)))
        pairs = candidates(rows, thumbnails, photos, distance)
        pairs = pairs[pairs[:, 0] != first[inverse[pairs[:, 1]]]]  # these were looked at
        yield from look_at(pairs, thumbnails, photos, likeness, forest)


def look_at(
    pairs: NDArray[np.intp],
    thumbnails: Pixels,
    photos: Photos,
    likeness: float,
    forest: Forest,
) -> Iterator[Pair]:
    """Yield those of the pairs (P, 2) that are near-duplicates, were not seen before and are not tied yet."""
    pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & ~photos.seen[pairs].all(axis=1)]
    if not len(pairs):
        return
    with progress.bar(None, "near-duplicates: second look", len(pairs), unit="pair") as bar:
        for block in np.split(pairs, range(PAIRS_AT_ONCE, len(pairs), PAIRS_AT_ONCE)):
            yield from look(block, thumbnails, photos, likeness, forest)
            bar.update(len(block))


def look(
    pairs: NDArray[np.intp],
    thumbnails: Pixels,
    photos: Photos,
    likeness: float,
    forest: Forest,
) -> Iterator[Pair]:
    """Yield those of the pairs (P, 2) that are near-duplicates and not tied yet."""
    apart = pairs[[forest.apart(left, right) for left, right in photos.numbers[pairs].tolist()]]
    agreed = compare(thumbnails, *photos.places[apart].T) if len(apart) else np.empty(0)
    for (left, right), value in zip(photos.numbers[apart].tolist(), agreed.tolist(), strict=True):
        if value >= likeness and forest.apart(left, right):
            forest.join(left, right)
            yield Pair(left, right, value)


def candidates(rows: Rows, thumbnails: Pixels, photos: Photos, distance: int) -> NDArray[np.intp]:
    """Return pairs (P, 2), sorted: of each photo in rows with others whose hash one of its views nearly has."""
    with progress.bar(None, "near-duplicates: hashes", len(rows)) as bar:
        asked = []
        for block in np.split(rows, range(PHOTOS_AT_ONCE, len(rows), PHOTOS_AT_ONCE)):
            asked.append(views.hashes(views.frequencies(thumbnails[photos.places[block]][..., 0])))
            bar.update(len(block))
    count, found, waiting, pairs = len(photos.numbers), np.empty(0, np.int64), [], 0
    for queries, others in hamming.near(np.concatenate(asked).reshape(-1), photos.hashes, distance):
        askers = rows[queries // len(VIEWS)]
        waiting.append(np.minimum(askers, others) * count + np.maximum(askers, others))
        pairs += len(others)
        if pairs > MOST_PAIRS:
            found, waiting, pairs = np.unique(np.concatenate([found, *waiting])), [], 0
            if len(found) > MOST_PAIRS:
                raise DataError(
                    f"more than {MOST_PAIRS:,} pairs of photos look alike, hours of second looks: lower "
                    "duplicates.distance"
                )
    found = np.unique(np.concatenate([found, *waiting]))
    return np.column_stack([found // count, found % count])


def compare(thumbnails: Pixels, left: Rows, right: Rows) -> NDArray[np.float64]:
    """Return by how much each two photos' details agree, when one of them is cropped and mirrored to fit the other."""
    images, others = (thumbnails[rows][..., 0] for rows in (left, right))
    seen, met = views.frequencies(images), views.frequencies(others)
    (view, alike), (other_view, other_alike) = views.nearest(seen, met[:, 0]), views.nearest(met, seen[:, 0])
    # The copy, cropped once more, may have the hash of its photo: it is the photo that has to be cropped.
    swapped = other_alike > alike
    turn = swapped[:, np.newaxis, np.newaxis]
    images, others = np.where(turn, others, images), np.where(turn, images, others)
    chosen = [VIEWS[number] for number in np.where(swapped, other_view, view).tolist()]
    boxes, mirrored = np.array([one[:4] for one in chosen]), np.array([one.mirrored for one in chosen])
    others = np.where(mirrored[:, np.newaxis, np.newaxis], others[:, :, ::-1], others)
    return alignment.likeness(images.astype(np.float64), others.astype(np.float64), boxes)
