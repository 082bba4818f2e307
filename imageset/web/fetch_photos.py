"""Bring many photos from their hosts into the bucket, from all hosts at once."""

import asyncio
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.photos.decode import PhotoLimits
from imageset.runtime import progress, settings
from imageset.runtime.sections import IngestParams
from imageset.storage import bulk
from imageset.storage.bucket import Bucket
from imageset.web import server_errors
from imageset.web.fetch_photo import IngestContext, Outcome, PhotoToFetch, fetch_photo
from imageset.web.host_queues import work_through
from imageset.web.photo_list import PhotoList
from imageset.web.refusals import RefusalCache
from imageset.web.server_errors import Failure
from imageset.web.sources import name_source, open_sources
from imageset.workers.local import LocalWorkers

PHOTOS_PER_DECODER = 8  # the most photos that wait for one worker process

Note = Callable[[int, Outcome], None]


class Fetched(NamedTuple):
    """How photos ended.

    reasons: of each photo, in their order, "" for one that is in the bucket. Equal texts are one object. troubles: how
    many photos are unreachable for what.
    """

    reasons: NDArray[np.object_]
    troubles: Counter[str]


class Outcomes:
    """How the photos of a run ended so far.

    Memory for each photo is its reason. Of a photo that failed, it is also what failed.
    """

    def __init__(self, photos: PhotoList, refusals: RefusalCache, bar: Any) -> None:
        self.photos = photos
        self.refusals = refusals
        self.bar = bar
        self.reasons = np.full(len(photos), "", object)
        self.failures: dict[int, Failure] = {}  # by the photo's place
        self.counts: Counter[str] = Counter()

    def note(self, place: int, outcome: Outcome) -> None:
        """Note how a photo ended, and remember a refusal for the next run."""
        if outcome.reason == "unreachable" or outcome.failing_host:
            self.failures[place] = Failure(sys.intern(outcome.trouble), sys.intern(outcome.failing_host))
        if outcome.reason:
            self.settle(place, outcome.reason)
            self.counts[outcome.reason] += 1
            self.bar.set_postfix(self.counts, refresh=False)
        self.bar.update()

    def settle(self, place: int, reason: str) -> None:
        """Note the reason of a photo, "" for one that is in the bucket by now."""
        self.reasons[place] = sys.intern(reason)
        if reason:
            photo = self.photos[place]
            self.refusals.remember(photo.key, photo.image_url, reason)

    def end(self) -> Fetched:
        troubles = (failure.trouble for place, failure in self.failures.items() if self.reasons[place] == "unreachable")
        return Fetched(self.reasons, Counter(troubles))


def fetch_photos(
    photos: PhotoList, served: PhotoList, bucket: Bucket, ingest: IngestParams, refusals: RefusalCache
) -> Fetched:
    """Fetch photos from all their hosts at once, here or on a Dask cluster, and return how they ended.

    Args:
        photos: those to fetch, in an order that spreads the load.
        served: photos that the bucket had before.
        bucket: where they are uploaded to.
        ingest: the params that limit photos.
        refusals: remembers each refusal as it comes.

    Raises:
        ServerError: the bucket or the cluster cannot be reached or refuses.
        SettingsError: a setting is malformed, or there are no credentials.
    """
    address = settings.dask()
    with progress.bar(None, "ingest", len(photos)) as bar:
        outcomes = Outcomes(photos, refusals, bar)
        if address:
            from imageset.web import fetch_on_cluster  # here, as its import takes half a second

            fetch_on_cluster.fetch_all(address, photos, bucket, ingest, outcomes.note)
        asyncio.run(fetch_here(outcomes, served, bucket, ingest, is_begun=bool(address)))
    return outcomes.end()


async def fetch_here(
    outcomes: Outcomes, served: PhotoList, bucket: Bucket, ingest: IngestParams, is_begun: bool
) -> None:
    """Fetch photos on this machine, unless a cluster has, and ask again for those for which their hosts failed."""
    photos = outcomes.photos
    with LocalWorkers(settings.workers(), import_main=False) as decoders:
        async with open_context(ingest, bucket, decoders, settings.workers()) as context:
            if not is_begun:
                await fetch_all(photos, context, outcomes.note)
            hosts = {place: failure.host for place, failure in outcomes.failures.items() if failure.host}
            if not hosts:
                return
            print(f"ingest: asking again for {len(hosts)} photos for which their hosts failed", flush=True)
            done = chain(photos.take(np.flatnonzero(outcomes.reasons == "")), served)
            settled = await server_errors.settle(photos, hosts, done, context, ingest.max_rejected_share)
            for place, reason in settled.items():
                outcomes.settle(place, reason)


@asynccontextmanager
async def open_context(
    ingest: IngestParams, bucket: Bucket, decoders: LocalWorkers, processes: int, machines: int = 1
) -> AsyncIterator[IngestContext]:
    """Yield what all photos share that this machine fetches.

    Args:
        ingest: the params that limit photos.
        bucket: where photos are uploaded to.
        decoders: decode them.
        processes: how many processes these are.
        machines: how many work on this run.

    Raises:
        SettingsError: a setting is malformed, or there are no credentials.
    """
    limits = PhotoLimits(ingest.max_pixels, tuple(ingest.formats))
    async with open_sources(ingest, bucket, machines) as sources:
        slots = asyncio.Semaphore(PHOTOS_PER_DECODER * processes)
        yield IngestContext(sources, decoders, slots, bucket, bulk.open_client(bucket), limits)


async def fetch_all(photos: PhotoList | list[PhotoToFetch], context: IngestContext, note: Note) -> None:
    """Fetch photos, and call `note` with the place and the outcome of each. Raises ServerError as fetch_photo does."""

    async def fetch_and_note(place: int) -> None:
        note(place, await fetch_photo(photos[place], context))

    client = context.sources.client
    places = group_by_source(photos)
    await work_through({client.host(name, own=True): iter(found) for name, found in places.items()}, fetch_and_note)


def group_by_source(photos: Iterable[PhotoToFetch]) -> "dict[str, array[int]]":
    """Return the places of each source's photos.

    Those with a bad URL share a source without a name; their download refuses them.
    """
    places: defaultdict[str, array[int]] = defaultdict(partial(array, "q"))
    for place, photo in enumerate(photos):
        places[name_source(photo.image_url)].append(place)
    return dict(places)
