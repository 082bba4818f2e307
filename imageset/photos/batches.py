"""Group the inventory's photos into batches, one a worker at a time, and yield what each photo became, in order.

A photo whose pixels are in the cache is in a batch as well, but no worker gets it.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from typing import Any, NamedTuple

from imageset.photos.cache import PhotoCache
from imageset.photos.preprocess import PhotoResult, PreparedPhoto, PreprocessRecipe, Rejected, count_image_bytes
from imageset.photos.worker import ChangedObject, PhotoRequest
from imageset.storage.bucket import StoredObject
from imageset.workers.ordered_map import Lost, WorkerPool, ordered_map

# How many photos a worker takes at a time. Few where each needs the network, whose time is what counts; many where
# handing a batch over costs more than the work.
PHOTOS_TO_MASK = 8
PHOTOS_TO_FIT = 64
BATCH_BYTES = 16 << 20  # of photos to get, or of pixels to return; the last photo of a batch may exceed it

Outcome = PreparedPhoto | Rejected | ChangedObject


class InventoryRow(NamedTuple):
    """A photo that the inventory lists, and what an earlier run made of it, None if no run did."""

    product_id: int
    position: int
    stored: StoredObject
    known: PreparedPhoto | Rejected | None


class PhotoBatch(NamedTuple):
    """Neighbouring rows of the inventory, and requests for those of which nothing is known."""

    rows: list[InventoryRow]
    requests: list[PhotoRequest]


def make_batches(
    inventory: Iterable[tuple[Any, ...]], cache: PhotoCache, recipe: PreprocessRecipe
) -> Iterator[PhotoBatch]:
    """Group the inventory into batches that are worth a worker's time.

    Args:
        inventory: rows of the table INVENTORY, in its order.
        cache: what earlier runs made.
        recipe: the params and the network.

    Yields:
        Batches, which together hold all rows in order. A batch ends with the photo that makes it large enough.
    """
    network = recipe.network
    image_bytes = count_image_bytes(recipe.preprocess)
    rows, requests, to_mask, source_bytes = [], [], 0, 0
    for key, product_id, position, etag, size, version_id in inventory:
        stored = StoredObject(key, etag, size, version_id)
        known = cache.find(stored)
        rows.append(InventoryRow(product_id, position, stored, known))
        if known is None:
            mask = cache.find_mask(stored, network.side) if network else None
            to_mask += network is not None and mask is None
            source_bytes += size
            requests.append(PhotoRequest(stored, mask))
        if (
            to_mask == PHOTOS_TO_MASK
            or len(requests) == PHOTOS_TO_FIT
            or source_bytes >= BATCH_BYTES
            or len(rows) * image_bytes >= BATCH_BYTES
        ):
            yield PhotoBatch(rows, requests)
            rows, requests, to_mask, source_bytes = [], [], 0, 0
    if rows:
        yield PhotoBatch(rows, requests)


def preprocess_batches(
    batches: Iterator[PhotoBatch],
    pool: WorkerPool,
    function: Callable[[list[PhotoRequest]], list[PhotoResult | ChangedObject]],
    cache: PhotoCache,
) -> Iterator[tuple[InventoryRow, Outcome]]:
    """Have the workers do what is not known yet, and remember what they make.

    Args:
        batches: from `make_batches`.
        pool: the workers.
        function: what a worker does with a batch's requests.
        cache: gets what is made.

    Yields:
        Each photo of the inventory and its outcome, in the inventory's order.
    """
    planned, to_do = tee(batches)
    results = ordered_map(pool, function, (batch.requests for batch in to_do))
    for batch, batch_results in zip(planned, results, strict=True):
        new_results = iter(batch_results)
        for row in batch.rows:
            yield row, row.known or record_result(row.stored, next(new_results), cache)


def record_result(stored: StoredObject, result: PhotoResult | ChangedObject | Lost, cache: PhotoCache) -> Outcome:
    """Return the outcome of a photo that a worker had, and add it to the cache."""
    if isinstance(result, ChangedObject):
        return result
    if isinstance(result, Lost):
        return Rejected(f"decoder_{result.reason}")
    cache.add(stored, result)
    return result.outcome
