"""Bring many photos from their hosts into the bucket, from all hosts at once."""

import asyncio
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.photos.decode import PhotoLimits
from imageset.runtime import progress, settings
from imageset.runtime.sections import IngestParams
from imageset.storage import bulk
from imageset.storage.bucket import Bucket
from imageset.web import server_errors
from imageset.web.fetch_photo import IngestContext, fetch_photo
from imageset.web.host_limits import Host
from imageset.web.host_queues import work_through
from imageset.web.photo_list import PhotoList
from imageset.web.refusals import RefusalCache
from imageset.web.server_errors import Failure
from imageset.web.sources import Sources, open_sources
from imageset.workers.local import LocalWorkers

PHOTOS_PER_DECODER = 8  # the most photos that wait for one worker process


class Fetched(NamedTuple):
    """How photos ended.

    reasons: of each photo, in their order, "" for one that is in the bucket. Equal texts are one object. troubles: how
    many photos are unreachable for what.
    """

    reasons: NDArray[np.object_]
    troubles: Counter[str]


async def fetch_photos(
    photos: PhotoList, served: PhotoList, bucket: Bucket, ingest: IngestParams, refusals: RefusalCache
) -> Fetched:
    """Fetch photos from all their hosts at once and return how they ended.

    Memory for each photo is its reason and its place in a queue. Of a photo that failed, it is also what failed.

    Args:
        photos: those to fetch, in an order that spreads the load.
        served: photos that the bucket had before.
        bucket: where they are uploaded to.
        ingest: the params that limit photos.
        refusals: remembers each refusal as it comes.

    Raises:
        ServerError: the bucket cannot be reached or refuses.
        SettingsError: a setting is malformed, or there are no credentials.
    """
    reasons = np.full(len(photos), "", object)
    failures: dict[int, Failure] = {}  # by the photo's place
    counts: Counter[str] = Counter()
    with (
        LocalWorkers(settings.workers(), import_main=False) as decoders,
        progress.bar(None, "ingest", len(photos)) as bar,
    ):
        async with open_sources(ingest, bucket) as sources:
            decode_slots = asyncio.Semaphore(PHOTOS_PER_DECODER * settings.workers())
            uploads = bulk.open_client(bucket)
            limits = PhotoLimits(ingest.max_pixels, tuple(ingest.formats))
            context = IngestContext(sources, decoders, decode_slots, bucket, uploads, limits)

            async def fetch_and_note(place: int) -> None:
                photo = photos[place]
                outcome = await fetch_photo(photo, context)
                if outcome.reason == "unreachable" or outcome.failing_host:
                    failures[place] = Failure(sys.intern(outcome.trouble), sys.intern(outcome.failing_host))
                if outcome.reason:
                    reasons[place] = sys.intern(outcome.reason)
                    refusals.remember(photo.key, photo.image_url, outcome.reason)
                    counts[outcome.reason] += 1
                    bar.set_postfix(counts, refresh=False)
                bar.update()

            await work_through(queue_by_host(photos, sources), fetch_and_note)
            hosts = {place: failure.host for place, failure in failures.items() if failure.host}
            if hosts:
                print(f"ingest: asking again for {len(hosts)} photos for which their hosts failed", flush=True)
            done = photos.take(np.flatnonzero(reasons == ""))
            settled = await server_errors.settle(photos, hosts, chain(done, served), context, ingest.max_rejected_share)
            for place, reason in settled.items():
                reasons[place] = sys.intern(reason)
                if reason:
                    refusals.remember(photos[place].key, photos[place].image_url, reason)
    troubles = Counter(failure.trouble for place, failure in failures.items() if reasons[place] == "unreachable")
    return Fetched(reasons, troubles)


def queue_by_host(photos: PhotoList, sources: Sources) -> dict[Host, Iterator[int]]:
    """Return the places of each host's photos.

    Those with a bad URL share a host without a name; their download refuses them.
    """
    places: defaultdict[Host, array[int]] = defaultdict(partial(array, "q"))
    for place, photo in enumerate(photos):
        places[sources.host(photo.image_url)].append(place)
    return {host: iter(found) for host, found in places.items()}
