"""Photos to fetch, as rows of a table: a photo is an object only while it is in progress."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow
from numpy.typing import NDArray

from imageset.formats.tables import ROWS_AT_ONCE
from imageset.web.fetch_photo import PhotoToFetch

COLUMNS = list(PhotoToFetch._fields)


class PhotoList:
    """Some rows of a table of photos, in a given order."""

    def __init__(self, table: pd.DataFrame, rows: NDArray[np.int64]) -> None:
        """Take the table and the rows.

        Args:
            table: key, product_id, position and image_url; the texts in one piece of memory (tables.join_pieces).
            rows: places of rows in the table.
        """
        self.table = table
        self.columns = [pyarrow.array(table[name]) for name in COLUMNS]
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> PhotoToFetch:
        row = int(self.rows[place])
        return PhotoToFetch(*(column[row].as_py() for column in self.columns))

    def take(self, places: NDArray[np.int64]) -> "PhotoList":
        """Return the photos at these places."""
        return PhotoList(self.table, self.rows[places])

    def __iter__(self) -> Iterator[PhotoToFetch]:
        for start in range(0, len(self.rows), ROWS_AT_ONCE):
            rows = pyarrow.array(self.rows[start : start + ROWS_AT_ONCE])
            yield from map(PhotoToFetch, *(column.take(rows).to_pylist() for column in self.columns))
