"""Write embeddings.h5: every photo of the inventory, in its order, with its embedding or the reason why it has none."""

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from deflate import crc32

from imageset.formats import hdf5, row_checksums
from imageset.formats.row_checksums import Rows
from imageset.photos import photo_file
from imageset.photos.efficientnet import SIZE
from imageset.photos.outcomes import PhotoEmbedding, Rejected
from imageset.runtime import files
from imageset.storage.bucket import StoredObject

BYTES_PER_PHOTO = SIZE * 4 + 64

# All columns but those that photo_file.py has. An embedding is zeros where there is none.
MEASURED = {"embeddings": np.dtype(("<f4", (SIZE,))), "photo_pixels": np.dtype("int64")}
NO_VALUES = np.zeros(SIZE, "<f4")

AddEmbedding = Callable[[int, int, StoredObject, PhotoEmbedding | Rejected], None]


@contextmanager
def writing_embeddings(path: Path, photos: int, recipe: str) -> Iterator[AddEmbedding]:
    """Yield a function that adds one photo at a time, in the inventory's order. All are written atomically.

    Args:
        path: the file.
        photos: how many will be added.
        recipe: from `embedding_recipe.describe_recipe`; "" for no photos.
    """
    with files.atomic(path) as temporary, hdf5.create(temporary, hdf5.EMBEDDINGS) as file:
        writer, checksums = photo_file.RowWriter(file, photos, MEASURED), array("I")

        def add(product_id: int, position: int, stored: StoredObject, outcome: PhotoEmbedding | Rejected) -> None:
            if isinstance(outcome, PhotoEmbedding):
                values = np.frombuffer(outcome.values, "<f4")
                writer.add(product_id, position, stored, "", values, outcome.photo_pixels)
            else:
                values = NO_VALUES
                writer.add(product_id, position, stored, outcome.reason, values, 0)
            checksums.append(crc32(values.tobytes()))

        yield add
        writer.flush()
        assert writer.written == photos
        row_checksums.finish(file, checksums, recipe=recipe)


def read_embedding(embeddings: Rows, row: int) -> bytes:
    """Return an embedding of an open embeddings.h5, as PhotoEmbedding has it. Raises DamagedFile."""
    return bytes(embeddings[row].tobytes())
