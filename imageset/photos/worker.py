"""What a worker process does with a batch of photos: get all of them from the bucket at once, preprocess each."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

from obstore.store import S3Store
from PIL import Image

from imageset.errors import ObjectChanged
from imageset.photos.preprocess import PhotoResult, PreprocessRecipe, preprocess_photo
from imageset.runtime import settings
from imageset.storage import bulk
from imageset.storage.bucket import Bucket, StoredObject, open_bucket
from imageset.storage.object_cache import ObjectCache

GETS_AT_ONCE = 32


class PhotoRequest(NamedTuple):
    """An object of the inventory, and its mask (mode L) where an earlier run predicted it."""

    stored: StoredObject
    mask: Image.Image | None


class ChangedObject(NamedTuple):
    """The object of this key is not the one that the inventory lists."""

    key: str


class Connections(NamedTuple):
    """What a worker process keeps from batch to batch."""

    threads: ThreadPoolExecutor
    client: S3Store
    bucket: Bucket
    cache: ObjectCache


def preprocess_batch(batch: Sequence[PhotoRequest], recipe: PreprocessRecipe) -> list[PhotoResult | ChangedObject]:
    """Get and preprocess a batch of photos.

    Args:
        batch: the objects to get.
        recipe: the params and the network.

    Returns:
        What each photo became, in the batch's order.

    Raises:
        ImagesetError: the bucket cannot be reached or refuses.
    """
    fetched = bulk.get_all(*open_connections(), [request.stored for request in batch])
    return [
        ChangedObject(request.stored.key)
        if isinstance(body, ObjectChanged)
        else preprocess_photo(body, recipe, request.mask)
        for request, (body, _) in zip(batch, fetched, strict=True)
    ]


@lru_cache(maxsize=1)
def open_connections() -> Connections:
    """Connect to the bucket, once a process."""
    bucket = open_bucket()
    cache = ObjectCache(settings.object_cache(), settings.object_cache_bytes(), bucket)
    return Connections(ThreadPoolExecutor(GETS_AT_ONCE), bulk.open_client(bucket), bucket, cache)
