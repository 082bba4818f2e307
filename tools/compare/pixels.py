"""The photos that both sides have whose pixels in the dataset differ most."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from imageset.formats import hdf5, row_checksums
from imageset.formats.hdf5 import Pixels

BLOCK = 256  # photos at a time


class PixelChanges(NamedTuple):
    """How many photos have other pixels, of how many that both sides have, and the most changed ones."""

    changed: int
    photos: int
    most: list[tuple[tuple[int, int], float]]  # product_id and position, and the mean difference, 0 to 255
    shapes: tuple[tuple[int, ...], tuple[int, ...]]  # of an image of both sides: other ones cannot be compared


def find_changed_pixels(base_h5: Path, head_h5: Path, before: pd.Series, after: pd.Series, most: int) -> PixelChanges:
    """Compare the photos that both sides have.

    Images of another shape cannot be compared pixel by pixel: then all count as changed by 255.

    Args:
        base_h5, head_h5: processed.h5 of both sides.
        before, after: the row of each photo in them, by product_id and position.
        most: how many photos to name.
    """
    photos = before.index.intersection(after.index).sort_values()
    with (
        row_checksums.open_file(base_h5, hdf5.PROCESSED) as base,
        row_checksums.open_file(head_h5, hdf5.PROCESSED) as head,
    ):
        one, other = row_checksums.map_images(base), row_checksums.map_images(head)
    if one.shape[1:] != other.shape[1:]:
        differences = np.full(len(photos), 255.0)
    else:
        rows = before.loc[photos].to_numpy(), after.loc[photos].to_numpy()
        differences = measure_differences(one, other, *rows)
    order = np.argsort(-differences, kind="stable")[:most]
    named = [(photos[place], float(differences[place])) for place in order if differences[place] > 0]
    return PixelChanges(int((differences > 0).sum()), len(photos), named, (one.shape[1:], other.shape[1:]))


def measure_differences(
    one: Pixels, other: Pixels, rows: hdf5.Indices, other_rows: hdf5.Indices
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the mean absolute difference of pairs of images, (N,)."""
    differences = np.zeros(len(rows))
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        apart = np.abs(one[rows[block]].astype(np.int16) - other[other_rows[block]])
        differences[block] = apart.mean(axis=tuple(range(1, apart.ndim)))
    return differences


def read_images(file_h5: Path, rows: pd.Series, photos: list[tuple[int, int]]) -> dict[tuple[int, int], Pixels]:
    """Return the images of the photos that a side has."""
    with row_checksums.open_file(file_h5, hdf5.PROCESSED) as file:
        images = row_checksums.Rows(file)
        return {photo: images[int(rows[photo])] for photo in photos if photo in rows.index}
