"""Photos for which their host fails for good, while it serves others: by a server error (5xx), or it breaks off.

An outage looks the same for a single photo, and must never reject one. So this decides at the end of a run. It asks for
the photo ROUNDS times more, each time between two requests for photos that the host has served. Only if it serves these
each time, the error is the photo's own. It never is where many photos of a host have one: then perhaps a part of
the host is down, and another part, such as a cache, answers. Photos that the host serves by now are fetched.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable

from imageset.errors import Refused, Unreachable
from imageset.web.fetch_photo import IngestContext, Outcome, PhotoToFetch, fetch_photo
from imageset.web.host_limits import FAILURES_TO_OPEN
from imageset.web.host_queues import MAX_TASKS

SERVER_ERROR = "server_error"
WITNESSES = 20  # photos that are tried until the host serves one
PHOTOS_AT_ONCE = FAILURES_TO_OPEN - 1  # of one host, between two requests for photos that it has served
HOSTS_AT_ONCE = MAX_TASKS // PHOTOS_AT_ONCE
ROUNDS = 3  # a photo of a host that was given up may never have been asked for before
SECONDS_PER_HOST = 600.0  # then its other photos wait for the next run, which asks for more of them at once


async def settle(
    outcomes: list[Outcome], served: Iterable[PhotoToFetch], context: IngestContext, max_share: float
) -> list[Outcome]:
    """Ask again for the photos that may have an error of their own, and return all outcomes.

    Args:
        outcomes: those of this run.
        served: photos of the listings that are in the bucket.
        context: shared by all photos of the run.
        max_share: where more of a host's photos than this share have an error, they stay unreachable; one may always.
    """
    groups: defaultdict[tuple[str, str], list[PhotoToFetch]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.failing_host:
            groups[origin(outcome.photo), outcome.failing_host].append(outcome.photo)
    if not groups:
        return outcomes
    served_by: dict[str, list[PhotoToFetch]] = {place: [] for place, _ in groups}
    for photo in served:
        if (place := origin(photo)) in served_by:
            served_by[place].append(photo)
    slots = asyncio.Semaphore(HOSTS_AT_ONCE)

    async def settle_group(place: str, failing_host: str, photos: list[PhotoToFetch]) -> list[Outcome]:
        most = max(1, int(max_share * (len(photos) + len(served_by[place]))))
        async with slots:
            return await ask_again(photos, failing_host, served_by[place][:WITNESSES], most, context)

    settled = await asyncio.gather(*(settle_group(*key, photos) for key, photos in groups.items()))
    by_photo = {outcome.photo: outcome for outcome in outcomes}
    by_photo |= {outcome.photo: outcome for group in settled for outcome in group}
    return list(by_photo.values())


async def ask_again(
    photos: list[PhotoToFetch], failing_host: str, witnesses: list[PhotoToFetch], most: int, context: IngestContext
) -> list[Outcome]:
    """Ask for photos while their host serves others, and return what came of it.

    Photos that the host fails for are server errors if there are at most `most` of them. Otherwise they are left out.
    So are all photos after the host has failed, or has taken too long.
    """
    settled: list[Outcome] = []
    errors: list[Outcome] = []
    context.sources.client.hosts.pop(failing_host, None)  # it may have been given up
    if not await serves(failing_host, witnesses, context):
        return settled
    started = time.monotonic()
    for start in range(0, len(photos), PHOTOS_AT_ONCE):
        failing = photos[start : start + PHOTOS_AT_ONCE]
        for _ in range(ROUNDS):
            again = await asyncio.gather(*(fetch_photo(photo, context, attempts=1) for photo in failing))
            settled += [outcome for outcome in again if outcome.reason != "unreachable"]
            failing = [outcome.photo for outcome in again if outcome.failing_host == failing_host]
            if not failing:
                break
            if len(errors) + len(failing) > most or not await serves(failing_host, witnesses, context):
                return settled
        errors += [Outcome(photo, SERVER_ERROR) for photo in failing]
        if time.monotonic() - started >= SECONDS_PER_HOST:
            break
    return settled + errors


async def serves(host: str, witnesses: list[PhotoToFetch], context: IngestContext) -> bool:
    """Return whether a host serves one of these photos, at the end of its redirects. Some may have been removed."""
    for photo in witnesses:
        try:
            async with context.sources.open(photo.image_url) as body:
                if body.host == host:
                    return True
        except Refused:
            continue
        except Unreachable:
            return False
    return False


def origin(photo: PhotoToFetch) -> str:
    """Return scheme, host and port of a photo's URL as it is written: those of all photos are looked at."""
    return "/".join(photo.image_url.split("/", 3)[:3]).lower()
