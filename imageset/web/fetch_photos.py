"""Bring many photos from their hosts into the bucket, from all hosts at once."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from itertools import chain

from imageset.photos.decode import PhotoLimits
from imageset.runtime import progress, settings
from imageset.runtime.sections import IngestParams
from imageset.storage import bulk
from imageset.storage.bucket import Bucket
from imageset.web import server_errors
from imageset.web.fetch_photo import IngestContext, Outcome, PhotoToFetch, fetch_photo
from imageset.web.host_limits import Host
from imageset.web.host_queues import work_through
from imageset.web.refusals import RefusalCache
from imageset.web.sources import Sources, open_sources
from imageset.workers.local import LocalWorkers

PHOTOS_PER_DECODER = 8  # the most photos that wait for one worker process


async def fetch_photos(
    photos: list[PhotoToFetch],
    served: Iterable[PhotoToFetch],
    bucket: Bucket,
    ingest: IngestParams,
    refusals: RefusalCache,
) -> list[Outcome]:
    """Fetch photos from all their hosts at once and return their outcomes.

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
    outcomes: list[Outcome] = []
    reasons: Counter[str] = Counter()
    with (
        LocalWorkers(settings.workers(), import_main=False) as decoders,
        progress.bar(None, "ingest", len(photos)) as bar,
    ):
        async with open_sources(ingest, bucket) as sources:
            decode_slots = asyncio.Semaphore(PHOTOS_PER_DECODER * settings.workers())
            uploads = bulk.open_client(bucket)
            limits = PhotoLimits(ingest.max_pixels, tuple(ingest.formats))
            context = IngestContext(sources, decoders, decode_slots, bucket, uploads, limits)

            async def fetch_and_note(photo: PhotoToFetch) -> None:
                outcome = await fetch_photo(photo, context)
                outcomes.append(outcome)
                if outcome.reason:
                    refusals.remember(photo.key, photo.image_url, outcome.reason)
                    reasons[outcome.reason] += 1
                    bar.set_postfix(reasons, refresh=False)
                bar.update()

            await work_through(queue_by_host(photos, sources), fetch_and_note)
            if failed := sum(bool(outcome.failing_host) for outcome in outcomes):
                print(f"ingest: asking again for {failed} photos for which their hosts failed", flush=True)
            done = (outcome.photo for outcome in outcomes if not outcome.reason)
            settled = await server_errors.settle(outcomes, chain(done, served), context, ingest.max_rejected_share)
            for outcome in set(settled) - set(outcomes):
                if outcome.reason:
                    refusals.remember(outcome.photo.key, outcome.photo.image_url, outcome.reason)
            return settled


def queue_by_host(photos: list[PhotoToFetch], sources: Sources) -> dict[Host, deque[PhotoToFetch]]:
    """Return each host's photos. Those with a bad URL share a host without a name; their download refuses them."""
    queues: defaultdict[Host, deque[PhotoToFetch]] = defaultdict(deque)
    for photo in photos:
        queues[sources.host(photo.image_url)].append(photo)
    return queues
