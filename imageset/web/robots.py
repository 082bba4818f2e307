"""robots.txt of the hosts that photos come from (RFC 9309), with ingest.robots: obey."""

import asyncio
import re
import zlib
from contextlib import AsyncExitStack

from protego import Protego

from imageset.errors import BadUrl, Refused, Unreachable
from imageset.runtime import secret_text
from imageset.web import headers, transfer, urls
from imageset.web.exchange import MAX_REDIRECTS, Exchange, open_exchange
from imageset.web.hop_cookies import HopCookies
from imageset.web.web_client import WebClient

MAX_BYTES = 512_000  # of robots.txt; RFC 9309 wants no less. Lines behind them do not count
MAX_BYTES_KEPT = 8_000_000  # of robots.txt of all hosts; rules take 15 to 120 times as much memory
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
AGENT_LINE = re.compile(r"user[- ]?agent ?[: ] ?(.*)", re.IGNORECASE)
ANOTHER = "User-agent: another"

Rules = tuple[Protego | None, int]  # None where a host has none; bytes of its robots.txt
NO_RULES: Rules = None, 0


async def check(client: WebClient, url: str) -> None:
    """Return if robots.txt of its host allows a URL. It is fetched once, or again after it was dropped.

    Args:
        client: shared by all downloads of the run; its user agent's product token is what the rules are matched with.
        url: of a photo, or where a redirect leads.

    Raises:
        Refused: the rules do not allow it.
        Unreachable: robots.txt cannot be fetched now, so nobody knows the rules.
    """
    try:
        target = urls.parse(url)
    except BadUrl:
        raise Refused("bad_url") from None
    place = str(target.origin())
    task = client.robots.pop(place, None)
    if task is None or has_failed(task):
        drop_oldest(client.robots)
        task = asyncio.create_task(fetch_rules(client, f"{place}/robots.txt"))
    client.robots[place] = task  # as the last one
    rules, _ = await asyncio.shield(task)
    if rules is not None and not rules.can_fetch(str(target), client.product_token):
        raise Refused("robots_txt")


def has_failed(task: asyncio.Task[Rules]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def drop_oldest(kept: dict[str, asyncio.Task[Rules]]) -> None:
    """Drop the rules that were needed longest ago, until the others have at most MAX_BYTES_KEPT."""
    sizes = {place: task.result()[1] for place, task in kept.items() if task.done() and not has_failed(task)}
    total = sum(sizes.values())
    for place, size in sizes.items():
        if size and total > MAX_BYTES_KEPT:
            del kept[place]
            total -= size


async def fetch_rules(client: WebClient, url: str) -> Rules:
    """Return the rules at a URL, and how many bytes they have.

    The host has none if it answers so (4xx), or leads nowhere. Raises Unreachable if it fails, also for a 5xx or a 429.
    """
    cookies = HopCookies()
    name = secret_text.show_url(url)
    try:
        async with AsyncExitStack() as held:
            for _ in range(1 + MAX_REDIRECTS):
                async with open_exchange(client, url, cookies) as exchange:
                    if (location := exchange.redirect()) is not None:
                        cookies.take(exchange.answer)
                        url = urls.join(url, location)
                        continue
                    if not 200 <= exchange.answer.status < 300:
                        return NO_RULES
                    content = await read(exchange, client, held)
                    return parse(decode(content), client.product_token), len(content)
    except Refused:  # a redirect to a bad URL or a private address
        return NO_RULES
    except Unreachable as failure:
        # All rules are unknown, so this is the trouble of no single photo.
        raise Unreachable(f"{failure}, for {name}", final=failure.final) from None
    return NO_RULES


async def read(exchange: Exchange, client: WebClient, held: AsyncExitStack) -> bytes:
    """Return the bytes of robots.txt as far as they count. Raises Unreachable if they are compressed."""
    await transfer.acquire_untimed(exchange.transfer(), held, client.bytes.acquire(2 * MAX_BYTES))
    content = bytearray()
    async for piece in exchange.answer.content.iter_any():
        content += piece
        if len(content) > MAX_BYTES:
            break
    if not headers.names_compression(exchange.answer.headers.getall("Content-Encoding", [])):
        return bytes(content)
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB)  # some hosts compress text whatever they are asked for
    try:
        text = unpacker.decompress(bytes(content), MAX_BYTES + 1)
    except zlib.error:
        text = b""
    if not text and not unpacker.eof:
        raise Unreachable(f"{exchange.host.name}: an unknown compression")
    return text


def parse(text: str, product_token: str) -> Protego:
    """Return the rules for an agent and for all agents.

    Protego copies each rule for each agent of its group, which may be thousands. And it takes the rules for "image" for
    those of "imageset". So all other agents get one name.
    """

    def rename(line: str) -> str:
        found = AGENT_LINE.match(" ".join(line.partition("#")[0].split()))
        if found is None:
            return line
        name = found[1].split("/")[0].lower()
        return f"User-agent: {name}" if name in ("*", product_token) else ANOTHER

    return Protego.parse("\n".join(map(rename, text.splitlines())))


def decode(content: bytes) -> str:
    r"""Return the text of robots.txt, as far as it counts: to the end of a line, so that no path is cut short.

    >>> decode(b"\xef\xbb\xbfUser-agent: *\nDisallow: /a\xff")
    'User-agent: *\nDisallow: /a\ufffd'
    """
    if len(content) > MAX_BYTES:
        content = content[:MAX_BYTES].rpartition(b"\n")[0]
    return content.decode("utf-8-sig", errors="replace")
