"""Embeddings of an embeddings.h5 that was made before, here or on another machine: those of the same recipe are used
again."""

from typing import Any

from imageset.formats import hdf5
from imageset.formats.row_checksums import Rows
from imageset.photos.earlier_file import FileKind
from imageset.photos.embedding_file import read_embedding
from imageset.photos.outcomes import PhotoEmbedding


def read_result(embeddings: Rows, row: int, measured: list[Any]) -> PhotoEmbedding:
    """Return an embedding of an open embeddings.h5 with the photo's number of pixels. Raises DamagedFile."""
    return PhotoEmbedding(read_embedding(embeddings, row), *measured)


EARLIER_EMBEDDINGS = FileKind(
    "embed", "embeddings", hdf5.EMBEDDINGS, ("photo_pixels",), Rows, read_result, "embed.enabled was false"
)
