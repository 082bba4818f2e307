"""Photos -> pairs that may be near-duplicates: a view of the one has nearly the hash of the other, or a window of both
has nearly the same hash."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation.alignment import crop
from imageset.curation.hamming import find_near
from imageset.curation.views import VIEWS, Boxes, Hashes, box_frequencies, hash_views, view_frequencies
from imageset.curation.window_hashes import WINDOWS, hash_windows
from imageset.errors import DataError
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import progress

PHOTOS_AT_ONCE = 512  # whose frequencies are in memory: 21 MB
MAX_PAIRS = 20_000_000  # of one search: 160 MB, and eleven hours to compare them
WHOLE = (0.0, 0.0, 0.0, 0.0)

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


def find_candidates(places: Indices, thumbnails: Pixels, photos: PhotosToCompare, distance: int) -> Pairs:
    """Return candidates, sorted: each photo at `places` with all whose hash is near to one of its views' hashes.

    A photo is also near to itself, and such pairs are among them.
    """
    with progress.bar(None, "near-duplicates: hashes", len(places)) as bar:
        hashes = []
        for block in blocks(len(places)):
            hashes.append(hash_views(view_frequencies(photos.read(thumbnails, places[block]))))
            bar.update(len(block))
    near = find_near(np.concatenate(hashes).reshape(-1), photos.hashes, distance)
    return unique_pairs(((places[queries // len(VIEWS)], others) for queries, others in near), len(photos.numbers))


def find_windows(thumbnails: Pixels, photos: PhotosToCompare) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return the hashes of all photos' windows, (N, WINDOWS), and which of them tell photos apart."""
    hashes = np.empty((len(photos.numbers), len(WINDOWS)), np.uint64)
    tells = np.empty(hashes.shape, bool)
    with progress.bar(None, "near-duplicates: windows", len(hashes)) as bar:
        for block in blocks(len(hashes)):
            hashes[block], tells[block] = hash_windows(photos.read(thumbnails, block))
            bar.update(len(block))
    return hashes, tells


def blocks(count: int) -> list[Indices]:
    """Return the places of so many photos, PHOTOS_AT_ONCE in each part."""
    return np.split(np.arange(count), range(PHOTOS_AT_ONCE, count, PHOTOS_AT_ONCE))


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
