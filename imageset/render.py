"""Rows of the dataset -> their pixels; what the worker processes of stage build do."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset import layout
from imageset.augment import AugmentParams, augment
from imageset.layout import Pixels


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

    def take(self, which: slice | NDArray[np.intp]) -> "Rows":
        return Rows(self.ids[which], self.positions[which], self.copies[which], self.labels[which],
                    self.sources[which])


class Source(NamedTuple):
    """What processed.h5 holds: the photos' pixels, uint8 (N, S, S, C), and the colour behind the garments."""

    images: Pixels
    fill: tuple[int, int, int]


class Recipe(NamedTuple):
    """All that decides the pixels of the rows."""

    processed_h5: Path
    augment: AugmentParams


def render(batches: list[Rows], recipe: Recipe) -> list[Pixels]:
    """Return the pixels of batches of rows, each uint8 (N, S, S, C); runs in a worker process."""
    source = open_source(recipe.processed_h5)
    return [np.stack([augment(source.images[row], product_id, position, copy, recipe.augment, source.fill)
                      for product_id, position, copy, row in zip(rows.ids.tolist(), rows.positions.tolist(),
                                                                 rows.copies.tolist(), rows.sources, strict=True)])
            for rows in batches]


@lru_cache(maxsize=1)
def open_source(path: Path) -> Source:
    with layout.open_file(path, layout.PROCESSED) as file:
        red, green, blue = file.attrs["fill"].tolist()
        return Source(layout.mapped(file, "images"), (red, green, blue))
