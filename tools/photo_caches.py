"""The caches of what was made of photos: tools.prune and tools.forget go through all of them."""

from pathlib import Path
from typing import NamedTuple

from imageset.photos import embedding_cache, mask_cache, pixel_cache
from imageset.runtime import settings


class PhotoCacheFile(NamedTuple):
    """A cache's file, its table, and the SQL of the values of a row."""

    path: Path
    table: str
    columns: str


def list_photo_caches() -> list[PhotoCacheFile]:
    """Return all caches of photos, whether their files exist or not."""
    return [
        PhotoCacheFile(settings.mask_cache(), mask_cache.TABLE, mask_cache.COLUMNS),
        PhotoCacheFile(settings.embedding_cache(), embedding_cache.TABLE, embedding_cache.COLUMNS),
        PhotoCacheFile(settings.pixel_cache(), pixel_cache.TABLE, pixel_cache.COLUMNS),
    ]


def earlier_cache() -> Path:
    """Return the cache of version 0.1.0, which this version does not read."""
    return settings.cache_directory() / "photos.sqlite"
