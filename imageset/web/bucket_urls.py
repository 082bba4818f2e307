"""Photos behind URLs s3://bucket/key, in buckets that IMAGESET_ALLOWED_BUCKETS names.

The URLs come from sellers like all others. So whoever can write one can have any photo of these buckets in the dataset.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import obstore
from obstore.store import S3Store

from imageset.errors import BadUrl, HostGivenUp, Refused, Unreachable
from imageset.runtime.settings import BUCKET
from imageset.storage.object_keys import check_key
from imageset.web import transfer
from imageset.web.host_limits import Host
from imageset.web.transfer import Body, Transfer, read_body
from imageset.web.web_client import WebClient

SCHEME = "s3://"
PIECE_BYTES = 256_000
THROTTLING = ("429", "503")
NO_BUCKET = "<Code>NoSuchBucket</Code>"
FORBIDDEN = (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)


def parse(url: str) -> tuple[str, str]:
    """Return the bucket and the key of a URL. The key is what follows the bucket, as it is: % and ? mean themselves.

    >>> parse("s3://old-photos/hats/50% off?.jpg")
    ('old-photos', 'hats/50% off?.jpg')

    Raises:
        BadUrl: it is no such URL, or its key has a part that is empty, . or .., or what else no key has.
    """
    match = re.fullmatch(rf"(?i:s3)://({BUCKET})/(.+)", url, re.DOTALL)
    if match is None:
        raise BadUrl
    try:
        check_key(match[2])
        if "" in match[2].split("/"):  # obstore would ask for another key
            raise ValueError("a part without a name")
    except ValueError:
        raise BadUrl from None
    return match[1], match[2]


@asynccontextmanager
async def read_object(client: WebClient, buckets: Mapping[str, S3Store], url: str) -> AsyncIterator[Body]:
    """Yield the object behind a URL. It counts as bytes in memory until the context ends.

    Args:
        client: shared by all photos of the run.
        buckets: a client for each bucket that may be read.
        url: s3://bucket/key, of an untrusted source.

    Raises:
        Refused: the photo cannot be had.
        Unreachable: the bucket failed; asking again may help unless `final`.
    """
    try:
        name, key = parse(url)
    except BadUrl:
        raise Refused("bad_url") from None
    if name not in buckets:
        raise Refused("bucket_not_allowed")
    host = client.host(SCHEME + name)
    async with AsyncExitStack() as held:
        yield Body(await read(client, host, buckets[name], key, held), True, host.name)


async def read(client: WebClient, host: Host, bucket: S3Store, key: str, held: AsyncExitStack) -> bytes:
    """Return an object's bytes; its bucket learns how that went. Raises Refused and Unreachable."""
    loop = asyncio.get_running_loop()
    try:
        async with host.slot() as epoch, asyncio.timeout(transfer.SECONDS_TO_ANSWER) as timeout:
            started = loop.time()
            try:
                found = await obstore.get_async(bucket, key)
                latency = loop.time() - started
                timeout.reschedule(started + transfer.SECONDS_PER_REQUEST)
                size = found.meta["size"]
                content = await read_body(Transfer(host, timeout, size, pieces(found)), client, held)
            except (Refused, FileNotFoundError, *FORBIDDEN) as error:
                host.record_answer(epoch, loop.time() - started)
                if NO_BUCKET in str(error) and NO_BUCKET not in key:  # the text quotes the key, which a seller wrote
                    raise Unreachable(f"{host.name}: there is no such bucket", final=True) from None
                if isinstance(error, Refused):
                    raise
                raise Refused("forbidden" if isinstance(error, FORBIDDEN) else "not_found") from None
            host.record_answer(epoch, latency)
    except HostGivenUp:
        raise Unreachable(f"{host.name}: {host.trouble}", final=True) from None
    except (obstore.exceptions.BaseError, TimeoutError, OSError) as error:
        record_trouble(host, epoch, error)
        raise Unreachable(f"{host.name}: {host.trouble}") from None
    return content


async def pieces(found: "obstore.GetResult") -> AsyncIterator[bytes]:
    async for piece in found.stream(min_chunk_size=PIECE_BYTES):
        yield bytes(piece)


def record_trouble(host: Host, epoch: int, error: Exception) -> None:
    """Tell a bucket's state what failed: its status, or the kind of error. The server's text may name an access key."""
    status = re.search(r"status(?: code)?:? (\d{3})", str(error))
    trouble = f"status {status[1]}" if status else type(error).__name__
    if status and status[1] in THROTTLING:
        host.record_throttling(epoch, trouble, None)
    else:
        host.record_failure(epoch, trouble)
