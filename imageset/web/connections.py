"""Connections that take answers as lenient clients do, and say at once which ones are malformed.

aiohttp's parser decides what an answer says. It needs help with five things:

- An equal Content-Length twice is one length (RFC 9110, 8.6). The parser refuses it, so it gets one of them.
- A head, which is all headers together, may have HEAD_BYTES. The parser bounds each header alone.
- Bytes behind the end of an answer are not part of it, nor the answer to another request. The parser would drop an
  answer that arrives together with such bytes, so it gets the head first and then the rest.
- Whoever waits for a body learns that a chunk is malformed. aiohttp tells only whoever waits for a head.
- What is neither head nor body is bounded. Trailers may have no end.
"""

import re
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from imageset.errors import MalformedBody

HEAD_BYTES = 65_536  # of the status line and all headers; of all interim answers and the answer together
OVERHEAD_BYTES = 1_000_000  # of lengths of chunks, trailers and what waits for the parser, beyond one byte a body byte
BLANK_LINE = re.compile(rb"\n\r?\n")
INTERIM = re.compile(rb"HTTP/1\.[0-9] +1(?!01)[0-9][0-9]")
LENGTH = re.compile(rb"^content-length[ \t]*:([^\r\n]*)\r?\n(?![ \t])", re.IGNORECASE | re.MULTILINE)
DIGITS = re.compile(rb"[0-9]+")


class Connection(ResponseHandler):
    """A connection to a host, for one request after the other."""

    head: bytearray | None = None  # what has arrived of the head; None when it is complete
    head_bytes = 0  # of complete heads
    received = 0  # bytes that the parser has got
    has_answered = False

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for an answer."""
        self.head = bytearray()
        self.has_answered = False
        self.head_bytes = self.received = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Pass on what has arrived, but a head only when it is complete."""
        while self.head is not None:
            seen = len(self.head)
            self.head += data if self.head else data.lstrip(b"\r\n")  # there may be empty lines before it
            end = find_end(self.head, seen)
            if self.head_bytes + (end or len(self.head)) > HEAD_BYTES:
                self.give_up(f"headers of more than {HEAD_BYTES} bytes")
                return
            if end is None:
                return
            head, data = bytes(self.head[:end]), bytes(self.head[end:])
            self.head_bytes += end
            self.head = bytearray() if INTERIM.match(head) else None
            self.feed(merge_lengths(head))
            if not data or self.exception() is not None:
                return
        self.feed(data)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of an answer from the parser. A second one answers nothing, so the connection is closed."""
        if self.has_answered:
            if self.transport is not None:
                self.transport.close()
            return
        self.has_answered = not 100 <= data[0].code < 200 or data[0].code == 101
        super().feed_data(data, size)

    def feed(self, data: bytes) -> None:
        """Give bytes to the parser, and bound what is neither head nor body: trailers may have no end."""
        super().data_received(data)
        self.received += len(data)
        payload, error = self._payload, self.exception()
        if payload is None or payload.is_eof():
            return
        if isinstance(error, HttpProcessingError):
            payload.set_exception(MalformedBody(error.message))
        elif self.received - self.head_bytes > 2 * payload.total_bytes + OVERHEAD_BYTES:
            self.give_up("more framing than body")
            payload.set_exception(MalformedBody("more framing than body"))

    def give_up(self, why: str) -> None:
        """Close the connection over a malformed answer."""
        self.head = None
        if self.transport is not None:
            self.transport.close()
        self.set_exception(HttpProcessingError(message=why))


class Connector(aiohttp.TCPConnector):
    """Makes such connections. Its options are those of aiohttp's."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory: partial[Any] = partial(Connection, loop=self._loop)


def find_end(head: bytearray, seen: int) -> int | None:
    """Return where a head ends, None when more of it has to come. What is not HTTP ends at once, for the parser."""
    if not b"HTTP/".startswith(head[:5]):
        return len(head)
    blank_line = BLANK_LINE.search(head, max(0, seen - 2))
    return blank_line.end() if blank_line else None


def merge_lengths(head: bytes) -> bytes:
    r"""Return a head with one Content-Length where it has equal ones, as headers or as a list in one.

    >>> merge_lengths(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\nContent-Length: 5, 5\r\n\r\n")
    b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\n'
    """
    headers = list(LENGTH.finditer(head))
    lengths = [length.strip(b" \t") for header in headers for length in header[1].split(b",")]
    values = {length.lstrip(b"0") if DIGITS.fullmatch(length) else None for length in lengths}
    if len(lengths) < 2 or len(values) > 1 or None in values:
        return head
    first = headers[0]
    return head[: first.start()] + b"Content-Length: " + lengths[0] + b"\r\n" + LENGTH.sub(b"", head[first.end() :])
