"""What masks.h5 and embeddings.h5 have in common: a row for every photo of the inventory, in its order.

A row names the photo and the object that its result was made of, and says why there is no result where there is none.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from imageset.formats import hdf5
from imageset.storage.bucket import StoredObject, has_md5

ROWS_AT_ONCE = 10_000  # are held in memory
IDENTITY_BYTES = 16

# The columns that all such files begin with. reasons: "" where there is a result.
COLUMNS: Mapping[str, DTypeLike] = {
    "ids": "int64",
    "positions": "int16",
    "objects": f"V{IDENTITY_BYTES}",
    "reasons": "S16",
}


class NamedRow(Protocol):
    """A row of such a file: whose it is, and the name of the object that it was made of."""

    @property
    def product_id(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def name(self) -> bytes: ...


def name_object(stored: StoredObject) -> bytes:
    """Return 16 bytes that name an object: by content where the etag is an md5, else by key and version as well."""
    identity: list[Any] = [stored.etag, stored.bytes]
    if not has_md5(stored):
        identity += [stored.key, stored.version_id]
    return hashlib.blake2b(json.dumps(identity).encode(), digest_size=IDENTITY_BYTES).digest()


def is_of_photo(row: NamedRow, product_id: int, position: int, stored: StoredObject) -> bool:
    """Return whether a row was made of this photo, out of this object."""
    return (row.product_id, row.position, row.name) == (product_id, position, name_object(stored))


class RowWriter:
    """Writes rows one at a time, ROWS_AT_ONCE of them together."""

    def __init__(self, file: h5py.File, photos: int, more: Mapping[str, DTypeLike]) -> None:
        """Make the columns.

        Args:
            file: from `hdf5.create`.
            photos: how many rows will be added.
            more: the columns behind COLUMNS, such as {"pieces": "int64"}.
        """
        self.dtypes = {name: np.dtype(dtype) for name, dtype in {**COLUMNS, **more}.items()}
        self.columns = {
            name: file.create_dataset(name, shape=(photos, *dtype.shape), dtype=dtype.base, track_times=False)
            for name, dtype in self.dtypes.items()
        }
        self.waiting: list[tuple[Any, ...]] = []
        self.written = 0

    @property
    def added(self) -> int:
        """How many rows were added."""
        return self.written + len(self.waiting)

    def add(self, product_id: int, position: int, stored: StoredObject, reason: str, *more: Any) -> None:
        """Add a row, in the inventory's order.

        Args:
            product_id: of the photo.
            position: of the photo.
            stored: the object that the result was made of.
            reason: why there is no result, "" where there is one.
            more: the values of the columns behind COLUMNS.
        """
        self.waiting.append((product_id, position, np.void(name_object(stored)), reason.encode(), *more))
        if len(self.waiting) == ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait."""
        rows = np.array(self.waiting, list(self.dtypes.items()))
        for name, column in self.columns.items():
            column[self.written : self.written + len(rows)] = rows[name]
        self.written += len(rows)
        self.waiting.clear()


def read_recipe(file: h5py.File) -> str:
    """Return the recipe of an open file, "" where it holds nothing on purpose. Raises DamagedFile."""
    with hdf5.reading(file.filename):
        return str(file.attrs["recipe"])


def read_columns(file: h5py.File, *names: str) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Yield columns of an open file, ROWS_AT_ONCE rows at a time, with the number of the first of them."""
    with hdf5.reading(file.filename):
        for start in range(0, len(file["ids"]), ROWS_AT_ONCE):
            yield start, [file[name][start : start + ROWS_AT_ONCE] for name in names]
