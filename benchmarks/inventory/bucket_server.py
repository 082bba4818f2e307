"""A server that answers like S3 for so many keys: the two requests that stage inventory makes."""

from bisect import bisect_left
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from urllib.parse import parse_qsl, quote, urlsplit
from xml.sax.saxutils import escape

STRANGE = ("a//b", "..", "x.txt", "é.jpeg", "e\u0301.jpeg", "a b+c%2F", "007.jpeg", "1-0.jpeg", "9.jpeg\n")
PREFIX = "photos/"
NEIGHBOUR = "photos-old/1.jpeg"
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def product_id(number: int) -> int:
    """Return ids that rise with number and have one to ten digits, so that keys stand in another order."""
    return 1 + 1009 * number


class Bucket(BaseHTTPRequestHandler):
    """A bucket without versions; `held` are its keys in the order of their UTF-8 bytes."""

    held: tuple[str, ...] = ()
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second would wait for an acknowledgement

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if "versioning" in query:
            body = f"<VersioningConfiguration {NAMESPACE}/>"
        else:
            body = self.listing(
                query["prefix"],
                int(query["max-keys"]),
                query.get("continuation-token", ""),
                url=query.get("encoding-type") == "url",
            )
        content = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def listing(self, prefix: str, most: int, token: str, url: bool) -> str:
        """Return the page that begins at the token, a place in `held`, or where the prefix begins."""

        def spell(key: str) -> str:
            return quote(key, safe="/") if url else escape(key)

        start = int(token) if token else bisect_left(self.held, prefix.encode(), key=str.encode)
        page = [
            (number, key) for number, key in enumerate(self.held[start : start + most], start) if key.startswith(prefix)
        ]
        end = start + len(page)
        more = len(page) == most and end < len(self.held) and self.held[end].startswith(prefix)
        entries = "".join(
            f"<Contents><Key>{spell(key)}</Key><LastModified>2026-01-31T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{number:032x}&quot;</ETag><Size>{100_000 + number % 100_000}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for number, key in page
        )
        after = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        encoding = "<EncodingType>url</EncodingType>" if url else ""
        return (
            f"<ListBucketResult {NAMESPACE}><Name>bucket</Name><Prefix>{spell(prefix)}</Prefix>"
            f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{most}</MaxKeys>{encoding}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{after}{entries}</ListBucketResult>"
        )

    def log_message(self, *arguments: object) -> None:
        pass


def serve(photos: int, foreign: int, port: Connection) -> None:
    """Answer as a bucket of so many keys, and the strange ones; tell the port once it can."""
    held = [f"{PREFIX}{product_id(number)}.jpeg" for number in range(photos)]
    held += [f"{PREFIX}thumbnails/{product_id(number)}.webp" for number in range(foreign)]
    held += [PREFIX + key for key in STRANGE]
    Bucket.held = tuple(sorted([*held, NEIGHBOUR], key=str.encode))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    port.send(server.server_port)
    server.serve_forever()
