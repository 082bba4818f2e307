"""A TCP proxy in a thread, in front of any server. It cuts, drops, delays, flips bits, or refuses, as a test says.

    with Proxy.before("postgresql://user@127.0.0.1:5432/shop") as proxy:
        proxy.cut(TO_CLIENT, at=10_000)
        run(DATABASE_URL=proxy.replace("postgresql://user@127.0.0.1:5432/shop"))
        assert proxy.injected

Bytes are counted over all connections of a direction, from 0, since the proxy began or `restore` was called.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

Direction = Literal["to the server", "to the client"]
TO_SERVER: Direction = "to the server"
TO_CLIENT: Direction = "to the client"
ROOM = 65_536
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST and drops what is not sent


class Proxy:
    """Forwards each connection to a server, until a fault begins.

    Attributes:
        port: the port of 127.0.0.1 that clients connect to.
        counted: the bytes of each direction that have come to the proxy.
        connections: how many connections clients have made.
        injected: how often a fault has happened. A trial in which it is 0 is no trial.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self.lock = threading.RLock()
        self.open: set[socket.socket] = set()
        self.restore_counts()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.listen()

    @classmethod
    def before(cls, url: str) -> Self:
        """Return a proxy in front of the server that a URL names."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port, "name the port"
        return cls(parts.hostname, parts.port)

    def replace(self, url: str) -> str:
        """Return the URL with the proxy's host and port in place of its own."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{user + '@' if user else ''}127.0.0.1:{self.port}").geturl()

    def cut(self, direction: Direction, at: int, stay_down: bool = True) -> None:
        """Reset all connections once so many bytes of a direction were forwarded.

        Args:
            stay_down: refuse all later connections, as a server that died does. Else the proxy forwards them.
        """
        self.faults[direction] = (at, lambda data: self.cut_now(stay_down))

    def cut_now(self, stay_down: bool = True) -> bytes:
        """Reset all connections."""
        with self.lock:
            self.injected += 1
            self.faults.clear()
            if stay_down:
                self.stop_listening()
            for each in list(self.open):
                reset(each)
        return b""

    def kill(self, direction: Direction, at: int, kill: Callable[[], None], stay_down: bool = True) -> None:
        """Kill the server once so many bytes of a direction were forwarded. What follows in this direction is lost.

        Args:
            kill: kills the server, or a process of it. The kernel then ends the connections.
            stay_down: refuse new connections until `restore`, as the kernel does where nobody listens.
        """

        def killed(data: bytes) -> bytes:
            self.injected += 1
            self.faults.clear()
            if stay_down:
                self.stop_listening()
            kill()
            return b""

        self.faults[direction] = (at, killed)

    def drop(self, direction: Direction, at: int = 0) -> None:
        """Forward nothing any more in either direction once so many bytes were forwarded; keep all connections open.

        The proxy's kernel still acknowledges what it gets. To the client, the server is alive and silent.
        """
        self.faults[direction] = (at, lambda data: self.drop_now())

    def drop_now(self) -> bytes:
        """Forward nothing any more, and keep all connections open. New ones are accepted and get no answer."""
        with self.lock:
            self.injected += 1
            self.silent = True
        return b""

    def flip(self, direction: Direction, at: int, bit: int = 0) -> None:
        """Flip a bit of the byte at a position of a direction, once."""

        def flipped(data: bytes) -> bytes:
            self.injected += 1
            self.faults.pop(direction)
            return bytes([data[0] ^ 1 << bit]) + data[1:]

        self.faults[direction] = (at, flipped)

    def delay(self, seconds: float) -> None:
        """Wait so long before each piece (at most 64 kB) of either direction is forwarded."""
        self.injected += 1
        self.seconds = seconds

    def refuse(self) -> None:
        """Refuse all new connections, as where no server runs. Those that are open go on."""
        self.injected += 1
        self.stop_listening()

    def restore(self) -> None:
        """Forward all again, and count from 0. Connections that were silent are reset."""
        refused = self.refused
        if self.silent:
            for each in list(self.open):
                reset(each)
        self.restore_counts()
        if refused:
            self.listen()

    def restore_counts(self) -> None:
        self.counted: dict[Direction, int] = {TO_SERVER: 0, TO_CLIENT: 0}
        self.faults: dict[Direction, tuple[int, Callable[[bytes], bytes]]] = {}
        self.connections = 0
        self.injected = 0
        self.seconds = 0.0
        self.silent = False
        self.refused = False

    def listen(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop_listening(self) -> None:
        self.refused = True
        with contextlib.suppress(OSError):  # it is closed already
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()

    def accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # stop_listening
            self.connections += 1
            try:
                server = socket.create_connection(self.server, timeout=10)
                server.settimeout(None)
            except OSError:
                reset(client)
                continue
            with self.lock:
                self.open |= {client, server}
                if self.refused:
                    reset(client)
                    reset(server)
            for source, target, direction in ((client, server, TO_SERVER), (server, client, TO_CLIENT)):
                threading.Thread(target=self.forward, args=(source, target, direction), daemon=True).start()

    def forward(self, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        """Forward one direction of one connection until it ends."""
        try:
            while data := source.recv(ROOM):
                if self.seconds:
                    time.sleep(self.seconds)
                with self.lock:
                    data = self.pass_on(data, direction)
                if data:
                    target.sendall(data)
            if not self.silent:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            reset(target)

    def pass_on(self, data: bytes, direction: Direction) -> bytes:
        """Count the bytes, begin the fault if they reach it, and return what to forward."""
        begin = self.counted[direction]
        self.counted[direction] += len(data)
        if self.silent:
            return b""
        at, fault = self.faults.get(direction, (None, None))
        if at is None or fault is None or at >= begin + len(data):
            return data
        place = max(at - begin, 0)
        return data[:place] + fault(data[place:])

    def close(self) -> None:
        """End the proxy and all its connections."""
        self.stop_listening()
        with self.lock:
            for each in list(self.open):
                reset(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reset(connection: socket.socket) -> None:
    """Close a connection at once; the other side gets a reset. Threads that wait for it wake up."""
    with contextlib.suppress(OSError):  # it is closed already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        # A close alone wakes no thread that is in recv, and the socket stays open as long as that.
        connection.shutdown(socket.SHUT_RD)
    connection.close()
