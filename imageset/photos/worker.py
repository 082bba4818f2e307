"""Get a batch of photos from the bucket at once, in a worker process."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

from obstore.store import S3Store

from imageset.errors import ObjectChanged
from imageset.photos.outcomes import ChangedObject
from imageset.runtime import settings
from imageset.storage import bulk
from imageset.storage.bucket import Bucket, StoredObject, open_bucket
from imageset.storage.object_cache import ObjectCache

GETS_AT_ONCE = 32


class PhotoRequest(NamedTuple):
    """An object of the inventory, and its mask as masks.h5 holds it, where the work needs one.

    from_alpha: whether the photo's transparency is the mask.
    """

    stored: StoredObject
    mask: bytes | None = None
    from_alpha: bool = False


class Answer(NamedTuple):
    """What a photo became, and whether the bucket was asked for it."""

    outcome: Any
    asked: bool


class Connections(NamedTuple):
    """What a worker process keeps from batch to batch."""

    threads: ThreadPoolExecutor
    client: S3Store
    bucket: Bucket
    cache: ObjectCache


def get_bodies(batch: Sequence[PhotoRequest]) -> Iterator[tuple[bytes | ChangedObject, bool]]:
    """Get objects at once. Yield the bytes of each as it was listed, and whether the bucket was asked.

    Raises:
        ImagesetError: the bucket cannot be reached or refuses.
    """
    fetched = bulk.get_all(*open_connections(), [request.stored for request in batch])
    for request, (body, asked) in zip(batch, fetched, strict=True):
        yield ChangedObject(request.stored.key) if isinstance(body, ObjectChanged) else body, asked


def answer_batch(batch: Sequence[PhotoRequest], make: Callable[[list[bytes]], Sequence[Any]]) -> list[Answer]:
    """Get a batch of photos and make something of those that are as they were listed.

    Args:
        batch: the objects to get.
        make: from the bytes of photos to an outcome for each.

    Returns:
        An outcome or ChangedObject for each photo, in the batch's order.

    Raises:
        ImagesetError: the bucket cannot be reached or refuses.
    """
    fetched = list(get_bodies(batch))
    outcomes = iter(make([body for body, _ in fetched if isinstance(body, bytes)]))
    return [Answer(next(outcomes) if isinstance(body, bytes) else body, asked) for body, asked in fetched]


@lru_cache(maxsize=1)
def open_connections() -> Connections:
    """Connect to the bucket, once a process."""
    bucket = open_bucket()
    cache = ObjectCache(settings.object_cache(), settings.object_cache_bytes(), bucket)
    return Connections(ThreadPoolExecutor(GETS_AT_ONCE), bulk.open_client(bucket), bucket, cache)
