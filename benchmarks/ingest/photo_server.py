"""A fast photo host: python -m benchmarks.ingest.photo_server FOLDER LATENCY_SECONDS HOSTS

It answers GET /<number>.jpeg on each of its ports (one for each host) with one of the folder's photos, after the
latency. It runs in a process of its own, so its work counts for no contender, and it records the times of requests in
the same way for all: GET /counts returns them, GET /reset clears them. The first line of output has the ports.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

HOST = "127.0.0.1"
BACKLOG = 4096  # a client that opens hundreds of connections at once is answered by us, not by the kernel's limit


class Counts:
    """How many requests a port has answered, when the first came in and when the last was answered; CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self.requests, self.waiting, self.most_waiting, self.first, self.last = 0, 0, 0, 0.0, 0.0

    def begin(self) -> None:
        self.first = self.first or time.monotonic()
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)

    def end(self) -> None:
        self.waiting -= 1
        self.requests += 1
        self.last = time.monotonic()


class Shared:
    """What all connections share: whole answers, ready to be sent, and the counts of each port."""

    def __init__(self, photos: list[bytes], latency: float) -> None:
        self.answers = [http_answer("image/jpeg", photo) for photo in photos]
        self.latency = latency
        self.counts: dict[int, Counts] = {}


def http_answer(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


class Connection(asyncio.Protocol):
    """One client; it sends a request when it has read the answer to the one before."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.received.endswith(b"\r\n\r\n"):
            return
        path = self.received.split(b" ", 2)[1]
        closes = b"connection: close" in self.received.lower()
        self.received = b""
        if path == b"/counts":
            report = json.dumps({port: vars(counts) for port, counts in self.shared.counts.items()})
            self.answer(http_answer("application/json", report.encode("ascii")), closes)
        elif path == b"/reset":
            self.shared.counts = {port: Counts() for port in self.shared.counts}
            self.answer(http_answer("text/plain", b""), closes)
        else:
            number = int(path[1:].partition(b".")[0])
            photo = self.shared.answers[number % len(self.shared.answers)]
            counts = self.shared.counts[self.port]
            counts.begin()
            asyncio.get_running_loop().call_later(self.shared.latency, self.answer, photo, closes, counts)

    def answer(self, answer: bytes, closes: bool, counts: Counts | None = None) -> None:
        self.transport.write(answer)
        if counts is not None:
            counts.end()
        if closes:
            self.transport.close()


async def serve(shared: Shared, hosts: int) -> None:
    """Serve on so many free ports until the process is ended."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: Connection(shared), HOST, 0, backlog=BACKLOG) for _ in range(hosts)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    shared.counts |= {port: Counts() for port in ports}
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


def main(folder: str, latency: str, hosts: str) -> None:
    photos = [path.read_bytes() for path in sorted(Path(folder).glob("**/*.jp*g"))]
    asyncio.run(serve(Shared(photos, float(latency)), int(hosts)))


if __name__ == "__main__":
    main(*sys.argv[1:])
