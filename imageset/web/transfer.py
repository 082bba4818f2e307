"""Read the body of a photo in pieces, from a host, a bucket or a folder: within a time, in bounded memory, and only as
far as it looks like a photo."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

from imageset.errors import Refused
from imageset.photos.file_formats import HEAD_BYTES, MAX_HEAD_BYTES, find_refusal, is_undecided
from imageset.web.host_limits import Host
from imageset.web.web_client import WebClient

SECONDS_TO_ANSWER = 15.0  # until the headers have arrived
SECONDS_PER_REQUEST = 30.0  # until the body has arrived
BYTES_IF_UNDECLARED = 1_000_000  # what a body of undeclared length counts for


class Body(NamedTuple):
    """The body of an answer.

    has_declared_end: if not, it may have broken off unnoticed. host: the name of the one that sent it.
    """

    content: bytes
    has_declared_end: bool
    host: str


@dataclass(frozen=True)
class Transfer:
    """A body that is about to come: its length, None where none is declared; its pieces; the timeout on them."""

    host: Host
    timeout: asyncio.Timeout
    length: int | None
    pieces: AsyncIterator[bytes]


async def read_body(transfer: Transfer, client: WebClient, held: AsyncExitStack) -> bytes:
    """Return a body; closing `held` gives back its bytes in memory. Raises Refused."""
    if (transfer.length or 0) > client.max_bytes:
        raise Refused("too_large")
    reserved = transfer.length if transfer.length is not None else BYTES_IF_UNDECLARED
    await acquire_untimed(transfer, held, transfer.host.bytes.acquire(reserved))
    await acquire_untimed(transfer, held, client.bytes.acquire(reserved))
    body, is_told = bytearray(), False
    async for piece in transfer.pieces:
        seen = len(body)
        body += piece
        if not is_told and len(body) >= HEAD_BYTES:
            head = bytes(body[:MAX_HEAD_BYTES])
            is_told = not is_undecided(head)
            if is_told and (reason := find_refusal(head, client.formats)):
                raise Refused(reason)
        if len(body) > client.max_bytes:
            raise Refused("too_large")
        if seen <= reserved < len(body):  # a large body of undeclared length
            await acquire_untimed(transfer, held, transfer.host.undeclared)
            await acquire_untimed(transfer, held, client.undeclared)
    return bytes(body)


async def acquire_untimed(transfer: Transfer, held: AsyncExitStack, slot: AbstractAsyncContextManager[Any]) -> None:
    """Acquire a slot with the timeout paused: our own waiting must not count against the host."""
    loop = asyncio.get_running_loop()
    seconds_left = (transfer.timeout.when() or 0.0) - loop.time()
    transfer.timeout.reschedule(None)
    await held.enter_async_context(slot)
    transfer.timeout.reschedule(loop.time() + seconds_left)
