"""One photo: fetched as ingest does, through the address guard, or read in the bucket; decoded in a worker process."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

from imageset.errors import Refused, Unreachable
from imageset.photos import file_formats
from imageset.photos.decode import PhotoLimits
from imageset.runtime import secret_text
from imageset.runtime.sections import IngestParams
from imageset.storage import bulk
from imageset.storage.bucket import Bucket, get_object, open_bucket
from imageset.storage.object_keys import parse_key
from imageset.web.fetch_photo import IngestContext, check_body
from imageset.web.refusals import HINTS, MISSING_OBJECT
from imageset.web.sources import open_sources
from imageset.web.transfer import Body
from imageset.workers.local import LocalWorkers
from tools.check.bucket import find_object
from tools.check.findings import Findings
from tools.check.line import EXAMPLES, Line, ok, untried, wrong

SECONDS = 12.0  # for one photo, with the start of its decoder
ADVICE = HINTS | {
    MISSING_OBJECT: "correct `key` in queries/listings.sql, or the prefix in IMAGE_STORE: see the line of the bucket"
}


class Tried(NamedTuple):
    """How a photo ended: its URL without secrets or its key, its bytes, or the reason that ingest would give it."""

    place: str
    bytes: int
    reason: str


def check_photo(found: Findings) -> Iterator[Line]:
    """Fetch the first photo, or read it in the bucket; where that fails, two others. One that is good is enough."""
    if found.params is None or found.chosen is None:
        yield untried("one photo", "it is not known which photos there are, see above")
        return
    ingest, chosen = found.params.ingest, found.chosen
    file_formats.require_decoders(ingest.formats)
    in_bucket = [key for key in chosen["key"].tolist() if key]
    if not ingest.enabled and not in_bucket:
        in_bucket = list(filter(parse_key, found.keys))
    image_urls = [url for url in chosen["image_url"].tolist() if url] if ingest.enabled else []
    for kind, places in (("fetched", spread(image_urls)), ("read in the bucket", spread(in_bucket))):
        if kind != "fetched" and places and found.bucket is None:
            yield untried("one photo of the bucket", "the bucket cannot be listed, see above")
        elif places:
            yield try_photos(kind, places, found, ingest)
    if not image_urls and not in_bucket:
        yield untried("one photo", "there is none to fetch, and none in the bucket that is named <product_id>.jpeg")


def try_photos(kind: str, places: list[str], found: Findings, ingest: IngestParams) -> Line:
    """Return the line of the first photo that is good, or of all.

    Args:
        kind: what happens to them.
        places: their URLs, or their keys in the bucket.
        found: has the bucket.
        ingest: the limits of photos.
    """
    failed: list[Tried] = []
    deadline = time.monotonic() + SECONDS
    for place in places:
        if time.monotonic() > deadline:
            break
        tried = asyncio.run(try_photo(place, None if kind == "fetched" else found.bucket, ingest))
        if not tried.reason:
            but = f"; not so {show_failed(failed)}" if failed else ""
            return ok(f"one photo: {tried.place} is {kind} and decoded, {tried.bytes / 1e3:,.0f} kB{but}")
        failed.append(tried)
    advice = advise(failed, kind == "fetched")
    return wrong(f"no photo of {len(failed)} can be {kind}: {show_failed(failed)}: {advice}")


def show_failed(failed: list[Tried]) -> str:
    """Return photos and their reasons."""
    return ", ".join(f"{tried.place} ({tried.reason})" for tried in failed)


def spread(places: list[str]) -> list[str]:
    """Return the first, one in the middle and one near the end.

    >>> spread(["a", "b", "c", "d", "e", "f"]), spread(["a"]), spread([])
    (['a', 'c', 'e'], ['a'], [])
    """
    return list(dict.fromkeys(places[len(places) * part // EXAMPLES] for part in range(EXAMPLES) if places))


async def try_photo(place: str, listed: Bucket | None, ingest: IngestParams) -> Tried:
    """Download a photo, or read it in a bucket, and decode it: as ingest does, but for the retries and the upload."""
    bucket = open_bucket()
    shown = place if listed else secret_text.show_url(place)
    with LocalWorkers(1, import_main=False) as decoders:
        async with open_sources(ingest, bucket) as sources:
            uploads, limits = bulk.open_client(bucket), PhotoLimits(ingest.max_pixels, tuple(ingest.formats))
            context = IngestContext(sources, decoders, asyncio.Semaphore(1), bucket, uploads, limits)
            try:
                async with asyncio.timeout(SECONDS), AsyncExitStack() as opened:
                    if listed is None:
                        body = await opened.enter_async_context(sources.open(place))
                    else:
                        body = Body(read_object(listed, place), has_declared_end=True, host="")
                    await check_body(body, context)
                    return Tried(shown, len(body.content), "")
            except Refused as refusal:
                return Tried(shown, 0, str(refusal))
            except Unreachable as failure:
                return Tried(shown, 0, failure.reason or f"unreachable: {failure}")
            except TimeoutError:
                return Tried(shown, 0, f"unreachable: no photo in {SECONDS:.0f} s")


def read_object(bucket: Bucket, key: str) -> bytes:
    """Return the bytes of an object. Raises Refused where the bucket does not have it."""
    stored = find_object(bucket, key)
    if stored is None:
        raise Refused(MISSING_OBJECT)
    return get_object(bucket, stored)


def advise(failed: list[Tried], by_url: bool) -> str:
    """Return what to do when all photos that were tried failed. by_url: they have URLs, not keys of the bucket."""
    reasons = {tried.reason for tried in failed}
    for reason, advice in ADVICE.items():
        if reason in reasons:
            return advice
    look = "open one in a browser" if failed[0].place.startswith("http") else "look at one"
    column = "image_url" if by_url else "`key`"
    return f"{look}, and correct {column} in queries/listings.sql; docs/photos.md explains the reasons"
