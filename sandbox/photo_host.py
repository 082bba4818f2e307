"""Serve a folder of photos over HTTP."""

import http.server
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


@contextmanager
def photo_host(folder: Path, port: int) -> Iterator[None]:
    """Serve the photos over HTTP on loopback, in threads of this process."""
    http.server.ThreadingHTTPServer.request_queue_size = 128
    with http.server.ThreadingHTTPServer((HOST, port), partial(PhotoHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
