"""Photos for which their host fails for good, while it serves others: by a server error (5xx), or it breaks off.

An outage looks the same for a single photo, and must never reject one. So this decides at the end of a run. It asks for
the photo ROUNDS times more, each time between two requests for photos that the host has served. Only if it serves these
each time, the error is the photo's own. It never is where many photos of a host have one: then perhaps a part of
the host is down, and another part, such as a cache, answers. Photos that the host serves by now are fetched.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from imageset.errors import Refused, Unreachable
from imageset.web.fetch_photo import IngestContext, PhotoToFetch, fetch_photo
from imageset.web.host_limits import FAILURES_TO_OPEN
from imageset.web.host_queues import MAX_TASKS
from imageset.web.photo_list import PhotoList

SERVER_ERROR = "server_error"
WITNESSES = 20  # photos that are tried until the host serves one
PHOTOS_AT_ONCE = FAILURES_TO_OPEN - 1  # of one host, between two requests for photos that it has served
HOSTS_AT_ONCE = MAX_TASKS // PHOTOS_AT_ONCE
ROUNDS = 3  # a photo of a host that was given up may never have been asked for before
SECONDS_PER_HOST = 600.0  # then its other photos wait for the next run, which asks for more of them at once


class Failure(NamedTuple):
    """What failed when a photo is unreachable; and the host, if perhaps it fails for this photo alone, else ""."""

    trouble: str
    host: str


async def settle(
    photos: PhotoList,
    failing_hosts: Mapping[int, str],
    served: Iterable[PhotoToFetch],
    context: IngestContext,
    max_share: float,
) -> dict[int, str]:
    """Ask again for the photos that may have an error of their own, and return the reasons of those that are settled.

    Args:
        photos: those of this run.
        failing_hosts: the host that perhaps fails for one photo alone, by the photo's place.
        served: photos of the listings that are in the bucket.
        context: shared by all photos of the run.
        max_share: where more of a host's photos than this share have an error, they stay unreachable; one may always.

    Returns:
        The reason, "" for a photo that is in the bucket now, by the photo's place.
    """
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, failing_host in failing_hosts.items():
        groups[origin(photos[place]), failing_host].append(place)
    if not groups:
        return {}
    witnesses: dict[str, list[PhotoToFetch]] = {its_origin: [] for its_origin, _ in groups}
    counts: Counter[str] = Counter()
    for photo in served:
        if (its_origin := origin(photo)) in witnesses:
            counts[its_origin] += 1
            if counts[its_origin] <= WITNESSES:
                witnesses[its_origin].append(photo)
    slots = asyncio.Semaphore(HOSTS_AT_ONCE)

    async def settle_group(its_origin: str, failing_host: str, places: list[int]) -> dict[int, str]:
        most = max(1, int(max_share * (len(places) + counts[its_origin])))
        async with slots:
            return await ask_again(photos, places, failing_host, witnesses[its_origin], most, context)

    settled = await asyncio.gather(*(settle_group(*key, places) for key, places in groups.items()))
    return {place: reason for group in settled for place, reason in group.items()}


async def ask_again(
    photos: PhotoList,
    places: list[int],
    failing_host: str,
    witnesses: list[PhotoToFetch],
    most: int,
    context: IngestContext,
) -> dict[int, str]:
    """Ask for photos while their host serves others, and return what came of it.

    Photos that the host fails for are server errors if there are at most `most` of them. Otherwise they are left out.
    So are all photos after the host has failed, or has taken too long.
    """
    settled: dict[int, str] = {}
    errors: dict[int, str] = {}
    context.sources.client.hosts.pop(failing_host, None)  # it may have been given up
    if not await serves(failing_host, witnesses, context):
        return settled
    started = time.monotonic()
    for start in range(0, len(places), PHOTOS_AT_ONCE):
        failing = places[start : start + PHOTOS_AT_ONCE]
        for _ in range(ROUNDS):
            outcomes = await asyncio.gather(*(fetch_photo(photos[place], context, attempts=1) for place in failing))
            again = list(zip(failing, outcomes, strict=True))
            settled |= {place: outcome.reason for place, outcome in again if outcome.reason != "unreachable"}
            failing = [place for place, outcome in again if outcome.failing_host == failing_host]
            if not failing:
                break
            if len(errors) + len(failing) > most or not await serves(failing_host, witnesses, context):
                return settled
        errors |= dict.fromkeys(failing, SERVER_ERROR)
        if time.monotonic() - started >= SECONDS_PER_HOST:
            break
    return settled | errors


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
