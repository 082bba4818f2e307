"""Rows of the dataset -> their pixels; what the worker processes of stage build do."""

import math
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.dataset.augment import augment
from imageset.formats import hdf5
from imageset.formats.hdf5 import Pixels
from imageset.runtime.sections import AugmentParams


class Rows(NamedTuple):
    """Rows of a subset, a column each: which copy of which photo, its label, and its row in processed.h5."""

    ids: NDArray[np.int64]
    positions: NDArray[np.int16]
    copies: NDArray[np.int16]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]

    @property
    def total(self) -> int:
        return len(self.ids)

    def tuples(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield the rows one by one, as Python's numbers."""
        return zip(
            self.ids.tolist(),
            self.positions.tolist(),
            self.copies.tolist(),
            self.labels.tolist(),
            self.sources.tolist(),
            strict=True,
        )

    def take(self, which: slice | NDArray[np.intp]) -> "Rows":
        return Rows(self.ids[which], self.positions[which], self.copies[which], self.labels[which], self.sources[which])


class Source(NamedTuple):
    """processed.h5: where its photos lie, the shape of each, uint8 (S, S, C), and the colour behind the garments."""

    descriptor: int
    offset: int
    shape: tuple[int, ...]
    fill: tuple[int, int, int]

    def photo(self, row: int) -> Pixels:
        # Read, not mapped: a fault in mapped memory reads what lies around, too, and of a file larger than memory rows
        # in a mixed order would have all of it read many times over.
        size = math.prod(self.shape)
        return np.frombuffer(os.pread(self.descriptor, size, self.offset + row * size), np.uint8).reshape(self.shape)


class Recipe(NamedTuple):
    """All that decides the pixels of the rows."""

    processed_h5: Path
    augment: AugmentParams


def render(batches: list[Rows], recipe: Recipe) -> list[Pixels]:
    """Return the pixels of batches of rows, each uint8 (N, S, S, C); runs in a worker process."""
    source = open_source(recipe.processed_h5)
    return [
        np.stack(
            [
                augment(source.photo(row), product_id, position, copy, recipe.augment, source.fill)
                for product_id, position, copy, _, row in rows.tuples()
            ]
        )
        for rows in batches
    ]


@lru_cache(maxsize=1)
def open_source(path: Path) -> Source:
    with hdf5.open_file(path, hdf5.PROCESSED) as file:
        red, green, blue = file.attrs["fill"].tolist()
        images = file["images"]
        return Source(os.open(path, os.O_RDONLY), images.id.get_offset(), images.shape[1:], (red, green, blue))
