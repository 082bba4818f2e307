"""Where photos are in an HDF5 file that names its own: by product_id and position."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.errors import DataError
from imageset.formats import hdf5, source_ids


def find_rows(file: h5py.File, photos: pd.DataFrame) -> NDArray[np.int64]:
    """Return the rows that photos have in a file, int64 (N,). Raises DataError if it lacks one."""
    rows = find_known_rows(file, photos)
    require_photos(rows >= 0, file.filename, photos)
    return rows


def find_known_rows(file: h5py.File, photos: pd.DataFrame) -> NDArray[np.int64]:
    """Return the rows that photos have in a file, int64 (N,), -1 where it lacks one."""
    with hdf5.reading(file.filename):
        names = pd.MultiIndex.from_arrays([file["ids"][:], file["positions"][:].astype(np.int64)])
    return np.array(names.get_indexer(pd.MultiIndex.from_frame(photos[["product_id", "position"]])), np.int64)


def require_photos(is_there: NDArray[np.bool_], path: str | Path, photos: pd.DataFrame) -> None:
    """Raise DataError for the first photo that a file lacks.

    is_there: of each photo, (N,).
    """
    if not is_there.all():
        product_id, position = photos[["product_id", "position"]].to_numpy()[~is_there][0].tolist()
        product = source_ids.text(product_id)
        raise DataError(f"{path} lacks product_id {product}, position {position}: run `dvc repro`")
