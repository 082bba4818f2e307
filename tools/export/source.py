"""What an export writes: photos by subset, and their classes."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.formats import hdf5
from imageset.formats.hdf5 import Indices, Pixels, RowColumns
from imageset.formats.images import Images

WITHOUT_SUBSETS = "photos"  # the name of the one subset of processed.h5
BATCH_BYTES = 1 << 20  # of pixels, read and encoded at a time


class Classes(NamedTuple):
    """Of each class, by label: its number, its name, and the source's id as text, which may be the number's digits."""

    catalog_ids: list[int]
    names: list[str]
    ids: list[str]


class Subset(NamedTuple):
    """The photos of a subset.

    images: (N, S, S, C), with their pixels at the ascending indices `places`. further: what else is known of each
    photo, an array a name: source_id, text; group, int64, where the file has groups; and the further columns, text.
    """

    name: str
    images: Images
    places: Indices
    rows: RowColumns
    further: dict[str, NDArray[Any]]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image, (S, S, C)."""
        return tuple(self.images.shape[1:])

    def column(self, name: str) -> NDArray[Any]:
        """Return a column by its name in hdf5.ROW_DTYPES."""
        values: NDArray[Any] = getattr(self.rows, name)
        return values.astype(hdf5.ROW_DTYPES[name], copy=False)


class Source(NamedTuple):
    """Everything to export. `digest` covers all of it with its pixels; `left_out` counts the file's other photos."""

    digest: str
    classes: Classes
    subsets: list[Subset]
    left_out: int = 0

    @property
    def total(self) -> int:
        """Number of photos in all subsets."""
        return sum(subset.rows.total for subset in self.subsets)


def pixel_batches(subset: Subset) -> Iterator[Pixels]:
    """Yield the pixels of a subset in order, uint8 (n, S, S, C), BATCH_BYTES or one photo at a time."""
    step = max(1, BATCH_BYTES // math.prod(subset.image_shape))
    for start in range(0, subset.rows.total, step):
        places = subset.places[start : start + step]
        pixels = np.empty((len(places), *subset.image_shape), np.uint8)
        subset.images.gather(places, pixels)
        yield pixels
