"""Group photos into batches, one a worker at a time, and yield what each photo became, in order.

A photo that an earlier run has done is in a batch as well, but no worker gets it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import tee
from pathlib import Path
from typing import Any, NamedTuple

from imageset.formats import tables
from imageset.photos.outcomes import ChangedObject, Outcomes, Rejected
from imageset.photos.worker import Answer, PhotoRequest
from imageset.runtime import progress
from imageset.storage.bucket import StoredObject
from imageset.workers.ordered_map import Lost, WorkerPool, ordered_map

BATCH_BYTES = 16 << 20  # of photos to get, or of results to return; the last photo of a batch may exceed it


InventoryRow = tuple[int, int, StoredObject]  # product id, position, object


class PhotoRow(NamedTuple):
    """A photo that the inventory lists, what a worker would get, and what is known of it, None if nothing is."""

    product_id: int
    position: int
    request: PhotoRequest
    known: Any


class PhotoBatch(NamedTuple):
    """Neighbouring rows of the inventory, and requests for those that no earlier run has done."""

    rows: list[PhotoRow]
    requests: list[PhotoRequest]


def scan_inventory(path: Path) -> Iterator[InventoryRow]:
    """Yield the photos of the table INVENTORY, in its order. Raises DataError."""
    for key, product_id, position, etag, size, version_id in tables.scan(path, tables.INVENTORY):
        yield product_id, position, StoredObject(key, etag, size, version_id)


def look_up(inventory_csv: Path, find: Callable[[StoredObject], Any]) -> Iterator[PhotoRow]:
    """Yield the inventory's photos and what is known of each.

    Args:
        inventory_csv: the photos.
        find: from an object to what is known of it, None if nothing is.
    """
    for product_id, position, stored in scan_inventory(inventory_csv):
        yield PhotoRow(product_id, position, PhotoRequest(stored), find(stored))


def load_networks(pool: WorkerPool, load: Callable[[Sequence[None]], Sequence[None]], batches: int) -> None:
    """Have the workers load a network, so that the time left, which the bar shows, is that of photos alone.

    Args:
        pool: the workers.
        load: loads the network in a worker.
        batches: how many there will be: no more workers than that are needed.
    """
    for _ in ordered_map(pool, load, [[None]] * min(pool.slots, batches)):
        pass


def make_batches(rows: Iterable[PhotoRow], most_requests: int, result_bytes: int) -> Iterator[PhotoBatch]:
    """Group photos into batches that are worth a worker's time.

    Args:
        rows: in the inventory's order.
        most_requests: photos for a worker at a time. Few where each takes long; many where handing a batch over costs
            more than the work.
        result_bytes: of one photo's result.

    Yields:
        Batches, which together hold all rows in order. A batch ends with the photo that makes it large enough.
    """
    batch, requests, source_bytes = [], [], 0
    for row in rows:
        batch.append(row)
        if row.known is None:
            source_bytes += row.request.stored.bytes + len(row.request.mask or b"")
            requests.append(row.request)
        if len(requests) == most_requests or source_bytes >= BATCH_BYTES or len(batch) * result_bytes >= BATCH_BYTES:
            yield PhotoBatch(batch, requests)
            batch, requests, source_bytes = [], [], 0
    if batch:
        yield PhotoBatch(batch, requests)


def run_batches(
    batches: Iterator[PhotoBatch],
    pool: WorkerPool,
    function: Callable[[list[PhotoRequest]], list[Answer]],
    remember: Callable[[PhotoRequest, Any], None],
) -> Iterator[tuple[PhotoRow, Answer]]:
    """Have the workers do what is not known yet, and remember what they make.

    Args:
        batches: from `make_batches`.
        pool: the workers.
        function: what a worker does with a batch's requests.
        remember: is called with each request that a worker had, and its outcome.

    Yields:
        Each photo and its answer, in the order of the batches. A photo that ended its worker's process twice is
        rejected: decoder_crash or decoder_timeout.
    """
    planned, to_do = tee(batches)
    results = ordered_map(pool, function, (batch.requests for batch in to_do))
    for batch, batch_results in zip(planned, results, strict=True):
        new_results = iter(batch_results)
        for row in batch.rows:
            if row.known is not None:
                yield row, Answer(row.known, False)
                continue
            result = next(new_results)
            answer = Answer(Rejected(f"decoder_{result.reason}"), True) if isinstance(result, Lost) else result
            if not isinstance(answer.outcome, ChangedObject):
                remember(row.request, answer.outcome)
            yield row, answer


def collect_results(
    answers: Iterator[tuple[PhotoRow, Answer]],
    stage: str,
    photos: int,
    unknown: int,
    write: Callable[[PhotoRow, Any], None],
) -> tuple[Outcomes, int]:
    """Write each photo's result, or the reason why it has none, and return what the photos became.

    Args:
        answers: from `run_batches`.
        stage: what the bar is called.
        photos: how many there are.
        unknown: of how many no result was known. Where some are, those alone move the bar: the time left is theirs.
        write: is called with each photo and its result or rejection, not with objects that changed.

    Returns:
        The outcomes, and how many photos the bucket was asked for.
    """
    outcomes, asked = Outcomes(), 0
    with progress.bar(None, stage, photos, done=photos - unknown if unknown else 0) as bar:
        for row, answer in answers:
            asked += answer.asked
            bar.update(row.known is None or not unknown)
            if isinstance(answer.outcome, ChangedObject):
                outcomes.add_changed(answer.outcome)
                continue
            write(row, answer.outcome)
            if isinstance(answer.outcome, Rejected):
                outcomes.reasons[answer.outcome.reason] += 1
            else:
                outcomes.done += 1
    return outcomes, asked
