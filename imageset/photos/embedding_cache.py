"""Embeddings that earlier runs computed. embedding_recipe.py says what they are keyed by."""

from pathlib import Path

from imageset.photos.outcome_cache import OutcomeCache
from imageset.photos.outcomes import PhotoEmbedding
from imageset.storage.bucket import Bucket

TABLE = "embeddings"
COLUMNS = "reason TEXT, embedding BLOB, photo_pixels INTEGER"


class EmbeddingCache(OutcomeCache[PhotoEmbedding]):
    """The embeddings of one bucket's photos under one recipe."""

    def __init__(self, path: Path, bucket: Bucket, recipe: str, max_pixels: int) -> None:
        """Open the cache of the recipe from `embedding_recipe.describe_recipe`; see OutcomeCache."""
        super().__init__(path, TABLE, COLUMNS, PhotoEmbedding, bucket, recipe, max_pixels)
