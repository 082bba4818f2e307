"""Bring one photo from its URL into the bucket: download, decode, upload; again when a failure may pass."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from obstore.store import S3Store
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from imageset.errors import ObjectExists, Refused, Unreachable, WorkerLost
from imageset.photos import decode
from imageset.storage import bulk
from imageset.storage.bucket import Bucket
from imageset.web.sources import Sources
from imageset.web.transfer import Body
from imageset.workers.local import LocalWorkers
from imageset.workers.worker_process import run_bounded

ATTEMPTS = 6
# A photo is refused for a failure that may pass once it has failed so often for this very reason: each time on another
# connection. Among other failures its host may be in trouble.
ATTEMPTS_BY_REASON = {"bad_response": 3, "truncated": ATTEMPTS}
ATTEMPTS_OF_ONE_PHOTO = 4  # where the host perhaps fails for this photo alone: it is asked again at the end of the run
SECONDS_BEFORE_RETRY = 1.0  # doubled with each attempt; the wait is drawn between 0 and that ("full jitter")
MAX_SECONDS_BEFORE_RETRY = 30.0
DECODE_ATTEMPTS = 2  # a decoder's process can also be killed by the system, or time out while the machine sleeps
SECONDS_TO_DECODE = 30.0
BYTES_TO_DECODE = 2_000_000_000  # of memory in one worker process; 50 million pixels take about 400 MB


class PhotoToFetch(NamedTuple):
    """A photo of a listing, its key in the bucket and its URL; "" where it is in the bucket or nowhere."""

    key: str
    product_id: int
    position: int
    image_url: str


@dataclass(frozen=True)
class Outcome:
    """How a photo ended.

    reason: "" when it is in the bucket. trouble: what failed when it is unreachable. failing_host: the host, if perhaps
    it fails for this photo alone.
    """

    photo: PhotoToFetch
    reason: str
    trouble: str = ""
    failing_host: str = ""


@dataclass(frozen=True)
class IngestContext:
    """What all photos of a run share: the sources, the processes that decode, the bucket and its upload client."""

    sources: Sources
    decoders: LocalWorkers
    decode_slots: asyncio.Semaphore
    bucket: Bucket
    uploads: S3Store
    limits: decode.PhotoLimits


async def fetch_photo(photo: PhotoToFetch, context: IngestContext, attempts: int | None = None) -> Outcome:
    """Bring one photo into the bucket, with retries of failures that may pass.

    An object that another run has uploaded in the meantime stays as it is.

    Args:
        photo: the photo.
        context: shared by all photos of the run.
        attempts: at most so many; None: ATTEMPTS.

    Raises:
        ServerError: the bucket cannot be reached or refuses.
    """
    failures = Counter[str]()  # by reason
    retrying = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, Unreachable) and not error.final),
        wait=wait_random_exponential(SECONDS_BEFORE_RETRY, MAX_SECONDS_BEFORE_RETRY),
        after=partial(count_failure, failures=failures),
        stop=partial(was_last_attempt, failures=failures, attempts=attempts or ATTEMPTS),
        reraise=True,
    )
    try:
        async for attempt in retrying:
            with attempt:
                async with context.sources.open(photo.image_url) as body:
                    sha256 = await check_body(body, context)
                    await upload(photo, body.content, sha256, context)
    except Refused as refusal:
        return Outcome(photo, str(refusal))
    except Unreachable as failure:
        reason = failure.reason if has_refused(failures) else "unreachable"
        return Outcome(photo, reason, str(failure), failure.failing_host)
    return Outcome(photo, "")


def count_failure(state: RetryCallState, failures: Counter[str]) -> None:
    """Count a failed attempt by its reason."""
    failure = state.outcome.exception() if state.outcome else None
    if isinstance(failure, Unreachable):
        failures[failure.reason] += 1


def was_last_attempt(state: RetryCallState, failures: Counter[str], attempts: int) -> bool:
    """Return whether a photo has had all its attempts."""
    failure = state.outcome.exception() if state.outcome else None
    if isinstance(failure, Unreachable) and failure.failing_host:
        attempts = min(attempts, ATTEMPTS_OF_ONE_PHOTO)
    return state.attempt_number >= attempts or has_refused(failures)


def has_refused(failures: Counter[str]) -> bool:
    """Return whether a photo has failed often enough for one reason."""
    return any(failures[reason] >= most for reason, most in ATTEMPTS_BY_REASON.items())


async def check_body(body: Body, context: IngestContext) -> str:
    """Decode a body to its last pixel and return its sha256. Raises Refused, or Unreachable if it broke off."""
    for _ in range(DECODE_ATTEMPTS):
        reason, sha256 = await decode_in_process(body.content, context)
        if reason not in ("decoder_crash", "decoder_timeout"):
            break
    if reason == "truncated" and not body.has_declared_end:
        raise Unreachable("a body of undeclared length broke off", reason=reason)
    if reason:
        raise Refused(reason)
    return sha256


async def decode_in_process(content: bytes, context: IngestContext) -> tuple[str, str]:
    """Return (reason, sha256) as decode.check does, or the reason that its process ended."""
    check = partial(decode.check, limits=context.limits)
    bounded = partial(run_bounded, function=check, seconds=SECONDS_TO_DECODE, max_bytes=BYTES_TO_DECODE)
    try:
        async with context.decode_slots:
            (result,) = await asyncio.wrap_future(context.decoders.submit(bounded, [content]))
    except WorkerLost as lost:
        return f"decoder_{lost.reason}", ""
    return result


async def upload(photo: PhotoToFetch, content: bytes, sha256: str, context: IngestContext) -> None:
    """Upload a photo unless its key exists."""
    try:
        await bulk.put_new(context.uploads, context.bucket, photo.key, content, sha256)
    except ObjectExists:
        return
