"""Photos -> pairs that may be near-duplicates: a view of the one has nearly the hash of the other, or a window of both
has nearly the same hash, and so have the signs of more frequencies (sieve.py)."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation.alignment import crop
from imageset.curation.hamming import find_near
from imageset.curation.search_pool import map_in_order, one_each
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
DIGEST_BYTES = 16
MOSTLY_FRAME = 0.5  # of a side: bars beyond it make different photos alike

Pairs = NDArray[np.intp]  # (P, 2), places in PhotosToCompare
Digests = NDArray[np.uint8]  # (N, DIGEST_BYTES)


class PhotosToCompare(NamedTuple):
    """N photos as they are compared. A photo with a frame is there twice, the second time without its frame.

    Attributes:
        numbers: of the photos, (N,).
        rows: of their thumbnails, (N,).
        frames: what is cut off each thumbnail first, (N, 4), 0 of photos as they are.
        hashes: perceptual hashes, uint64 (N,).
        compared: which of them were compared with each other before, (N,).
        mostly_frame: which of them are not compared, as a frame takes most of a side: they are there without it, (N,).
        digests: of the pixels and the hash, uint8 (N, DIGEST_BYTES).
    """

    numbers: Indices
    rows: Indices
    frames: Boxes
    hashes: Hashes
    compared: NDArray[np.bool_]
    mostly_frame: NDArray[np.bool_]
    digests: Digests

    def take(self, which: NDArray[Any]) -> "PhotosToCompare":
        return PhotosToCompare(*(values[which] for values in self))

    def read(self, thumbnails: Pixels, places: Indices) -> Pixels:
        """Return the thumbnails at these places, uint8 (P, 64, 64), without their frames where they are cut off."""
        images = np.asarray(thumbnails[self.rows[places]][..., 0])
        framed = np.flatnonzero(self.frames[places].any(axis=1))
        # Photos without their frames follow each other: a part of many photos may have nothing else.
        for block in blocks(len(framed)) if len(framed) else []:
            images[framed[block]] = cut_frames(images[framed[block]], self.frames[places[framed[block]]])
        return images


def cut_frames(images: Pixels, frames: Boxes) -> Pixels:
    """Return the insides of the frames, enlarged to the images' sides, uint8 (N, S, S)."""
    inside, _, _ = crop(images.astype(np.float64), frames)
    return np.rint(np.round(inside, 6)).astype(np.uint8)


def list_photos(
    thumbnails: Pixels, numbers: Indices, rows: Indices, frames: Boxes, hashes: Hashes, compared: NDArray[np.bool_]
) -> PhotosToCompare:
    """Return photos as they are, then once more those that have a frame, without it.

    Args:
        thumbnails: grey, uint8 (M, 64, 64, 1).
        numbers, rows, compared: as in PhotosToCompare.
        frames: of all photos, (N, 4): see `find_frames`.
        hashes: of the whole photos, uint64 (N,).
    """
    framed, count = np.flatnonzero(frames.any(axis=1)), len(numbers)
    places = np.concatenate([np.arange(count), framed])
    cut_off = np.concatenate([np.zeros_like(frames), frames[framed]])
    digests = np.empty((len(places), DIGEST_BYTES), np.uint8)
    mostly_frame = np.concatenate([is_mostly_frame(frames), np.zeros(len(framed), bool)])
    photos = PhotosToCompare(
        numbers[places], rows[places], cut_off, hashes[places], compared[places], mostly_frame, digests
    )
    for block in blocks(len(framed)):
        insides = count + block
        photos.hashes[insides] = hash_views(box_frequencies(photos.read(thumbnails, insides), (WHOLE,)))[:, 0]
    return photos._replace(digests=digest_photos(thumbnails, photos))


def is_mostly_frame(frames: Boxes) -> NDArray[np.bool_]:
    """Return of which photos a frame takes more than MOSTLY_FRAME of the width or the height, (N,)."""
    return np.asarray((frames[:, 0:2].sum(1) > MOSTLY_FRAME) | (frames[:, 2:4].sum(1) > MOSTLY_FRAME))


def digest_photos(thumbnails: Pixels, photos: PhotosToCompare) -> Digests:
    """Return a digest of what a search reads of each photo: its pixels, without a frame that is cut off, its hash."""
    digests = []
    for block in blocks(len(photos.numbers)):
        for image, value in zip(photos.read(thumbnails, block), photos.hashes[block], strict=True):
            digests.append(hashlib.blake2b(image.tobytes() + value.tobytes(), digest_size=DIGEST_BYTES).digest())
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def sign_photos(thumbnails: Pixels, photos: PhotosToCompare) -> Signs:
    """Return the signs of all photos as they are, (N, WORDS)."""
    signs = np.empty((len(photos.numbers), WORDS), np.uint64)
    for block in blocks(len(signs)):
        signs[block] = box_signs(photos.read(thumbnails, block))
    return signs


class KnownViews(NamedTuple):
    """What an earlier search found of some of N photos. It searched all of these with each other.

    Attributes:
        rows: of the photos in `views`, (N,), -1 of those that it did not search.
        views: the hashes of all views, uint64 (M, VIEWS).
        candidates: sorted pairs of these photos: the second one has nearly the hash of a view of the first one.
    """

    rows: Indices
    views: Hashes
    candidates: Pairs

    def views_of(self, part: Indices) -> Hashes:
        """Return the hashes of the views of those among photos that were searched."""
        rows = self.rows[part]
        return np.asarray(self.views[rows[rows >= 0]])

    def candidates_of(self, part: Indices) -> Pairs:
        """Return the candidates of photos that follow each other."""
        low, high = np.searchsorted(self.candidates[:, 0], [part[0], part[-1] + 1])
        return self.candidates[low:high]


class Part(NamedTuple):
    """P photos that follow each other, as a worker searches for their candidates.

    Attributes:
        first: the place of the first of them.
        images: their thumbnails, uint8 (P, 64, 64).
        is_new: which of them no earlier search knows, (P,).
        views: the hashes of the others' views, uint64 (O, VIEWS).
    """

    first: int
    images: Pixels
    is_new: NDArray[np.bool_]
    views: Hashes


class FoundOfPart(NamedTuple):
    """The places of P photos, the hashes of their views, uint64 (P, VIEWS), and their candidates.

    Of a candidate, the second photo has nearly the hash of a view of the first one. They are sorted.
    """

    part: Indices
    views: Hashes
    candidates: Pairs


def find_candidates(
    photos: PhotosToCompare,
    thumbnails: Pixels,
    signs: Signs,
    distance: int,
    pool: WorkerPool | None,
    known: KnownViews,
) -> Iterator[FoundOfPart]:
    """Yield the candidates of one part of the photos after the other: each photo with all others that have a
    hash near to the hash of one of its views.

    Of two photos that an earlier search knows, nothing is computed.

    signs: of the photos as they are, (N, WORDS).

    Raises:
        DataError: there are more candidates than anybody waits for.
    """
    is_new = known.rows < 0
    new = np.flatnonzero(is_new)
    parts = blocks(len(photos.numbers), max(1, HASHES_AT_ONCE // len(VIEWS))) if len(photos.numbers) else []
    function = partial(find_of_part, hashes=photos.hashes, signs=signs, new=new, distance=distance)

    def read(part: Indices) -> Part:
        images = photos.read(thumbnails, part if len(new) else part[:0])
        return Part(int(part[0]), images, is_new[part], known.views_of(part))

    with progress.bar(None, "near-duplicates: hashes", len(photos.numbers)) as bar:
        for part, (made, pairs) in zip(parts, map_in_order(one_each(pool), function, map(read, parts)), strict=True):
            views = np.empty((len(part), len(VIEWS)), np.uint64)
            views[is_new[part]], views[~is_new[part]] = made, known.views_of(part)
            both = np.concatenate([known.candidates_of(part), pairs])
            bar.update(len(part))
            yield FoundOfPart(part, views, both[np.lexsort(both.T[::-1])])


def find_of_part(part: Part, hashes: Hashes, signs: Signs, new: Indices, distance: int) -> tuple[Hashes, Pairs]:
    """Return the hashes of the new photos' views, and the candidates that no earlier search knows; a worker does this.

    Args:
        part: the photos.
        hashes: of all photos as they are, (N,).
        signs: the same, (N, WORDS).
        new: the places of all photos that no earlier search knows.
        distance: of bits.
    """
    made, known = np.flatnonzero(part.is_new), np.flatnonzero(~part.is_new)
    views, signs_of_views = hash_all_views(part.images, made)
    near = find_near(views.reshape(-1), hashes, distance)
    of_made = agreeing(near, signs_of_views, signs)
    hits = join_parts(find_near(part.views.reshape(-1), hashes[new], distance))
    # The signs of all views of all photos would take gigabytes, so they are made again where a hash is near.
    hit, places = np.unique(hits[0] // len(VIEWS), return_inverse=True)
    queries = places * len(VIEWS) + hits[0] % len(VIEWS)
    _, signs_of_hit = hash_all_views(part.images, known[hit])
    of_known = agreeing([(queries, new[hits[1]])], signs_of_hit, signs)
    placed = (
        *((part.first + made[one], other) for one, other in of_made),
        *((part.first + known[hit[one]], other) for one, other in of_known),
    )
    pairs = split_keys(unique_keys(placed, len(hashes)), len(hashes))
    return views, pairs[pairs[:, 0] != pairs[:, 1]]  # a photo is near to itself


def hash_all_views(images: Pixels, places: Indices) -> tuple[Hashes, Signs]:
    """Return the hashes of all views of the images at P places, uint64 (P, VIEWS), and their signs, (P, VIEWS, WORDS).

    images: grey, uint8 (N, 64, 64).
    """
    hashes = np.empty((len(places), len(VIEWS)), np.uint64)
    signs = np.empty((*hashes.shape, WORDS), np.uint64)
    for block in blocks(len(places)) if len(places) else []:
        hashes[block], signs[block] = hash_with_signs(images[places[block]])
    return hashes, signs


def agreeing(
    near: Iterable[tuple[Indices, Indices]], signs_of_views: Signs, signs: Signs
) -> Iterator[tuple[Indices, Indices]]:
    """Yield the pairs with near hashes that may show the same.

    Args:
        near: places among all views of Q photos, one photo after the other, and places among all photos.
        signs_of_views: of these views, (Q, VIEWS, WORDS).
        signs: of all photos as they are, (N, WORDS).

    Yields:
        Places among the Q photos, and among all photos.
    """
    for queries, others in in_parts(near):
        one, views = np.divmod(queries, len(VIEWS))
        agree = may_agree(signs_of_views[one], signs[others], views)
        yield one[agree], others[agree]


def join_parts(parts: Iterable[tuple[Indices, Indices]]) -> tuple[Indices, Indices]:
    left, right = zip((np.empty(0, np.intp),) * 2, *parts, strict=True)
    return np.concatenate(left), np.concatenate(right)


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
    left, right = join_parts(parts)
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
    """Return all pairs of two of `count` photos once, the lower place first, sorted. Raises as `unique_keys` does."""
    lower_first = ((np.minimum(left, right), np.maximum(left, right)) for left, right in near)
    return split_keys(unique_keys(lower_first, count), count)


def unique_keys(near: Iterable[tuple[Indices, Indices]], count: int) -> NDArray[np.int64]:
    """Return all pairs of two of `count` photos once, sorted, each as one number: left * count + right.

    Raises:
        DataError: there are more than anybody waits for.
    """
    # One number for a pair: unique ones sort as pairs do, in half the memory.
    found, new, pairs = np.empty(0, np.int64), [], 0
    for left, right in near:
        new.append(left * count + right)
        pairs += len(right)
        if pairs > MAX_PAIRS:
            found, new, pairs = np.unique(np.concatenate([found, *new])), [], 0
            if len(found) > MAX_PAIRS:
                raise DataError(
                    f"more than {MAX_PAIRS:,} pairs of photos have near hashes, which takes hours to compare: lower "
                    "duplicates.distance"
                )
    return np.unique(np.concatenate([found, *new]))


def split_keys(keys: NDArray[np.int64], count: int) -> Pairs:
    """Return the pairs of `unique_keys`."""
    return np.column_stack(np.divmod(keys, max(count, 1)))
