"""Where photos are in an HDF5 file that names its own: by product_id and position."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.errors import DataError
from imageset.formats import hdf5, source_ids

ROWS_AT_ONCE = 100_000


def find_rows(file: h5py.File, photos: pd.DataFrame) -> NDArray[np.int64]:
    """Return the rows that photos have in a file, int64 (N,). Raises DataError if it lacks one."""
    rows = find_known_rows(file, photos)
    require_photos(rows >= 0, file.filename, photos)
    return rows


def find_known_rows(file: h5py.File, photos: pd.DataFrame) -> NDArray[np.int64]:
    """Return the rows that photos, each once, have in a file, int64 (N,), -1 where it lacks one."""
    found = np.full(len(photos), -1, np.int64)
    with hdf5.reading(file.filename):
        for rows, places in match_rows(file["ids"], file["positions"], photos):
            found[places] = rows
    return found


def match_rows(
    ids: h5py.Dataset, positions: h5py.Dataset, photos: pd.DataFrame
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the rows of a file that are of some photos, in order, and the place of each one's photo among these.

    ROWS_AT_ONCE rows are in memory: a file may have many more photos.

    Args:
        ids, positions: of the rows of an open file.
        photos: product_id and position of each photo, each once.
    """
    wanted = pd.MultiIndex.from_frame(photos[["product_id", "position"]].astype("int64"))
    for start in range(0, len(ids) or 1, ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        names = pd.MultiIndex.from_arrays([ids[block], positions[block].astype(np.int64)])
        places = np.asarray(wanted.get_indexer(names), np.int64)
        rows = np.flatnonzero(places >= 0)
        yield start + rows, places[rows]


def require_photos(is_there: NDArray[np.bool_], path: str | Path, photos: pd.DataFrame) -> None:
    """Raise DataError for the first photo that a file lacks.

    is_there: of each photo, (N,).
    """
    if not is_there.all():
        product_id, position = photos[["product_id", "position"]].to_numpy()[~is_there][0].tolist()
        product = source_ids.text(product_id)
        raise DataError(f"{path} lacks product_id {product}, position {position}: run `dvc repro`")
