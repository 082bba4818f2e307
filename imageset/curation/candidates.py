"""Photos -> pairs that may be near-duplicates, because the hash of a view of one is near to the hash of the other."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation.crop_hashes import VIEWS, Hashes, hash_views, view_frequencies
from imageset.curation.hamming import find_near
from imageset.errors import DataError
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import progress

PHOTOS_AT_ONCE = 512  # whose frequencies are in memory: 9 MB
MAX_PAIRS = 20_000_000  # of one search: 160 MB, and eleven hours to compare them

Pairs = NDArray[np.intp]  # (P, 2), places in PhotosToCompare


class PhotosToCompare(NamedTuple):
    """N photos: their numbers, the rows of their thumbnails, their hashes, and which were compared with each other."""

    numbers: Indices
    rows: Indices
    hashes: Hashes
    compared: NDArray[np.bool_]

    def take(self, which: NDArray[np.bool_]) -> "PhotosToCompare":
        return PhotosToCompare(self.numbers[which], self.rows[which], self.hashes[which], self.compared[which])


def find_candidates(places: Indices, thumbnails: Pixels, photos: PhotosToCompare, distance: int) -> Pairs:
    """Return candidates, sorted: each photo at `places` with all whose hash is near to one of its views' hashes.

    A photo is also near to itself, and such pairs are among them.
    """
    with progress.bar(None, "near-duplicates: hashes", len(places)) as bar:
        hashes = []
        for block in np.split(places, range(PHOTOS_AT_ONCE, len(places), PHOTOS_AT_ONCE)):
            hashes.append(hash_views(view_frequencies(thumbnails[photos.rows[block]][..., 0])))
            bar.update(len(block))
    # A pair is held as one number, the lower place first: unique pairs sort as they should, in half the memory.
    count, found, new, pairs = len(photos.numbers), np.empty(0, np.int64), [], 0
    for queries, others in find_near(np.concatenate(hashes).reshape(-1), photos.hashes, distance):
        searched = places[queries // len(VIEWS)]
        new.append(np.minimum(searched, others) * count + np.maximum(searched, others))
        pairs += len(others)
        if pairs > MAX_PAIRS:
            found, new, pairs = np.unique(np.concatenate([found, *new])), [], 0
            if len(found) > MAX_PAIRS:
                raise DataError(
                    f"more than {MAX_PAIRS:,} pairs of photos have near hashes, which takes hours to compare: lower "
                    "duplicates.distance"
                )
    found = np.unique(np.concatenate([found, *new]))
    return np.column_stack([found // count, found % count])
