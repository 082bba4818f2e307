"""Download one photo from an untrusted URL: its body, a definite refusal, or a failure that may pass."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp

from imageset.errors import AddressRefused, BadUrl, HostGivenUp, Refused, ServerError, Unreachable
from imageset.photos import decode
from imageset.web import headers, urls
from imageset.web.host_limits import Host
from imageset.web.web_client import USER_AGENT, WebClient

SECONDS_TO_ANSWER = 15.0  # until the headers have arrived
SECONDS_PER_REQUEST = 30.0  # until the body has arrived
MAX_REDIRECTS = 5
BYTES_IF_UNDECLARED = 1_000_000  # what a body of undeclared length counts for

# Statuses from 400 to 499 are definite answers, which another request would not change, except these.
RETRIED_STATUSES = {408, 425, 429}
# The reasons of the most common definite statuses; the others are "refused".
REASONS_BY_STATUS = {401: "forbidden", 403: "forbidden", 404: "not_found", 410: "gone", 451: "forbidden"}
THROTTLING_STATUSES = {429, 503}
REDIRECT_STATUSES = {301, 302, 303, 307, 308}


class Body(NamedTuple):
    """The body of an answer, and whether its end was declared: if not, it may have broken off unnoticed."""

    content: bytes
    has_declared_end: bool


@dataclass(frozen=True)
class Exchange:
    """A request whose answer's headers have arrived, and the timeout on the rest."""

    host: Host
    answer: aiohttp.ClientResponse
    timeout: asyncio.Timeout


@asynccontextmanager
async def download(client: WebClient, url: str) -> AsyncIterator[Body]:
    """Yield the body behind a URL. It counts as bytes in memory until the context ends.

    Redirects are followed here, so that each hop is checked and counted for its own host.

    Args:
        client: shared by all downloads of the run.
        url: an untrusted URL.

    Raises:
        Refused: the photo cannot be had.
        Unreachable: the host failed; asking again may help unless `final`.
        ServerError: this process has too many open files.
    """
    async with AsyncExitStack() as held:
        for _ in range(1 + MAX_REDIRECTS):
            async with open_exchange(client, url) as exchange:
                location = exchange.answer.headers.get("Location")
                if exchange.answer.status in REDIRECT_STATUSES and location is not None:
                    url = urls.join(url, location)
                    continue
                check_headers(exchange.answer, client)
                body = await read_body(exchange, client, held)
            break
        else:
            raise Refused("too_many_redirects")
        yield body


@asynccontextmanager
async def open_exchange(client: WebClient, url: str) -> AsyncIterator[Exchange]:
    """Send one request and yield the exchange when the headers have arrived; its host learns how all of it went.

    Raises Refused for a URL that cannot be asked, Unreachable for what fails, also inside the context.
    """
    try:
        target = urls.parse(url)
    except BadUrl:
        raise Refused("bad_url") from None
    host = client.host(urls.host_name(target))
    try:
        # The timeout starts once the slot is ours.
        async with host.slot() as epoch, asyncio.timeout(SECONDS_TO_ANSWER) as timeout:
            started = asyncio.get_running_loop().time()
            async with client.session.get(target, allow_redirects=False) as answer:
                latency = asyncio.get_running_loop().time() - started
                timeout.reschedule(started + SECONDS_PER_REQUEST)
                check_status(host, epoch, answer)
                try:
                    yield Exchange(host, answer, timeout)
                except Refused:
                    host.record_answer(epoch, latency)
                    raise
                host.record_answer(epoch, latency)
    except HostGivenUp:
        raise Unreachable(f"{host.name}: {host.trouble}", final=True) from None
    except aiohttp.InvalidURL:  # such as 127.1
        raise Refused("bad_url") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
            raise Refused("private_address") from None
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):  # our failure, not the host's
            raise ServerError("too many open files: raise `ulimit -n`") from None
        host.record_failure(epoch, type(error).__name__)
        raise Unreachable(f"{host.name}: {host.trouble}") from None
    except ValueError:  # a bad redirect; the idna codec, for a..b; aiohttp, for a colon in a user's name
        raise Refused("bad_url") from None


def check_status(host: Host, epoch: int, answer: aiohttp.ClientResponse) -> None:
    """Raise Unreachable for a status after which asking again may help; the host learns of it."""
    trouble = f"status {answer.status}"
    if answer.status in THROTTLING_STATUSES:
        host.record_throttling(epoch, trouble, headers.seconds_to_wait(answer.headers))
    elif answer.status >= 500:
        host.record_failure(epoch, trouble)
    if answer.status in RETRIED_STATUSES or answer.status >= 500:
        raise Unreachable(f"{host.name}: {trouble}")


def check_headers(answer: aiohttp.ClientResponse, client: WebClient) -> None:
    """Raise Refused for an answer whose body need not be read."""
    if answer.status != 200:
        raise Refused(REASONS_BY_STATUS.get(answer.status, "refused"))
    if headers.robots_tags(answer.headers.getall("X-Robots-Tag", []), USER_AGENT) & client.refused_robots_tags:
        raise Refused("robots_tag")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused("encoded")
    if (answer.content_length or 0) > client.max_bytes:
        raise Refused("too_large")


async def read_body(exchange: Exchange, client: WebClient, held: AsyncExitStack) -> Body:
    """Return an answer's body; closing `held` gives back its bytes in memory. Raises Refused."""
    answer = exchange.answer
    reserved = answer.content_length if answer.content_length is not None else BYTES_IF_UNDECLARED
    await acquire_untimed(exchange, held, exchange.host.bytes.acquire(reserved))
    await acquire_untimed(exchange, held, client.bytes.acquire(reserved))
    body = bytearray()
    async for piece in answer.content.iter_any():
        seen = len(body)
        body += piece
        if seen < decode.HEAD_BYTES <= len(body) and not decode.begins_like_photo(bytes(body[: decode.HEAD_BYTES])):
            raise Refused("not_an_image")
        if len(body) > client.max_bytes:
            raise Refused("too_large")
        if seen <= reserved < len(body):  # a large body of undeclared length
            await acquire_untimed(exchange, held, exchange.host.undeclared)
            await acquire_untimed(exchange, held, client.undeclared)
    return Body(bytes(body), answer.content_length is not None or "Transfer-Encoding" in answer.headers)


async def acquire_untimed(exchange: Exchange, held: AsyncExitStack, slot: AbstractAsyncContextManager[Any]) -> None:
    """Acquire a slot with the timeout paused: our own waiting must not count against the host."""
    loop = asyncio.get_running_loop()
    seconds_left = (exchange.timeout.when() or 0.0) - loop.time()
    exchange.timeout.reschedule(None)
    await held.enter_async_context(slot)
    exchange.timeout.reschedule(loop.time() + seconds_left)
