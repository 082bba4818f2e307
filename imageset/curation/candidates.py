"""Photos -> pairs that may be near-duplicates: a view of the one has nearly the hash of the other, or a window of both
has nearly the same hash, and so have the signs of more frequencies (sieve.py)."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation.alignment import crop
from imageset.curation.hamming import find_near
from imageset.curation.search_pool import map_in_order
from imageset.curation.sieve import (
    OF_A_WINDOW,
    WHOLE,
    WORDS,
    Signs,
    box_signs,
    count_differing,
    hash_with_signs,
    may_agree,
)
from imageset.curation.views import VIEWS, Boxes, Hashes, box_frequencies, hash_views
from imageset.curation.window_hashes import WINDOWS, hash_windows
from imageset.errors import DataError
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import progress
from imageset.workers.ordered_map import WorkerPool

PHOTOS_AT_ONCE = 128  # with their frequencies in memory: 21 MB; more would not fit in a processor's cache
MAX_PAIRS = 20_000_000  # of one search: 160 MB, and eleven hours to compare them
HASHES_AT_ONCE = 1 << 20  # that a worker searches with, of 13,107 photos: thumbnails of 54 MB, signs of 34 MB
WINDOWS_AT_ONCE = 4096  # photos: a worker hashes the windows of so many
HITS_AT_ONCE = 4096  # pairs of near hashes, each with the signs of all views: 10 MB

Pairs = NDArray[np.intp]  # (P, 2), places in PhotosToCompare


class PhotosToCompare(NamedTuple):
    """N photos as they are compared. A photo with a frame is there twice, the second time without its frame.

    Attributes:
        numbers: of the photos, (N,).
        rows: of their thumbnails, (N,).
        frames: what is cut off each thumbnail first, (N, 4), 0 of photos as they are.
        hashes: perceptual hashes, uint64 (N,).
        compared: which of them were compared with each other before, (N,).
    """

    numbers: Indices
    rows: Indices
    frames: Boxes
    hashes: Hashes
    compared: NDArray[np.bool_]

    def take(self, which: NDArray[Any]) -> "PhotosToCompare":
        return PhotosToCompare(*(values[which] for values in self))

    def read(self, thumbnails: Pixels, places: Indices) -> Pixels:
        """Return the thumbnails at these places, uint8 (P, 64, 64), without their frames where they are cut off."""
        images = np.asarray(thumbnails[self.rows[places]][..., 0])
        framed = np.flatnonzero(self.frames[places].any(axis=1))
        if len(framed):
            images[framed] = cut_frames(images[framed], self.frames[places[framed]])
        return images


def cut_frames(images: Pixels, frames: Boxes) -> Pixels:
    """Return the insides of the frames, enlarged to the images' sides, uint8 (N, S, S)."""
    inside, _, _ = crop(images.astype(np.float64), frames)
    return np.rint(np.round(inside, 6)).astype(np.uint8)


def add_insides(photos: PhotosToCompare, thumbnails: Pixels) -> PhotosToCompare:
    """Return photos as they are, then once more those that have a frame, without it.

    photos: with their frames, and the hashes of the whole photos.
    """
    framed = np.flatnonzero(photos.frames.any(axis=1))
    whole = photos._replace(frames=np.zeros_like(photos.frames))
    if not len(framed):
        return whole
    insides = photos.take(framed)
    hashes = [
        hash_views(box_frequencies(insides.read(thumbnails, block), (WHOLE,)))[:, 0] for block in blocks(len(framed))
    ]
    insides = insides._replace(hashes=np.concatenate(hashes))
    return PhotosToCompare(*(np.concatenate(both) for both in zip(whole, insides, strict=True)))


def sign_photos(thumbnails: Pixels, photos: PhotosToCompare) -> Signs:
    """Return the signs of all photos as they are, (N, WORDS)."""
    signs = np.empty((len(photos.numbers), WORDS), np.uint64)
    for block in blocks(len(signs)):
        signs[block] = box_signs(photos.read(thumbnails, block))
    return signs


def find_candidates(
    photos: PhotosToCompare, thumbnails: Pixels, signs: Signs, distance: int, pool: WorkerPool | None
) -> Iterator[Pairs]:
    """Yield candidates, sorted, of one part of the photos after the other: each photo with all others of which the hash
    is near to the hash of one of its views.

    A photo is also near to itself, and such pairs are among them.

    signs: of the photos as they are, (N, WORDS).

    Raises:
        DataError: there are more candidates than anybody waits for.
    """
    parts = blocks(len(photos.numbers), max(1, HASHES_AT_ONCE // len(VIEWS)))
    function = partial(find_of_part, hashes=photos.hashes, signs=signs, distance=distance)
    items = ((int(part[0]), photos.read(thumbnails, part)) for part in parts if len(part))
    with progress.bar(None, "near-duplicates: hashes", len(photos.numbers)) as bar:
        for part, pairs in zip(parts, map_in_order(pool, function, items), strict=False):
            bar.update(len(part))
            yield pairs


def find_of_part(part: tuple[int, Pixels], hashes: Hashes, signs: Signs, distance: int) -> Pairs:
    """Return the candidates of photos that follow each other, sorted; a worker does this.

    Args:
        part: the place of the first of these photos, and their thumbnails, uint8 (P, 64, 64).
        hashes: of all photos as they are, (N,).
        signs: the same, (N, WORDS).
        distance: of bits.
    """
    first, images = part
    of_views = np.empty((len(images), len(VIEWS)), np.uint64)
    signs_of_views = np.empty((*of_views.shape, WORDS), np.uint64)
    for block in blocks(len(images)):
        of_views[block], signs_of_views[block] = hash_with_signs(images[block])

    def agreeing() -> Iterator[tuple[Indices, Indices]]:
        for queries, others in in_parts(find_near(of_views.reshape(-1), hashes, distance)):
            one, views = np.divmod(queries, len(VIEWS))
            agree = may_agree(signs_of_views[one], signs[others], views)
            yield first + one[agree], others[agree]

    return unique_pairs(agreeing(), len(hashes))


def in_parts(near: Iterable[tuple[Indices, Indices]]) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs in parts of HITS_AT_ONCE: those of find_near may be far smaller, or larger."""
    waiting: list[tuple[Indices, Indices]] = []
    count = 0
    for part in near:
        waiting.append(part)
        count += len(part[0])
        if count >= HITS_AT_ONCE:
            yield from cut_parts(waiting)
            waiting, count = [], 0
    if waiting:
        yield from cut_parts(waiting)


def cut_parts(parts: list[tuple[Indices, Indices]]) -> Iterator[tuple[Indices, Indices]]:
    left, right = (np.concatenate(each) for each in zip(*parts, strict=True))
    for start in range(0, len(left), HITS_AT_ONCE):
        yield left[start : start + HITS_AT_ONCE], right[start : start + HITS_AT_ONCE]


def windows_agree(thumbnails: Pixels, photos: PhotosToCompare, pairs: Pairs, window: int) -> NDArray[np.bool_]:
    """Return which of the pairs, (P,), may show the same in a window."""
    agree = np.empty(len(pairs), bool)
    for block in blocks(len(pairs)):
        one, other = (box_signs(photos.read(thumbnails, places), WINDOWS[window]) for places in pairs[block].T)
        agree[block] = count_differing(one, other) <= OF_A_WINDOW
    return agree


def find_windows(
    thumbnails: Pixels, photos: PhotosToCompare, pool: WorkerPool | None
) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return the hashes of all photos' windows, (N, WINDOWS), and which of them tell photos apart."""
    hashes = np.empty((len(photos.numbers), len(WINDOWS)), np.uint64)
    tells = np.empty(hashes.shape, bool)
    parts = blocks(len(hashes), WINDOWS_AT_ONCE)
    images = (photos.read(thumbnails, part) for part in parts)
    with progress.bar(None, "near-duplicates: windows", len(hashes)) as bar:
        for part, made in zip(parts, map_in_order(pool, hash_windows_of_part, images), strict=True):
            hashes[part], tells[part] = made
            bar.update(len(part))
    return hashes, tells


def hash_windows_of_part(images: Pixels) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return the same of a part of the photos; a worker does this."""
    hashes, tells = zip(*(hash_windows(images[block]) for block in blocks(len(images))), strict=True)
    return np.concatenate(hashes), np.concatenate(tells)


def blocks(count: int, at_once: int | None = None) -> list[Indices]:
    """Return the places of so many photos, `at_once` in each part (PHOTOS_AT_ONCE)."""
    at_once = at_once or PHOTOS_AT_ONCE
    return np.split(np.arange(count), range(at_once, count, at_once))


def pair_equal(hashes: Hashes) -> Pairs:
    """Return each photo, (N, 2), with the first one that has the same hash: itself, or one before it."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return np.column_stack([first[inverse], np.arange(len(hashes))])


def unique_pairs(near: Iterable[tuple[Indices, Indices]], count: int) -> Pairs:
    """Return all pairs of two of `count` photos once, the lower place first, sorted.

    Raises:
        DataError: there are more than anybody waits for.
    """
    # A pair is held as one number, the lower place first: unique pairs sort as they should, in half the memory.
    found, new, pairs = np.empty(0, np.int64), [], 0
    for left, right in near:
        new.append(np.minimum(left, right) * count + np.maximum(left, right))
        pairs += len(right)
        if pairs > MAX_PAIRS:
            found, new, pairs = np.unique(np.concatenate([found, *new])), [], 0
            if len(found) > MAX_PAIRS:
                raise DataError(
                    f"more than {MAX_PAIRS:,} pairs of photos have near hashes, which takes hours to compare: lower "
                    "duplicates.distance"
                )
    found = np.unique(np.concatenate([found, *new]))
    return np.column_stack([found // count, found % count])
