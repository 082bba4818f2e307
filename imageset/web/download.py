"""Download one photo from an untrusted URL: its body, a definite refusal, or a failure that may pass."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from imageset.errors import Refused
from imageset.web import headers, robots, urls
from imageset.web.exchange import MAX_REDIRECTS, open_exchange
from imageset.web.hop_cookies import HopCookies
from imageset.web.transfer import Body, read_body
from imageset.web.web_client import WebClient

# The reasons of the most common definite statuses; the others are "refused".
REASONS_BY_STATUS = {401: "forbidden", 403: "forbidden", 404: "not_found", 410: "gone", 451: "forbidden"}


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
    cookies = HopCookies()
    async with AsyncExitStack() as held:
        for _ in range(1 + MAX_REDIRECTS):
            if client.obeys_robots:
                await robots.check(client, url)
            async with open_exchange(client, url, cookies) as exchange:
                if (location := exchange.redirect()) is not None:
                    cookies.take(exchange.answer)
                    url = urls.join(url, location)
                    continue
                check_headers(exchange.answer, client)
                content = await read_body(exchange.transfer(), client, held)
            break
        else:
            raise Refused("too_many_redirects")
        answer = exchange.answer
        has_declared_end = answer.content_length is not None or "Transfer-Encoding" in answer.headers
        yield Body(content, has_declared_end, exchange.host.name)


def check_headers(answer: aiohttp.ClientResponse, client: WebClient) -> None:
    """Raise Refused for an answer whose body need not be read."""
    if answer.status != 200:
        raise Refused(REASONS_BY_STATUS.get(answer.status, "refused"))
    if headers.robots_tags(answer.headers.getall("X-Robots-Tag", []), client.agent_names) & client.refused_robots_tags:
        raise Refused("robots_tag")
    if headers.names_compression(answer.headers.getall("Content-Encoding", [])):
        raise Refused("encoded")
