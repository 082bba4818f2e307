"""Listings and the web -> the bucket, and data/ingest.csv: how each photo ended. Fetches only what the bucket lacks."""

import asyncio
import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pandas as pd

from imageset import decode, keys, params, progress, settings, stage, store, tables
from imageset.download import REFUSALS, Refused, Unreachable, download
from imageset.errors import DataError, ImagesetError, ServerError
from imageset.sections import IngestParams
from imageset.store import Store

ATTEMPTS = 4
SECONDS_PER_ATTEMPT = 30.0  # for the whole of it: connect, headers and body
SECONDS_BEFORE_RETRY = 0.5  # doubled from attempt to attempt, and drawn from 0 to that ("full jitter")
IN_FLIGHT = 64
CONNECTIONS_PER_HOST = 8

# What params decide is not journalled, as they may change.
BY_PARAMS = frozenset({"too_large", "too_many_pixels", "unreachable"})
REASONS = frozenset({*REFUSALS.values(), *BY_PARAMS, "refused", "bad_url", "too_many_redirects", "empty",
                     "not_an_image", "truncated", "undecodable"})


class Photo(NamedTuple):
    """One photo to fetch."""

    product_id: int
    position: int
    image_url: str

    @property
    def key(self) -> str:
        return keys.object_key(self.product_id, self.position)


@dataclass(frozen=True)
class Outcome:
    """How a photo ended: reason "" when it is in the bucket, `unreachable` with the trouble when nobody answered."""

    photo: Photo
    reason: str
    trouble: str = ""


def check_and_put(bucket: Store, key: str, body: bytes, max_pixels: int) -> None:
    """Put a photo that decodes into the bucket; one that another run has put meanwhile is fine. Raises Refused."""
    try:
        decode.decode(body, max_pixels)
    except decode.Undecodable as error:
        raise Refused(error.reason) from None
    try:
        store.put_new(bucket, key, body)
    except store.ObjectExists:
        return


@dataclass(frozen=True)
class Means:
    """What the photos of a run share: connections, places at each host, threads that decode, the bucket."""

    session: aiohttp.ClientSession
    places: defaultdict[str, asyncio.Semaphore]
    threads: ThreadPoolExecutor
    bucket: Store
    limits: IngestParams


async def ingest_photo(photo: Photo, means: Means) -> Outcome:
    """Fetch, check and put one photo, with retries of what may pass."""
    host = photo.image_url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    trouble = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(random.uniform(0, SECONDS_BEFORE_RETRY * 2**attempt))
        try:
            async with means.places[host]:  # before the download's clock starts: to wait for a place is no failure
                body = await download(means.session, photo.image_url, means.limits.max_bytes)
            await asyncio.get_running_loop().run_in_executor(means.threads, check_and_put, means.bucket, photo.key,
                                                             body, means.limits.max_pixels)
            return Outcome(photo, "")
        except Refused as refusal:
            return Outcome(photo, str(refusal))
        except Unreachable as failure:
            trouble = f"{host}: {failure}"
    return Outcome(photo, "unreachable", trouble)


async def ingest_all(bucket: Store, photos: list[Photo], limits: IngestParams) -> AsyncIterator[Outcome]:
    """Yield the outcome of every photo as it comes, so many at a time."""
    connector = aiohttp.TCPConnector(limit=0)  # the places limit them
    timeout = aiohttp.ClientTimeout(total=SECONDS_PER_ATTEMPT, sock_connect=10)
    headers = {"Accept-Encoding": "identity", "User-Agent": "imageset"}
    with ThreadPoolExecutor(settings.workers()) as threads:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers,
                                         cookie_jar=aiohttp.DummyCookieJar()) as session:
            means = Means(session, defaultdict(partial(asyncio.Semaphore, CONNECTIONS_PER_HOST)), threads, bucket,
                          limits)
            waiting = iter(photos)
            running: set[asyncio.Task[Outcome]] = set()
            try:
                while True:
                    while len(running) < IN_FLIGHT and (photo := next(waiting, None)) is not None:
                        running.add(asyncio.create_task(ingest_photo(photo, means)))
                    if not running:
                        return
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield task.result()
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)


class Refusals:
    """The definite refusals of earlier runs, by key and url, so that nobody is asked for them again."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.database.execute("CREATE TABLE IF NOT EXISTS refusals (key TEXT, url TEXT, reason TEXT, "
                              "PRIMARY KEY (key, url))")

    def reasons(self) -> dict[tuple[str, str], str]:
        return {(key, url): reason for key, url, reason in self.database.execute("SELECT * FROM refusals")}

    def add(self, photo: Photo, reason: str) -> None:
        """Note a refusal, unless it is the params' own."""
        if reason not in BY_PARAMS:
            self.database.execute("INSERT OR REPLACE INTO refusals VALUES (?, ?, ?)",
                                  (photo.key, photo.image_url, reason))

    def close(self) -> None:
        self.database.close()


async def fetch(bucket: Store, photos: list[Photo], limits: IngestParams, refusals: Refusals) -> dict[str, Outcome]:
    """Return the outcome of each photo by key; refusals are written down as they come."""
    outcomes = {}
    with progress.bar(None, "ingest", len(photos)) as bar:
        async for outcome in ingest_all(bucket, photos, limits):
            if outcome.reason:
                refusals.add(outcome.photo, outcome.reason)
            outcomes[outcome.photo.key] = outcome
            bar.update()
    return outcomes


def ingest(bucket: Store, photos: list[Photo], limits: IngestParams, refusals: Refusals) -> dict[str, str]:
    """Return the reason, "" for done, of each photo by key. Raises ServerError while photos are pending."""
    present = {stored.key: stored.bytes for stored in store.list_objects(bucket)}
    known = refusals.reasons()
    reasons = {photo.key: known[photo.key, photo.image_url] for photo in photos
               if (photo.key, photo.image_url) in known}
    # The bucket over the journal: a photo that another system put there is there, whatever its url once answered.
    reasons |= {photo.key: "too_large" if present[photo.key] > limits.max_bytes else "" for photo in photos
                if photo.key in present}
    missing = [photo for photo in photos if photo.key not in reasons]
    # Neighbours in the table lie on one host more often than not; a fixed shuffle spreads the load.
    missing.sort(key=lambda photo: keys.rank(photo.product_id, photo.position))
    outcomes = asyncio.run(fetch(bucket, missing, limits, refusals)) if missing else {}
    pending = [outcome.trouble for outcome in outcomes.values() if outcome.reason == "unreachable"]
    if pending and limits.unreachable == "fail":
        most = ", ".join(f"{trouble} ({count} photos)" for trouble, count in Counter(pending).most_common(3))
        raise ServerError(f"{len(pending)} photos are pending: {most}; run again later, or set ingest.unreachable: "
                          "reject")
    print(f"ingest: {len(photos)} photos, {len(photos) - len(missing)} known before, {len(missing)} asked for")
    return reasons | {key: outcome.reason for key, outcome in outcomes.items()}


def table(photos: list[Photo], reasons: dict[str, str]) -> pd.DataFrame:
    """Return the table of outcomes, one row a photo."""
    rows = [(photo.key, photo.product_id, photo.position, "rejected" if reasons[photo.key] else "done",
             reasons[photo.key]) for photo in photos]
    return tables.frame(tables.INGEST, rows)


def check_share(reasons: dict[str, str], max_rejected_share: float) -> None:
    """Raise DataError when more photos are refused than params allow."""
    refused = [reason for reason in reasons.values() if reason]
    if len(refused) > max_rejected_share * len(reasons):
        raise DataError(f"{len(refused)} of {len(reasons)} photos are refused ({tables.tally(refused)}): more than "
                        f"ingest.max_rejected_share = {max_rejected_share}")


def main(listings_csv: Path, ingest_csv: Path) -> None:
    limits = params.load("ingest", IngestParams)
    listings = tables.read(listings_csv, tables.LISTINGS)
    photos = [Photo(*row) for row in listings.itertuples(index=False, name=None)] if limits.enabled else []
    reasons: dict[str, str] = {}
    if photos:
        with closing(Refusals(settings.cache_directory() / "ingest.sqlite")) as refusals:
            reasons = ingest(store.connect(), photos, limits, refusals)
    if not set(reasons.values()) <= REASONS | {""}:
        raise ImagesetError(f"a reason is not in the closed list: {set(reasons.values()) - REASONS}")
    check_share(reasons, limits.max_rejected_share)
    tables.write(ingest_csv, tables.INGEST, table(photos, reasons))
    refused = [reason for reason in reasons.values() if reason]
    print(f"ingest: {len(reasons) - len(refused)} done, {len(refused)} rejected ({tables.tally(refused)})")


if __name__ == "__main__":
    stage.run("ingest", main)
