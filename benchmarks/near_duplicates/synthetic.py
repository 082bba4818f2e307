"""Synthetic photos for the search: as many as wanted, as alike as real ones, a known share of them copies."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from imageset.curation.alignment import crop
from imageset.curation.views import Hashes, hash_views, view_frequencies
from imageset.curation.window_hashes import hash_windows
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import progress

AT_ONCE = 4000  # photos, made from one seed: the first of a million are those of a thousand
HASHED, LOWEST = 8, 16  # frequencies of each axis: those of the hash, and those that are not taken from a single photo
OF_ONE, FINER_OF_ONE = 0.88, 0.65  # the share of one real photo in those of the hash, and in the others; see README.md
SHIFT = 8  # values, by which details are moved at the most
COPIES = 20  # each so many photos one is a copy
BACK = 7  # of the photo so many before it
NOISE = 3.0  # grey levels
CUT = 0.05


class Likeness(NamedTuple):
    """Bits that differ between pairs: the mean, and the share of pairs within each of some numbers of bits."""

    mean: float
    within: dict[int, float]


def write_photos(path: Path, real: Pixels, count: int) -> Hashes:
    """Write `count` synthetic thumbnails, uint8 (count, 64, 64, 1), and return their hashes.

    real: thumbnails, uint8 (R, 64, 64).
    """
    written = np.memmap(path, np.uint8, "w+", shape=(count, *real.shape[1:], 1))
    hashes = np.empty(count, np.uint64)
    frequencies = dctn(real.astype(np.float64), axes=(1, 2), norm="ortho")
    for start in progress.bar(range(0, count, AT_ONCE), "synthetic photos", None, "part"):
        block = make_photos(frequencies, np.random.default_rng(start))[: count - start]
        written[start : start + len(block), ..., 0] = block
        for part in range(0, len(block), 500):
            place = slice(start + part, start + part + 500)
            hashes[place] = hash_views(view_frequencies(written[place, ..., 0]))[:, 0]
    written.flush()
    return hashes


def make_photos(frequencies: NDArray[np.float64], draw: np.random.Generator, bases: Indices | None = None) -> Pixels:
    """Return AT_ONCE thumbnails, uint8 (AT_ONCE, 64, 64).

    The lowest frequencies are those of a real photo, mixed with a random combination of all so that their covariance
    stays (Silverman and Young, The Bootstrap: To Smooth or Not to Smooth?, 1987). The others are those of another real
    photo, moved.

    frequencies: the cosine transforms of the real photos, (R, 64, 64).
    bases: which of them each photo is most like, (AT_ONCE,); None to draw that.
    """
    count, side = len(frequencies), frequencies.shape[1]
    low = frequencies[:, :LOWEST, :LOWEST].reshape(count, -1)
    centred = low - low.mean(0)
    mixed = draw.standard_normal((AT_ONCE, count)) / np.sqrt(count - 1) @ centred
    one = centred[draw.integers(0, count, AT_ONCE) if bases is None else bases]
    shares = np.full((LOWEST, LOWEST), FINER_OF_ONE)
    shares[:HASHED, :HASHED] = OF_ONE
    share = shares.reshape(-1)
    made = np.zeros((AT_ONCE, side, side))
    made[:, :LOWEST, :LOWEST] = (low.mean(0) + share * one + np.sqrt(1 - share**2) * mixed).reshape(-1, LOWEST, LOWEST)
    details = frequencies.copy()
    details[:, :LOWEST, :LOWEST] = 0
    details = idctn(details, axes=(1, 2), norm="ortho")
    places = (np.arange(side) + draw.integers(-SHIFT, SHIFT + 1, (2, AT_ONCE, 1))) % side
    of_other = draw.integers(0, count, AT_ONCE)[:, np.newaxis, np.newaxis]
    photos = idctn(made, axes=(1, 2), norm="ortho") + details[of_other, places[0][..., np.newaxis], places[1][:, None]]
    return add_copies(np.clip(np.rint(photos), 0, 255).astype(np.uint8), draw)


def add_copies(photos: Pixels, draw: np.random.Generator) -> Pixels:
    """Replace each photo of COPIES by a noisy copy of an earlier one: plain, mirrored, cropped, brighter, in turn."""
    places = np.arange(COPIES - 1, len(photos), COPIES)
    copies = photos[places - BACK].astype(np.float64)
    copies[1::4] = copies[1::4, :, ::-1]
    copies[2::4] = crop(copies[2::4], np.full((len(copies[2::4]), 4), CUT))[0]
    copies[3::4] *= 1.1
    copies += draw.normal(0, NOISE, copies.shape)
    photos[places] = np.clip(np.rint(copies), 0, 255).astype(np.uint8)
    return photos


def measure_likeness(thumbnails: Pixels) -> dict[str, Likeness]:
    """Return how alike photos are: by the hashes of the photos as they are, of their views, of their windows.

    thumbnails: uint8 (N, 64, 64), none of them a copy.
    """
    views = hash_views(view_frequencies(thumbnails))
    windows, tells = hash_windows(thumbnails)
    one, other = np.triu_indices(len(thumbnails), 1)
    plain = differing(views[one, 0], views[other, 0])
    any_view, any_window = plain, np.full(len(one), 64, np.uint8)
    for number in range(views.shape[1]):
        any_view = np.minimum(any_view, differing(views[one, number], views[other, 0]))
        any_view = np.minimum(any_view, differing(views[other, number], views[one, 0]))
    for number in range(windows.shape[1]):
        bits = differing(windows[one, number], windows[other, number])
        bits[~(tells[one, number] & tells[other, number])] = 64
        any_window = np.minimum(any_window, bits)
    return {
        "the photo": summarize(plain, (6, 8, 10)),
        "the nearest view": summarize(any_view, (6, 8, 10)),
        "the nearest window": summarize(any_window, (3, 6, 8)),
    }


def differing(one: Hashes, other: Hashes) -> NDArray[np.uint8]:
    bits: NDArray[np.uint8] = np.bitwise_count(one ^ other)
    return bits


def summarize(bits: NDArray[np.uint8], bounds: tuple[int, ...]) -> Likeness:
    return Likeness(float(bits.mean()), {bound: float((bits <= bound).mean()) for bound in bounds})


def originals(count: int) -> Indices:
    """Return the places of those of `count` synthetic photos that are no copies."""
    return np.flatnonzero(np.arange(count) % COPIES != COPIES - 1)
