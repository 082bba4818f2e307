"""Listings and the web -> the bucket, and data/ingest.csv: how each photo ended. Fetches only what the bucket lacks."""

import asyncio
from collections import Counter, defaultdict, deque
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from obstore.store import S3Store
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from imageset.errors import BadUrl, DataError, ObjectExists, ParamsError, Refused, ServerError, Unreachable, WorkerLost
from imageset.formats import stable_hash, tables
from imageset.photos import decode
from imageset.runtime import params, progress, settings, stage
from imageset.runtime.sections import IngestParams
from imageset.storage import bulk
from imageset.storage.bucket import Bucket, list_objects, open_bucket
from imageset.storage.object_keys import object_key
from imageset.web import urls
from imageset.web.download import REFUSALS, Body, Web, download
from imageset.web.host_limits import Host
from imageset.web.host_queues import work_through
from imageset.web.refusals import RefusalCache
from imageset.workers.local import LocalWorkers
from imageset.workers.worker_process import run_bounded

ATTEMPTS = 6
SECONDS_BEFORE_RETRY = 1.0  # doubled from attempt to attempt, and drawn from 0 to that ("full jitter")
MOST_SECONDS_BEFORE_RETRY = 30.0
DECODE_ATTEMPTS = 2  # a decoder that dies may have been killed, or the machine put to sleep
SECONDS_TO_DECODE = 30.0
PHOTOS_PER_DECODER = 8  # that wait for one worker process at most
BYTES_TO_DECODE = 2_000_000_000  # of memory in one worker process; 50 million pixels take about 400 MB

# What the params decide is journalled with them, and asked for again when they change.
BY_PARAMS = frozenset({"too_large", "too_many_pixels", "robots_tag"})
# What the settings, the hour or the machine decide is not journalled.
PASSING = frozenset({"private_address", "unreachable", "decoder_crash", "decoder_timeout", "decoder_memory"})
DEFINITE = frozenset(
    {
        *REFUSALS.values(),
        "refused",
        "bad_url",
        "too_many_redirects",
        "encoded",
        "empty",
        "not_an_image",
        "truncated",
        "undecodable",
    }
)
REMEMBERED = DEFINITE | BY_PARAMS
REASONS = REMEMBERED | PASSING


class Photo(NamedTuple):
    """One photo to fetch."""

    key: str
    product_id: int
    position: int
    image_url: str


@dataclass(frozen=True)
class Outcome:
    """How a photo ended: reason "" when it is in the bucket, `unreachable` with the trouble when nobody answered."""

    photo: Photo
    reason: str
    trouble: str = ""


@dataclass(frozen=True)
class Means:
    """What the photos of a run share: the web, the processes that decode, the bucket and the connections to it."""

    web: Web
    decoders: LocalWorkers
    decoding: asyncio.Semaphore
    bucket: Bucket
    uploads: S3Store
    max_pixels: int


async def ingest_photo(photo: Photo, means: Means) -> Outcome:
    """Fetch, check and put one photo, with retries of what may pass."""
    retrying = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, Unreachable) and not error.final),
        wait=wait_random_exponential(SECONDS_BEFORE_RETRY, MOST_SECONDS_BEFORE_RETRY),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    try:
        async for attempt in retrying:
            with attempt:
                async with download(means.web, photo.image_url) as body:
                    sha256 = await check(body, means)
                    await put(photo, body.content, sha256, means)
    except Refused as refusal:
        return Outcome(photo, str(refusal))
    except Unreachable as failure:
        return Outcome(photo, failure.reason, str(failure))
    return Outcome(photo, "")


async def check(body: Body, means: Means) -> str:
    """Return a photo's sha256 once it is decoded to its last pixel. Raises Refused, or Unreachable if it broke off."""
    for _ in range(DECODE_ATTEMPTS):
        reason, sha256 = await decode_apart(body.content, means)
        if reason not in ("decoder_crash", "decoder_timeout"):
            break
    if reason == "truncated" and not body.is_whole:
        raise Unreachable("a body of undeclared length broke off", reason=reason)
    if reason:
        raise Refused(reason)
    return sha256


async def decode_apart(content: bytes, means: Means) -> tuple[str, str]:
    """Return what decode.check says, or what became of the process that did it."""
    check = partial(decode.check, max_pixels=means.max_pixels)
    bounded = partial(run_bounded, function=check, seconds=SECONDS_TO_DECODE, max_bytes=BYTES_TO_DECODE)
    try:
        async with means.decoding:
            (answer,) = await asyncio.wrap_future(means.decoders.submit(bounded, [content]))
    except WorkerLost as lost:
        return f"decoder_{lost.reason}", ""
    return answer


async def put(photo: Photo, body: bytes, sha256: str, means: Means) -> None:
    """Put a photo into the bucket; one that another run has put meanwhile stays as it is."""
    try:
        await bulk.put_new(means.uploads, means.bucket, photo.key, body, sha256)
    except ObjectExists:
        return


def by_host(photos: list[Photo], web: Web) -> dict[Host, deque[Photo]]:
    """Return the photos of each host; bad urls lie on one host without a name, until their download says so."""
    queues: defaultdict[Host, deque[Photo]] = defaultdict(deque)
    for photo in photos:
        try:
            name = urls.host_name(urls.parse(photo.image_url))
        except BadUrl:
            name = ""
        queues[web.host(name)].append(photo)
    return queues


async def fetch(bucket: Bucket, photos: list[Photo], limits: IngestParams, journal: RefusalCache) -> dict[str, Outcome]:
    """Return the outcome of each photo by key; refusals are written down as they come."""
    outcomes = {}
    reasons: Counter[str] = Counter()
    with (
        LocalWorkers(settings.workers(), import_main=False) as decoders,
        progress.bar(None, "ingest", len(photos)) as bar,
    ):
        async with Web(
            settings.allowed_hosts(),
            settings.connections_per_host(),
            limits.max_bytes,
            frozenset(limits.refused_robots_tags),
        ) as web:
            decoding = asyncio.Semaphore(PHOTOS_PER_DECODER * settings.workers())
            means = Means(web, decoders, decoding, bucket, bulk.open_client(bucket), limits.max_pixels)

            async def ingest_and_note(photo: Photo) -> None:
                outcome = outcomes[photo.key] = await ingest_photo(photo, means)
                if outcome.reason:
                    note(outcome, limits, journal)
                    reasons[outcome.reason] += 1
                    bar.set_postfix(reasons, refresh=False)
                bar.update()

            await work_through(by_host(photos, web), ingest_and_note)
    return outcomes


def deciding(limits: IngestParams) -> str:
    """Return the params that decide about photos, for the journal."""
    return limits.model_dump_json(include={"max_bytes", "max_pixels", "refused_robots_tags"})


def note(outcome: Outcome, limits: IngestParams, journal: RefusalCache) -> None:
    """Write a refusal down, unless another hour or another setting would undo it."""
    if outcome.reason not in PASSING:
        journal.add(
            outcome.photo.key,
            outcome.photo.image_url,
            outcome.reason,
            deciding(limits) if outcome.reason in BY_PARAMS else "",
        )


def ingest(bucket: Bucket, photos: list[Photo], limits: IngestParams, journal: RefusalCache) -> dict[str, str]:
    """Return the reason, "" for done, of each photo by key. Raises ServerError while photos are pending."""
    known = journal.reasons(deciding(limits))
    reasons = {
        photo.key: known[photo.key, photo.image_url] for photo in photos if (photo.key, photo.image_url) in known
    }
    wanted = {photo.key for photo in photos}
    # The bucket over the journal: a photo that another system put there is there, whatever its url once answered.
    reasons |= {
        stored.key: "too_large" if stored.bytes > limits.max_bytes else ""
        for stored in list_objects(bucket)
        if stored.key in wanted
    }
    missing = [photo for photo in photos if photo.key not in reasons]
    print(
        f"ingest: {len(photos)} photos, {len(photos) - len(missing)} known before, {len(missing)} to ask for",
        flush=True,
    )
    # Neighbours in the table lie on one host more often than not; a fixed shuffle spreads the load.
    missing.sort(key=lambda photo: stable_hash.rank(photo.product_id, photo.position))
    outcomes = asyncio.run(fetch(bucket, missing, limits, journal)) if missing else {}
    pending = [outcome.trouble for outcome in outcomes.values() if outcome.reason == "unreachable"]
    if pending and limits.unreachable == "fail":
        most = ", ".join(f"{trouble} ({count} photos)" for trouble, count in Counter(pending).most_common(3))
        raise ServerError(
            f"{len(pending)} photos are pending: {most}; run again later, or set ingest.unreachable: reject"
        )
    return reasons | {key: outcome.reason for key, outcome in outcomes.items()}


def table(photos: list[Photo], reasons: dict[str, str]) -> pd.DataFrame:
    """Return the table of outcomes, one row a photo."""
    rows = [
        (photo.key, photo.product_id, photo.position, "rejected" if reasons[photo.key] else "done", reasons[photo.key])
        for photo in photos
    ]
    return tables.frame(tables.INGEST, rows)


def check_share(reasons: dict[str, str], max_rejected_share: float) -> None:
    """Raise DataError when more photos are refused than params allow."""
    refused = [reason for reason in reasons.values() if reason]
    if len(refused) > max_rejected_share * len(reasons):
        reason, _ = Counter(refused).most_common(1)[0]
        retry = f" RETRY={reason}" if reason in REMEMBERED else ""
        hint = (
            "name their host in IMAGESET_ALLOWED_HOSTS if it is yours"
            if reason == "private_address"
            else f"`make refresh{retry}` asks for them again"
        )
        raise DataError(
            f"{len(refused)} of {len(reasons)} photos are refused ({tables.tally(refused)}): more than "
            f"ingest.max_rejected_share = {max_rejected_share}; {hint}"
        )


def main(listings_csv: Path, ingest_csv: Path, *, retry: tuple[str, ...] = ()) -> None:
    """Fetch what the bucket lacks; say of every photo how it ended.

    Args:
        listings_csv: every photo of every listing.
        ingest_csv: how each photo of the listings ended: done, or rejected with a reason.
        retry: a reason: ask again for photos that earlier runs refused for it.
    """
    limits = params.load().ingest
    if unknown := set(retry) - REMEMBERED:
        raise ParamsError(f"--retry {min(unknown)}: expected one of {', '.join(sorted(REMEMBERED))}")
    listings = tables.read(listings_csv, tables.LISTINGS)
    photos = (
        [
            Photo(object_key(product_id, position), product_id, position, url)
            for product_id, position, url in listings.itertuples(index=False, name=None)
        ]
        if limits.enabled
        else []
    )
    reasons: dict[str, str] = {}
    if photos:
        with closing(RefusalCache(settings.cache_directory() / "ingest.sqlite")) as journal:
            journal.forget(retry)
            reasons = ingest(open_bucket(), photos, limits, journal)
    check_share(reasons, limits.max_rejected_share)
    tables.write(ingest_csv, tables.INGEST, table(photos, reasons))
    refused = [reason for reason in reasons.values() if reason]
    print(f"ingest: {len(reasons) - len(refused)} done, {len(refused)} rejected ({tables.tally(refused)})")


if __name__ == "__main__":
    stage.run("ingest", main)
