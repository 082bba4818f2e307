"""One photo from a stranger's url: its body, a definite refusal, or trouble that may pass."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp

from imageset.errors import AddressRefused, BadUrl, HostGivenUp, Refused, ServerError, Unreachable
from imageset.photos import decode
from imageset.web import headers, urls
from imageset.web.address_guard import Guard
from imageset.web.host_limits import Host
from imageset.web.weighted_semaphore import WeightedSemaphore
from imageset.workers import limits

SECONDS_TO_CONNECT = 10.0
SECONDS_TO_ANSWER = 15.0  # to the end of the headers
SECONDS_PER_REQUEST = 30.0  # for the whole of it
SECONDS_IDLE = 5.0  # that a connection is kept for the host's next photo
LOOKUPS_AT_ONCE = 256
OPEN_FILES = 16_384  # a connection is one; with a host for each photo many are idle
REDIRECTS = 5
BYTES_IN_HAND = 64_000_000  # of all bodies together, from their headers' arrival until nobody needs them
BYTES_OF_A_HOST = 24_000_000  # of these; a few hosts that trickle are not to hold them all
UNDECLARED_BYTES = 1_000_000  # what a body of undeclared length counts for
UNDECLARED_AT_ONCE = 3  # of those that are longer, from as many hosts

# A status from 400 to 499 is a definite answer, which asking again would not change, unless it is one of these.
PASSING = {408, 425, 429}
# What the commonest of the definite ones are called; the others are "refused".
REFUSALS = {401: "forbidden", 403: "forbidden", 404: "not_found", 410: "gone", 451: "forbidden"}
THROTTLING = {429, 503}
MOVED = {301, 302, 303, 307, 308}
USER_AGENT = "imageset"


class Body(NamedTuple):
    """What came, and whether its length or its end was declared, so that what broke off would have been noticed."""

    content: bytes
    is_whole: bool


class Web:
    """What the downloads of a run share: connections, what is known of the hosts, the bytes in hand, the limits."""

    def __init__(
        self,
        allowed_hosts: frozenset[tuple[str, int]],
        connections_per_host: int,
        max_bytes: int,
        refused_robots_tags: frozenset[str],
    ) -> None:
        """allowed_hosts: names and ports that may lie outside of the public internet."""
        # By default aiohttp takes nothing from the environment: no proxy, no .netrc.
        guard = Guard(allowed_hosts)
        # Without limits of its own: waiting for a turn and for bytes is not to count as the host's failure to answer.
        connector = aiohttp.TCPConnector(
            limit=0, resolver=guard, socket_factory=guard.open_socket, keepalive_timeout=SECONDS_IDLE
        )
        # glibc would wait half a minute for name servers that do not answer, and Ctrl-C with it.
        os.environ.setdefault("RES_OPTIONS", "timeout:3 attempts:2")
        # Lookups run in its threads, which are few by default: some names that nobody answers for would hold them all.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS_AT_ONCE, "lookup"))
        limits.allow_open_files(OPEN_FILES)
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=SECONDS_TO_CONNECT),
        )
        self.connections_per_host = connections_per_host
        self.hosts: dict[str, Host] = {}
        self.bytes = WeightedSemaphore(BYTES_IN_HAND)
        self.undeclared = asyncio.Semaphore(UNDECLARED_AT_ONCE)
        self.max_bytes = max_bytes
        self.refused_robots_tags = refused_robots_tags

    async def __aenter__(self) -> "Web":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.session.close()

    def host(self, name: str) -> Host:
        """Return what is known of a host."""
        if name not in self.hosts:
            self.hosts[name] = Host(name, self.connections_per_host, BYTES_OF_A_HOST)
        return self.hosts[name]


@dataclass(frozen=True)
class Exchange:
    """A request whose answer's headers are there, and the clock that bounds the rest."""

    host: Host
    answer: aiohttp.ClientResponse
    clock: asyncio.Timeout


@asynccontextmanager
async def download(web: Web, url: str) -> AsyncIterator[Body]:
    """Yield the body behind a url; its bytes count as bytes in hand until the context ends.

    Raises Refused or Unreachable.
    """
    async with AsyncExitStack() as held:
        for _ in range(1 + REDIRECTS):
            async with ask(web, url) as exchange:
                location = exchange.answer.headers.get("Location")
                if exchange.answer.status in MOVED and location is not None:
                    url = urls.join(url, location)
                    continue
                check_headers(exchange.answer, web)
                body = await read(exchange, web, held)
            break
        else:
            raise Refused("too_many_redirects")
        yield body


@asynccontextmanager
async def ask(web: Web, url: str) -> AsyncIterator[Exchange]:
    """Yield the exchange when the answer's headers are there; its host learns how all of it went.

    Raises Refused for what cannot be asked, Unreachable for what fails, be it in the context.
    """
    try:
        target = urls.parse(url)
    except BadUrl:
        raise Refused("bad_url") from None
    host = web.host(urls.host_name(target))
    try:
        # The clock starts when the turn has come.
        async with host.turn() as wave, asyncio.timeout(SECONDS_TO_ANSWER) as clock:
            started = asyncio.get_running_loop().time()
            async with web.session.get(target, allow_redirects=False) as answer:
                latency = asyncio.get_running_loop().time() - started
                clock.reschedule(started + SECONDS_PER_REQUEST)
                check_status(host, wave, answer)
                try:
                    yield Exchange(host, answer, clock)
                except Refused:
                    host.answered(wave, latency)
                    raise
                host.answered(wave, latency)
    except HostGivenUp:
        raise Unreachable(f"{host.name}: {host.trouble}", final=True) from None
    except aiohttp.InvalidURL:  # such as 127.1
        raise Refused("bad_url") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
            raise Refused("private_address") from None
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):  # that is no failure of the host's
            raise ServerError("too many open files: raise `ulimit -n`") from None
        host.failed(wave, type(error).__name__)
        raise Unreachable(f"{host.name}: {host.trouble}") from None
    except ValueError:  # of a redirect to no url, the idna codec's of a..b, aiohttp's of a colon in a user's name
        raise Refused("bad_url") from None


def check_status(host: Host, wave: int, answer: aiohttp.ClientResponse) -> None:
    """Raise Unreachable for a status after which asking again may help; the host learns of its trouble."""
    trouble = f"status {answer.status}"
    if answer.status in THROTTLING:
        host.throttled(wave, trouble, headers.seconds_to_wait(answer.headers))
    elif answer.status >= 500:
        host.failed(wave, trouble)
    if answer.status in PASSING or answer.status >= 500:
        raise Unreachable(f"{host.name}: {trouble}")


def check_headers(answer: aiohttp.ClientResponse, web: Web) -> None:
    """Raise Refused for an answer whose body nobody needs to see."""
    if answer.status != 200:
        raise Refused(REFUSALS.get(answer.status, "refused"))
    if headers.robots_tags(answer.headers.getall("X-Robots-Tag", []), USER_AGENT) & web.refused_robots_tags:
        raise Refused("robots_tag")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused("encoded")
    if (answer.content_length or 0) > web.max_bytes:
        raise Refused("too_large")


async def read(exchange: Exchange, web: Web, held: AsyncExitStack) -> Body:
    """Return an answer's body; `held` gives back the bytes in hand. Raises Refused."""
    answer = exchange.answer
    paid = answer.content_length if answer.content_length is not None else UNDECLARED_BYTES
    await wait(exchange, held, exchange.host.bytes.take(paid))
    await wait(exchange, held, web.bytes.take(paid))
    body = bytearray()
    async for piece in answer.content.iter_any():
        seen = len(body)
        body += piece
        if seen < decode.HEAD_BYTES <= len(body) and not decode.begins_like_photo(bytes(body[: decode.HEAD_BYTES])):
            raise Refused("not_an_image")
        if len(body) > web.max_bytes:
            raise Refused("too_large")
        if seen <= paid < len(body):  # it had declared nothing, and is large
            await wait(exchange, held, exchange.host.undeclared)
            await wait(exchange, held, web.undeclared)
    return Body(bytes(body), answer.content_length is not None or "Transfer-Encoding" in answer.headers)


async def wait(exchange: Exchange, held: AsyncExitStack, place: AbstractAsyncContextManager[Any]) -> None:
    """Wait for a place and hold it, while the clock stands still: it is not for us that the host has to hurry."""
    loop = asyncio.get_running_loop()
    seconds_left = (exchange.clock.when() or 0.0) - loop.time()
    exchange.clock.reschedule(None)
    await held.enter_async_context(place)
    exchange.clock.reschedule(loop.time() + seconds_left)
