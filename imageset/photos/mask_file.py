"""Write and read masks.h5: every photo of the inventory, in its order, with its mask or the reason why it has none.

A mask is one chunk in HDF5's gzip format, so that any HDF5 reader opens it and each can be read alone. Workers compress
it, and it goes into the file as it is: the same bytes, whichever zlib HDF5 was built with.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from imageset.formats import hdf5
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.runtime import files
from imageset.storage.bucket import StoredObject, has_md5

ROWS_AT_ONCE = 10_000  # are held in memory, their masks not
IDENTITY_BYTES = 16

# All columns but the masks. reasons: "" where there is a mask.
COLUMNS = {
    "ids": "int64",
    "positions": "int16",
    "objects": f"V{IDENTITY_BYTES}",
    "reasons": "S16",
    "photo_pixels": "int64",
    "foreground_share": "float64",
    "border_share": "float64",
    "pieces": "int64",
    "uncertainty": "float64",
}

AddMask = Callable[[int, int, StoredObject, PhotoMask | Rejected], None]


class MaskRow(NamedTuple):
    """A photo of masks.h5: its mask, compressed, or the reason why it has none."""

    product_id: int
    position: int
    name: bytes  # of the object that was masked, by `name_object`
    mask: bytes | None
    reason: str


def name_object(stored: StoredObject) -> bytes:
    """Return 16 bytes that name an object: by content where the etag is an md5, else by key and version as well."""
    identity: list[Any] = [stored.etag, stored.bytes]
    if not has_md5(stored):
        identity += [stored.key, stored.version_id]
    return hashlib.blake2b(json.dumps(identity).encode(), digest_size=IDENTITY_BYTES).digest()


def is_of_photo(row: MaskRow, product_id: int, position: int, stored: StoredObject) -> bool:
    """Return whether a row was made of this photo, out of this object."""
    return (row.product_id, row.position, row.name) == (product_id, position, name_object(stored))


@contextmanager
def writing_masks(path: Path, photos: int, side: int, recipe: str) -> Iterator[AddMask]:
    """Yield a function that adds one photo at a time, in the inventory's order. All are written atomically.

    Args:
        path: the file.
        photos: how many will be added.
        side: of the masks, in pixels.
        recipe: from `mask_recipe.describe_recipe`; "" for no photos.
    """
    waiting: list[tuple[Any, ...]] = []
    written = 0

    def add(product_id: int, position: int, stored: StoredObject, outcome: PhotoMask | Rejected) -> None:
        if isinstance(outcome, PhotoMask):
            masks.id.write_direct_chunk((written + len(waiting), 0, 0), outcome.compressed)
            measured = (b"", *outcome[1:])
        else:
            measured = (outcome.reason.encode(), 0, 0.0, 0.0, 0, 0.0)
        waiting.append((product_id, position, np.void(name_object(stored)), *measured))
        if len(waiting) == ROWS_AT_ONCE:
            flush()

    def flush() -> None:
        nonlocal written
        rows = np.array(waiting, list(COLUMNS.items()))
        for name in COLUMNS:
            columns[name][written : written + len(rows)] = rows[name]
        written += len(rows)
        waiting.clear()

    with files.atomic(path) as temporary, hdf5.create(temporary, hdf5.MASKS) as file:
        masks = hdf5.add_images(file, "masks", (photos, side, side), "gzip")
        columns = {
            name: file.create_dataset(name, shape=(photos,), dtype=dtype, track_times=False)
            for name, dtype in COLUMNS.items()
        }
        yield add
        flush()
        assert written == photos
        hdf5.finish(file, recipe=recipe)


def read_recipe(file: h5py.File) -> str:
    """Return the recipe of an open masks.h5."""
    with hdf5.reading(file.filename):
        return str(file.attrs["recipe"])


def read_columns(file: h5py.File, *names: str) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Yield columns of an open masks.h5, ROWS_AT_ONCE rows at a time, with the number of the first of them."""
    with hdf5.reading(file.filename):
        for start in range(0, len(file["ids"]), ROWS_AT_ONCE):
            yield start, [file[name][start : start + ROWS_AT_ONCE] for name in names]


def read_mask(file: h5py.File, row: int) -> bytes:
    """Return a mask of an open masks.h5, compressed. Raises DamagedFile."""
    with hdf5.reading(file.filename):
        return bytes(file["masks"].id.read_direct_chunk((row, 0, 0))[1])


def scan_masks(path: Path) -> Iterator[MaskRow]:
    """Yield the photos of masks.h5 in the inventory's order, one mask in memory at a time.

    Raises:
        DataError: the file is missing or of another format; DamagedFile: it is damaged.
    """
    with hdf5.open_file(path, hdf5.MASKS) as file:
        for start, (ids, positions, objects, reasons) in read_columns(file, "ids", "positions", "objects", "reasons"):
            photos = zip(ids.tolist(), positions.tolist(), objects, reasons.tolist(), strict=True)
            for row, (product_id, position, name, reason) in enumerate(photos, start):
                mask = None if reason else read_mask(file, row)
                yield MaskRow(product_id, position, name.tobytes(), mask, reason.decode("ascii"))
