"""What a worker process does with a batch of photos: get all of them from the bucket at once, and prepare each."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

from obstore.store import S3Store
from PIL import Image

from imageset.errors import ObjectChanged
from imageset.photos.preprocess import Made, Recipe, preprocess_photo
from imageset.storage import bulk
from imageset.storage.bucket import Bucket, StoredObject, open_bucket

GETS_AT_ONCE = 32


class Wanted(NamedTuple):
    """An object of the inventory, and its mask (mode L) where an earlier run predicted it."""

    stored: StoredObject
    mask: Image.Image | None


class Changed(NamedTuple):
    """The object of this key is not what the inventory lists."""

    key: str


class Connection(NamedTuple):
    """What a worker process keeps from batch to batch."""

    threads: ThreadPoolExecutor
    client: S3Store
    bucket: Bucket


def work(batch: Sequence[Wanted], recipe: Recipe) -> list[Made | Changed]:
    """Return what becomes of each photo, in order. Raises ImagesetError when the bucket fails."""
    bodies = bulk.get_all(*connection(), [wanted.stored for wanted in batch])
    return [
        Changed(wanted.stored.key) if isinstance(body, ObjectChanged) else preprocess_photo(body, recipe, wanted.mask)
        for wanted, body in zip(batch, bodies, strict=True)
    ]


@lru_cache(maxsize=1)
def connection() -> Connection:
    bucket = open_bucket()
    return Connection(ThreadPoolExecutor(GETS_AT_ONCE), bulk.open_client(bucket), bucket)
