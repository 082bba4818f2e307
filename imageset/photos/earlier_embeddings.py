"""Embeddings of an embeddings.h5 that was made before, here or on another machine: those of the same recipe are used
again."""

from typing import Any

import h5py

from imageset.formats import hdf5
from imageset.photos.earlier_file import FileKind
from imageset.photos.embedding_file import read_embedding
from imageset.photos.outcomes import PhotoEmbedding


def read_result(file: h5py.File, row: int, measured: list[Any]) -> PhotoEmbedding:
    """Return an embedding of an open embeddings.h5 with the photo's number of pixels. Raises DamagedFile."""
    return PhotoEmbedding(read_embedding(file, row), *measured)


EARLIER_EMBEDDINGS = FileKind(
    "embed", "embeddings", hdf5.EMBEDDINGS, ("photo_pixels",), read_result, "embed.enabled was false"
)
