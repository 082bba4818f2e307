"""What the methods see of a photo: whole numbers from 0 to 255, so that sums of them are exact.

Sums of exact products are the same whatever the order of the rows, the number of threads and the kind of processor.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.evaluation import hog_features
from imageset.evaluation.hog_features import CELLS, DIRECTIONS, SIDE
from imageset.formats import hdf5
from imageset.formats.photo_places import find_rows
from imageset.formats.row_checksums import Rows
from imageset.runtime import progress

WHOLE = 1 << 16  # steps of 1 of an embedding's values: their sums are exact
LENGTH = 1600  # of the features of an embedding: the largest of them are near 255
MOVED = 2  # pixels of a thumbnail
VIEWS = 4  # of a thumbnail
PHOTOS_AT_ONCE = 1024
ROWS_A_PART = 16_384  # photos times views: their features are in memory, 30 MB at most

Features = NDArray[np.uint8]  # (V, N, D): V views of each of N photos


def quantize_embeddings(embeddings: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return embeddings, float32 (N, D), as whole numbers: the square roots of their shares, LENGTH long together.

    The values are means of numbers from 0 to 6, most of them near 0. The square root makes their variance nearly the
    same whatever their size (Bartlett, 1936), and the Euclidean distance one of Hellinger. With one length for all, a
    picture that moves the network little is no nearer to the middle of everything.
    """
    whole = np.rint(np.maximum(embeddings.astype(np.float64), 0) * WHOLE)
    sums = np.maximum(whole.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.minimum(np.rint(LENGTH * np.sqrt(whole / sums)), 255), np.uint8)


def widen_edges(edges: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return histograms of directions, uint8 (N, 768), and their means over 2 x 2 and 4 x 4 cells: uint8 (N, 1656).

    Square roots, in whole steps: as for embeddings. The means forgive a garment that is not quite in its place.
    """
    cells = edges.reshape(len(edges), CELLS, CELLS, DIRECTIONS).astype(np.int64)
    scales = []
    for width in (1, 2, 4):
        places = CELLS + 1 - width
        shifts = [(down, across) for down in range(width) for across in range(width)]
        total = sum(cells[:, down : down + places, across : across + places] for down, across in shifts)
        scales.append(np.rint(np.sqrt(255 * np.asarray(total) / width**2)).reshape(len(edges), -1))
    return np.hstack(scales).astype(np.uint8)


def describe_thumbnails(thumbnails: NDArray[np.uint8]) -> Features:
    """Return the edges in thumbnails, uint8 (N, 64, 64, 1), as four views: uint8 (4, N, 1656).

    A garment that is mirrored, or MOVED by some pixels, is the same garment. So each photo counts four times: moved to
    the lower right and to the upper left, and both mirrored.
    """
    padded = np.pad(thumbnails[..., 0], ((0, 0), (MOVED, MOVED), (MOVED, MOVED)), mode="edge")
    views = []
    for start in (0, 2 * MOVED):
        moved = padded[:, start : start + SIDE, start : start + SIDE]
        views += [widen_edges(hog_features.edges(np.ascontiguousarray(view))) for view in (moved, moved[:, :, ::-1])]
    return np.stack(views)


@dataclass(frozen=True)
class FeatureFile:
    """Photos in an open file. Their features are made anew each time they are read.

    Of all photos they would take 1.3 kB a photo of embeddings, 6.6 kB of thumbnails.

    Attributes:
        stored: what the file has of each photo, from `describe_thumbnails` or `quantize_embeddings` on.
        rows: where each of N photos is in it, ascending, int64 (N,).
        describe: what makes features of some of its rows.
        views: how many views it makes of a photo.
    """

    stored: Rows
    rows: NDArray[np.int64]
    describe: Callable[[NDArray[Any]], Features]
    views: int

    def parts(self, said: str) -> Iterator[tuple[slice, Features]]:
        """Yield which photos a part is of, and their features, uint8 (V, n, D). said: what a progress bar says."""
        step = ROWS_A_PART // self.views
        with progress.bar(None, said, len(self.rows)) as bar:
            for start in range(0, len(self.rows), step):
                rows = self.rows[start : start + step]
                blocks = (self.describe(read_between(self.stored, block)) for block in blocks_of(rows))
                first = next(blocks)
                found = np.empty((self.views, len(rows), first.shape[2]), np.uint8)
                found[:, : first.shape[1]] = first
                for number, block in enumerate(blocks, 1):
                    found[:, number * PHOTOS_AT_ONCE : number * PHOTOS_AT_ONCE + block.shape[1]] = block
                yield slice(start, start + len(rows)), found
                bar.update(len(rows))


def of_thumbnails(thumbnails: Rows, rows: NDArray[np.int64]) -> FeatureFile:
    """Return the features of some thumbnails, uint8 (M, 64, 64, 1), as `describe_thumbnails` makes them."""
    return FeatureFile(thumbnails, rows, describe_thumbnails, VIEWS)


def of_embeddings(embeddings: Rows, rows: NDArray[np.int64]) -> FeatureFile:
    """Return the features of some embeddings, float32 (M, D), as `quantize_embeddings` makes them, in one view."""
    return FeatureFile(embeddings, rows, lambda values: quantize_embeddings(values)[None], 1)


def measure_contrasts(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the standard deviation of each thumbnail, uint8 (N, 64, 64, 1): float64 (N,)."""
    values = thumbnails.reshape(len(thumbnails), -1).astype(np.int64)
    size = values.shape[1]
    return np.asarray(np.sqrt(size * (values**2).sum(axis=1) - values.sum(axis=1) ** 2) / size)


def read_contrasts(thumbnails: Rows, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the standard deviations of some thumbnails, ascending rows, as `measure_contrasts` does."""
    found = []
    for block in blocks_of(rows):
        found.append(measure_contrasts(read_between(thumbnails, block)))
    return np.concatenate(found)


def find_embeddings(file: h5py.File, photos: pd.DataFrame) -> NDArray[np.int64] | None:
    """Return the row of each photo in an open embeddings.h5, int64 (N,); None when it has no photos at all.

    Args:
        file: opened with `row_checksums.open_file(path, hdf5.EMBEDDINGS)`.
        photos: product_id and position.

    Raises:
        DataError: it has photos, but not all of these.
    """
    with hdf5.reading(file.filename):
        if not len(file["ids"]):
            return None
    return find_rows(file, photos)


def blocks_of(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + PHOTOS_AT_ONCE] for start in range(0, len(rows), PHOTOS_AT_ONCE)]


def read_between(dataset: Rows, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return some rows. All between the first and the last are read, as HDF5 is slow at picking."""
    first = int(rows.min())
    return np.asarray(dataset[first : int(rows.max()) + 1][rows - first])
