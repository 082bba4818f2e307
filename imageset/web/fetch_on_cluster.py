"""Bring many photos into the bucket on a Dask cluster. Each worker has hosts of its own: their limits are in one place.

A worker gets some photos at a time (fetch_worker.py), uploads them itself, and answers with how each ended.
"""

import secrets
from array import array
from collections.abc import Iterator
from functools import partial

from imageset.runtime.sections import IngestParams
from imageset.storage.bucket import Bucket
from imageset.web import fetch_worker
from imageset.web.fetch_photo import Outcome
from imageset.web.fetch_photos import Note, group_by_source
from imageset.web.fetch_worker import FewPhotos, Run
from imageset.web.photo_list import PhotoList
from imageset.workers import dask_cluster
from imageset.workers.dask_queues import Queue, QueueRunner

PHOTOS_AT_ONCE = 100  # that a worker gets: a tenth of a second of work where a host is fast


def fetch_all(address: str, photos: PhotoList, bucket: Bucket, ingest: IngestParams, note: Note) -> None:
    """Fetch photos, and call `note` with the place and the outcome of each, as they come.

    Args:
        address: of the Dask scheduler.
        photos: those to fetch, in an order that spreads the load.
        bucket: where workers upload them to.
        ingest: the params that limit photos.
        note: is called once for each photo.

    Raises:
        ServerError: the cluster cannot be reached, or is gone.
        ImagesetError: a worker cannot reach the bucket, or has other code or settings.
    """
    queues = share_out(photos)
    with dask_cluster.connect(address) as client:
        machines = max(1, min(len(queues), len(dask_cluster.list_workers(client))))
        code, settings = fetch_worker.identify(ingest), fetch_worker.list_settings(bucket)
        run = Run(secrets.token_hex(8), ingest, machines, code, settings)
        runner = QueueRunner(
            client,
            queues,
            partial(fetch_worker.fetch_some, run=run),
            lambda places: FewPhotos([photos[place] for place in places]),
        )
        try:
            for places, ends in runner.results():
                for place, end in zip(places, ends, strict=True):
                    note(place, Outcome(photos[place], *end))
        finally:
            runner.run_on_workers(partial(fetch_worker.end, run.id))


def share_out(photos: PhotoList) -> list["Queue[array[int]]"]:
    """Return the places of photos in queues. All photos of a host are in one queue; small hosts share one."""
    queues, together = [], array("q")
    for places in group_by_source(photos).values():
        if len(places) >= PHOTOS_AT_ONCE:
            queues.append(Queue(cut(places), len(places)))
            continue
        together.extend(places)
        if len(together) >= PHOTOS_AT_ONCE:
            queues.append(Queue(cut(together), len(together)))
            together = array("q")
    return [*queues, Queue(cut(together), len(together))] if together else queues


def cut(places: "array[int]") -> Iterator["array[int]"]:
    for start in range(0, len(places), PHOTOS_AT_ONCE):
        yield places[start : start + PHOTOS_AT_ONCE]
