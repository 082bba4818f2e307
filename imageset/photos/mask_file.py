"""Write and read masks.h5: every photo of the inventory, in its order, with its mask or the reason why it has none.

A mask is one chunk in HDF5's gzip format, so that any HDF5 reader opens it and each can be read alone. Workers compress
it, and it goes into the file as it is: the same bytes, whichever zlib HDF5 was built with.
"""

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deflate import crc32

from imageset.formats import hdf5, row_checksums
from imageset.formats.mask_rows import MaskRows
from imageset.photos import photo_file
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.runtime import files
from imageset.storage.bucket import StoredObject

# All columns but the masks and those that photo_file.py has.
MEASURED = {
    "photo_pixels": "int64",
    "foreground_share": "float64",
    "border_share": "float64",
    "pieces": "int64",
    "uncertainty": "float64",
    "from_alpha": "int8",
}

NO_MASK = 0  # the CRC-32 of nothing

AddMask = Callable[[int, int, StoredObject, PhotoMask | Rejected], None]


class MaskRow(NamedTuple):
    """A photo of masks.h5: its mask, compressed, or the reason why it has none.

    from_alpha: whether the photo's transparency is the mask.
    """

    product_id: int
    position: int
    name: bytes  # of the object that was masked, by `photo_file.name_object`
    mask: bytes | None
    reason: str
    from_alpha: bool = False


@contextmanager
def writing_masks(path: Path, photos: int, side: int, recipe: str) -> Iterator[AddMask]:
    """Yield a function that adds one photo at a time, in the inventory's order. All are written atomically.

    Args:
        path: the file.
        photos: how many will be added.
        side: of the masks, in pixels.
        recipe: from `mask_recipe.describe_recipe`; "" for no photos.
    """
    with files.atomic(path) as temporary, hdf5.create(temporary, hdf5.MASKS) as file:
        masks = hdf5.add_images(file, "masks", (photos, side, side), "gzip")
        writer, checksums = photo_file.RowWriter(file, photos, MEASURED), array("I")

        def add(product_id: int, position: int, stored: StoredObject, outcome: PhotoMask | Rejected) -> None:
            if isinstance(outcome, PhotoMask):
                masks.id.write_direct_chunk((writer.added, 0, 0), outcome.compressed)
                writer.add(product_id, position, stored, "", *outcome[1:])
                checksums.append(crc32(outcome.compressed))
            else:
                writer.add(product_id, position, stored, outcome.reason, 0, 0.0, 0.0, 0, 0.0, 0)
                checksums.append(NO_MASK)

        yield add
        writer.flush()
        assert writer.written == photos
        row_checksums.finish(file, checksums, recipe=recipe)


def scan_masks(path: Path) -> Iterator[MaskRow]:
    """Yield the photos of masks.h5 in the inventory's order, one mask in memory at a time.

    Raises:
        DataError: the file is missing or of another format; DamagedFile: it is damaged.
    """
    with row_checksums.open_file(path, hdf5.MASKS) as file:
        masks = MaskRows(file)
        for start, columns in photo_file.read_columns(file, *photo_file.COLUMNS, "from_alpha"):
            ids, positions, objects, reasons, alphas = columns
            photos = zip(ids.tolist(), positions.tolist(), objects, reasons.tolist(), alphas.tolist(), strict=True)
            for row, (product_id, position, name, reason, alpha) in enumerate(photos, start):
                mask = None if reason else masks.read_compressed(row)
                yield MaskRow(product_id, position, name.tobytes(), mask, reason.decode("ascii"), bool(alpha))
