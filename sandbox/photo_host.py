"""Serve a folder of photos over HTTP."""

import http.server
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sandbox.ports import HOST


class PhotoHandler(http.server.SimpleHTTPRequestHandler):
    """Serve the files of a folder, without a log."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def list_directory(self, path: object) -> None:
        self.send_error(404)


class PhotoServer(http.server.ThreadingHTTPServer):
    """Answer each request in a thread. A client that was killed is no news."""

    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def photo_host(folder: Path, port: int) -> Iterator[None]:
    """Serve the photos over HTTP on loopback, in threads of this process."""
    with PhotoServer((HOST, port), partial(PhotoHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
