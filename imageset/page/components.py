"""The components of the photos' features as bytes, so that the page finds the nearest photos by itself."""

import base64
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.formats import hdf5
from imageset.formats.photo_places import find_known_rows
from imageset.formats.row_checksums import Rows

MOST = 127  # of an int8


def shrink_components(components: NDArray[np.int16]) -> tuple[NDArray[np.int8], float]:
    """Return components, int16 (N, P), as int8 of one scale, and that scale: what 1 is worth.

    One scale for all, so that distances keep their order but for rounding: of the eight nearest of 713 real photos,
    7.8 are the same.
    """
    largest = int(np.abs(components.astype(np.int64)).max(initial=0))
    scale = max(largest, 1) / MOST
    return np.rint(components / scale).astype(np.int8), scale


def encode_components(file: h5py.File, photos: pd.DataFrame) -> tuple[dict[str, Any], str]:
    """Return the components of those photos that have some: how they are laid out, and their bytes in base64.

    Args:
        file: components.h5, opened with `row_checksums.open_file(path, hdf5.COMPONENTS)`.
        photos: product_id and position of each photo of the page.

    Returns:
        dimensions, scale and photos (which photos they are), and the bytes, one photo after another.
    """
    rows = find_known_rows(file, photos)
    known = np.flatnonzero(rows >= 0)
    components = read_components(Rows(file), rows[known])
    small, scale = shrink_components(components)
    layout = {"dimensions": components.shape[1], "scale": scale, "photos": known.tolist()}
    return layout, base64.b64encode(small.tobytes()).decode("ascii")


def read_components(all_rows: Rows, wanted: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return the components of some rows, int16 (N, P), in their order. All are read, and checked, in blocks."""
    found = np.zeros((len(wanted), all_rows.shape[1]), np.int16)
    order = np.argsort(wanted)
    for block in hdf5.blocks(all_rows.array):
        start, end = np.searchsorted(wanted[order], (block.start, block.stop))
        found[order[start:end]] = all_rows[block][wanted[order[start:end]] - block.start]
    return found
