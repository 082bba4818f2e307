"""Write embeddings.h5: every photo of the inventory, in its order, with its embedding or the reason why it has none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from imageset.formats import hdf5
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
        writer = photo_file.RowWriter(file, photos, MEASURED)

        def add(product_id: int, position: int, stored: StoredObject, outcome: PhotoEmbedding | Rejected) -> None:
            if isinstance(outcome, PhotoEmbedding):
                values = np.frombuffer(outcome.values, "<f4")
                writer.add(product_id, position, stored, "", values, outcome.photo_pixels)
            else:
                writer.add(product_id, position, stored, outcome.reason, NO_VALUES, 0)

        yield add
        writer.flush()
        assert writer.written == photos
        hdf5.finish(file, recipe=recipe)


def read_embedding(file: h5py.File, row: int) -> bytes:
    """Return an embedding of an open embeddings.h5, as PhotoEmbedding has it. Raises DamagedFile."""
    with hdf5.reading(file.filename):
        return bytes(file["embeddings"][row].astype("<f4").tobytes())
