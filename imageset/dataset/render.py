"""Render the pixels of rows, in the worker processes of stage build."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from deflate import crc32

from imageset.dataset.augment import augment_photo
from imageset.formats import hdf5, row_checksums
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
    """processed.h5, opened.

    path: of the file. descriptor: of the open file. offset: where its photos begin. shape: of a photo, (S, S, C).
    fill: the colour behind the garments. checksums: of the photos, as row_checksums.py has them.
    """

    path: Path
    descriptor: int
    offset: int
    shape: tuple[int, ...]
    fill: tuple[int, int, int]
    checksums: row_checksums.Checksums

    def photo(self, row: int) -> Pixels:
        # Read, not mapped: a page fault also reads the pages around it. From a file larger than memory, rows in a mixed
        # order would read everything many times.
        size = math.prod(self.shape)
        content = os.pread(self.descriptor, size, self.offset + row * size)
        if crc32(content) != self.checksums[row]:
            raise row_checksums.damaged_row(self.path, row)
        return np.frombuffer(content, np.uint8).reshape(self.shape)


class RenderRecipe(NamedTuple):
    """What decides the pixels of rows."""

    processed_h5: Path
    augment: AugmentParams


def render(batches: list[SourceRows], recipe: RenderRecipe) -> list[Pixels]:
    """Return the pixels of each batch of rows, uint8 (N, S, S, C). Runs in a worker process."""
    source = open_source(recipe.processed_h5)
    return [
        np.stack(
            [
                augment_photo(source.photo(row), product_id, position, copy, recipe.augment, source.fill)
                for product_id, position, copy, row in rows.tuples()
            ]
        )
        for rows in batches
    ]


@lru_cache(maxsize=1)
def open_source(path: Path) -> Source:
    with row_checksums.open_file(path, hdf5.PROCESSED) as file, hdf5.reading(path):
        fill = tuple(file.attrs["fill"].tolist())
        images, checksums = file["images"], file[row_checksums.CHECKSUMS][:]
        return Source(path, os.open(path, os.O_RDONLY), images.id.get_offset(), images.shape[1:], fill, checksums)
