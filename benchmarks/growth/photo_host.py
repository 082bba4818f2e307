"""A photo host with all photos in one file: python -m benchmarks.growth.photo_host PACK PORT

It answers GET /<offset>-<length>.<suffix> with these bytes of the file, and everything else with 404. It has nothing in
memory but what it sends. It runs in a process of its own, so that its processor time is known.
"""

import asyncio
import os
import re
import sys
from functools import partial

HOST = "127.0.0.1"
BACKLOG = 4096
TYPES = {b"jpg": b"image/jpeg", b"png": b"image/png", b"webp": b"image/webp", b"html": b"text/html"}
PATH = re.compile(rb"GET /(\d+)-(\d+)\.(\w+) ")
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client; it sends a request when it has read the answer to the one before."""

    def __init__(self, pack: int) -> None:
        self.pack, self.received = pack, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.received.endswith(b"\r\n\r\n"):
            return
        asked, self.received = self.received, b""
        self.transport.write(answer(self.pack, asked))
        if b"connection: close" in asked.lower():
            self.transport.close()


def answer(pack: int, asked: bytes) -> bytes:
    """Return the whole answer to a request. pack: file descriptor."""
    path = PATH.match(asked)
    if path is None:
        return MISSING
    body = os.pread(pack, int(path[2]), int(path[1]))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (TYPES[path[3]], len(body))
    return head + body


async def serve(pack: int, port: int) -> None:
    """Serve until the process is ended. Say so in a line when it has begun."""
    server = await asyncio.get_running_loop().create_server(partial(Connection, pack), HOST, port, backlog=BACKLOG)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2])))
