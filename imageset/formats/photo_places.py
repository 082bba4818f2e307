"""Where photos are in an HDF5 file that names its own: by product_id and position."""

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.errors import DataError
from imageset.formats import hdf5, source_ids


def find_rows(file: h5py.File, photos: pd.DataFrame) -> NDArray[np.int64]:
    """Return the rows that photos have in a file, int64 (N,). Raises DataError if it lacks one."""
    with hdf5.reading(file.filename):
        names = pd.MultiIndex.from_arrays([file["ids"][:], file["positions"][:].astype(np.int64)])
    rows = names.get_indexer(pd.MultiIndex.from_frame(photos[["product_id", "position"]]))
    if (rows < 0).any():
        missing = photos[["product_id", "position"]].to_numpy()[rows < 0][0].tolist()
        product = source_ids.text(missing[0])
        raise DataError(f"{file.filename} lacks product_id {product}, position {missing[1]}: run `dvc repro`")
    return np.asarray(rows, np.int64)
