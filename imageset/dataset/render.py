"""Rows of the dataset -> their pixels; what the worker processes of stage build do."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imageset.dataset.augment import augment
from imageset.formats import hdf5
from imageset.formats.hdf5 import Indices, Pixels, RowColumns
from imageset.runtime.sections import AugmentParams


@dataclass(frozen=True, eq=False)
class SourceRows(RowColumns):
    """Rows of a subset; sources: the row of each photo in processed.h5."""

    sources: Indices

    def tuples(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield id, position, copy and source of each row, as Python's numbers."""
        columns = (self.ids, self.positions, self.copies, self.sources)
        return zip(*(values.tolist() for values in columns), strict=True)


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


class RenderRecipe(NamedTuple):
    """All that decides the pixels of the rows."""

    processed_h5: Path
    augment: AugmentParams


def render(batches: list[SourceRows], recipe: RenderRecipe) -> list[Pixels]:
    """Return the pixels of batches of rows, each uint8 (N, S, S, C); runs in a worker process."""
    source = open_source(recipe.processed_h5)
    return [
        np.stack(
            [
                augment(source.photo(row), product_id, position, copy, recipe.augment, source.fill)
                for product_id, position, copy, row in rows.tuples()
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
