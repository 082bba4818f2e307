"""What the sieve's limit for halves of photos costs: confirmed pairs lost and false candidates left, by limit."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.near_duplicates.joining import Pairs
from benchmarks.near_duplicates.photos import Photos
from benchmarks.shared.tables import table
from imageset.curation.candidates import PhotosToCompare, blocks, list_photos, sign_photos
from imageset.curation.duplicate_search import find_all_frames
from imageset.curation.hamming import find_near
from imageset.curation.near_duplicates import ALIGNED_AT_ONCE, measure_likeness
from imageset.curation.sieve import IS_HALF, OF_A_HALF, OF_ANY_VIEW, count_differing, hash_with_signs
from imageset.runtime import progress
from imageset.runtime.sections import DuplicatesParams

LIMITS = (64, 72, 80, 88, OF_A_HALF, 104, 112)  # of 256 signs


class OfHalves(NamedTuple):
    """Pairs that the limit for halves alone decides on: N of them.

    differing: signs, the least of all near views that are halves, (N,).
    is_confirmed: whether their details agree, (N,).
    """

    differing: NDArray[np.int64]
    is_confirmed: NDArray[np.bool_]


def report_half_limit(photos: Photos, is_tuned_on: NDArray[np.bool_], duplicates: DuplicatesParams) -> None:
    """Print, for the limits, what either half of the photos loses and keeps.

    is_tuned_on: which originals the limit was chosen on, by their numbers.
    """
    tuned_on, held_out = (
        find_of_halves(photos.take(is_tuned_on[photos.sources] == half), duplicates) for half in (True, False)
    )

    def lines() -> Iterator[tuple[str, ...]]:
        for limit in LIMITS:
            cells = []
            for differing, is_confirmed in (tuned_on, held_out):
                lost = np.count_nonzero(is_confirmed & (differing > limit))
                left = np.count_nonzero(~is_confirmed & (differing <= limit))
                cells += [f"{lost:,} of {np.count_nonzero(is_confirmed):,}", f"{left:,}"]
            yield f"{limit}", *cells

    halves = ("half tuned on", "held out")
    table(
        (
            "signs of a half",
            *(f"{what}, {half}" for half in halves for what in ("confirmed pairs lost", "others left")),
        ),
        lines(),
    )


def find_of_halves(photos: Photos, duplicates: DuplicatesParams) -> OfHalves:
    """Return the pairs with near hashes of a half, of which no view has nearly the same signs."""
    count = len(photos.hashes)
    thumbnails, rows = photos.thumbnails, np.arange(count)
    frames = find_all_frames(thumbnails, rows)
    compared = list_photos(thumbnails, rows, rows, frames, photos.hashes, np.zeros(count, bool))
    signs = sign_photos(thumbnails, compared)
    pairs, differing = [np.empty((0, 2), np.intp)], [np.empty(0, np.int64)]
    parts = blocks(len(signs))
    for part in progress.bar(parts, "halves", len(parts)):
        of_views, signs_of_views = hash_with_signs(compared.read(thumbnails, part))
        of_halves, places = of_views[:, IS_HALF], np.flatnonzero(IS_HALF)
        for queries, others in find_near(of_halves.reshape(-1), compared.hashes, duplicates.distance):
            one, half = np.divmod(queries, len(places))
            apart = count_differing(signs_of_views[one], signs[others][:, np.newaxis])
            sieved = (apart.min(axis=1) > OF_ANY_VIEW) & (part[one] != others)
            pairs.append(np.column_stack([part[one], others])[sieved])
            differing.append(apart[np.arange(len(one)), places[half]][sieved])
    return judge(compared, photos, np.concatenate(pairs), np.concatenate(differing), duplicates)


def judge(
    compared: PhotosToCompare, photos: Photos, pairs: Pairs, differing: NDArray[np.int64], duplicates: DuplicatesParams
) -> OfHalves:
    """Compare the details of each pair once."""
    pairs, place = np.unique(np.sort(pairs, axis=1), axis=0, return_inverse=True)
    least = np.full(len(pairs), 256)
    np.minimum.at(least, place.reshape(-1), differing)
    likeness = np.empty(len(pairs))
    for block in progress.bar(blocks(len(pairs), ALIGNED_AT_ONCE), "details", -(-len(pairs) // ALIGNED_AT_ONCE)):
        likeness[block] = measure_likeness(*(compared.read(photos.thumbnails, places) for places in pairs[block].T))
    return OfHalves(least, likeness >= duplicates.likeness)
