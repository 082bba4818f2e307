"""TLS in front of a PostgreSQL that was built without it, as the sandbox's was."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.certificates import make_server_context

WANTS_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # the first 8 bytes of a client of PostgreSQL, by its protocol
ROOM = 65_536


@contextmanager
def tls_before(url: str, folder: Path) -> Iterator[str]:
    """Run a server that speaks TLS as PostgreSQL does, and forwards all to one that does not.

    Args:
        url: of the database.
        folder: for the certificate, which nobody has signed.

    Yields:
        The url by which the database is reached through TLS.
    """
    parts, context = urlsplit(url), make_server_context(folder)
    listener = socket.create_server(("127.0.0.1", 0))
    server = (str(parts.hostname), int(parts.port or 0))
    threading.Thread(target=accept, args=(listener, context, server), daemon=True).start()
    user = parts.netloc.rpartition("@")[0]
    try:
        netloc = f"{user}@127.0.0.1:{listener.getsockname()[1]}"
        yield parts._replace(netloc=netloc, query="sslmode=require").geturl()
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        listener.close()


def accept(listener: socket.socket, context: ssl.SSLContext, server: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):  # the listener is closed
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, context, server), daemon=True).start()


def serve(client: socket.socket, context: ssl.SSLContext, server: tuple[str, int]) -> None:
    """Serve one connection until either side ends it, or the client's bytes are not what it encrypted."""
    with client, contextlib.suppress(OSError), socket.create_connection(server) as plain:
        if client.recv(len(WANTS_TLS), socket.MSG_WAITALL) != WANTS_TLS:
            return
        client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as encrypted:
            while True:
                ready = [encrypted] if encrypted.pending() else select.select([encrypted, plain], [], [])[0]
                for source in ready:
                    data = source.recv(ROOM)
                    if not data:
                        return
                    (plain if source is encrypted else encrypted).sendall(data)
