"""s3://bucket/key: only objects of buckets that are allowed, by their very keys, from a real server."""

import asyncio
import secrets
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from obstore.store import S3Store

from imageset.errors import BadUrl, Refused, Unreachable
from imageset.storage import bulk
from imageset.storage.bucket import Bucket, open_bucket
from imageset.web import host_limits
from imageset.web.bucket_urls import parse, read_object
from imageset.web.web_client import WebClient
from tests.conftest import jpeg, plain_image, put

PHOTO = jpeg(plain_image())
MAX_BYTES = 100_000


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_limits, "FIRST_PAUSE", 0.001)


@pytest.fixture
def other(bucket: Bucket) -> Bucket:
    """Another bucket of the same server."""
    name = f"other-{secrets.token_hex(4)}"
    bucket.client.create_bucket(Bucket=name)
    return replace(bucket, name=name, prefix="")


def ask(url: str, *buckets: Bucket, times: int = 1) -> bytes | str:
    """Return the object behind a URL, or why there is none; its bucket's only slot must be free afterwards."""

    async def main() -> bytes | str:
        stores = {bucket.name: bulk.open_client(bucket, retries=0) for bucket in buckets}
        async with asyncio.timeout(60), WebClient(frozenset(), 1, MAX_BYTES, frozenset()) as client:
            for _ in range(times):
                result = await outcome(client, stores, url)
            for host in client.hosts.values():
                async with asyncio.timeout(5), host.slots.acquire(1):
                    pass
            return result

    return asyncio.run(main())


async def outcome(client: WebClient, stores: dict[str, S3Store], url: str) -> bytes | str:
    try:
        async with read_object(client, stores, url) as body:
            return body.content
    except Refused as refusal:
        return str(refusal)
    except Unreachable as failure:
        return f"{'final' if failure.final else 'unreachable'}: {failure}"


KEYS = [
    "1.jpg",
    "hats/a b.jpg",
    "caf\u00e9.jpg",
    "50% off?#1.jpg",
    "%2e%2e/x.jpg",
    "a*b~c^d|e{f}[g]\\h.jpg",
    "a+b&c=d.jpg",
]


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_read_by_its_very_key(key: str, other: Bucket) -> None:
    put(other, key, PHOTO)

    assert ask(f"s3://{other.name}/{key}", other) == PHOTO
    assert ask(f"S3://{other.name}/{key}", other) == PHOTO


def test_a_bucket_that_no_setting_names_is_not_asked(bucket: Bucket, other: Bucket) -> None:
    put(bucket, "1.jpg", PHOTO)

    assert ask(f"s3://{bucket.name}/{bucket.prefix}1.jpg", other) == "bucket_not_allowed"
    assert ask(f"s3://{bucket.name}/{bucket.prefix}1.jpg") == "bucket_not_allowed"


def test_other_objects_are_refused_with_their_reasons(other: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    put(other, "large.jpg", PHOTO + bytes(MAX_BYTES))
    put(other, "page.jpg", b"<!DOCTYPE html><html>")
    put(other, "NoSuchBucket", b"")

    assert ask(f"s3://{other.name}/large.jpg", other) == "too_large"
    assert ask(f"s3://{other.name}/page.jpg", other) == "not_an_image"
    assert ask(f"s3://{other.name}/none.jpg", other, times=9) == "not_found"
    assert ask(f"s3://{other.name}/NoSuchBucket/none", other) == "not_found"

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    assert ask(f"s3://{other.name}/large.jpg", replace(open_bucket(), name=other.name, prefix="")) == "forbidden"


def test_a_bucket_that_is_not_there_leaves_the_photo_pending(bucket: Bucket) -> None:
    gone = replace(bucket, name="no-such-bucket", prefix="")

    assert ask("s3://no-such-bucket/1.jpg", gone) == "final: s3://no-such-bucket: there is no such bucket"


class Failing(socketserver.StreamRequestHandler):
    """Answers each request with what the server's list has next."""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(self.server.answers.pop(0))  # type: ignore[attr-defined]


@contextmanager
def failing(bucket: Bucket, *answers: bytes) -> Iterator[Bucket]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Failing) as server:
        server.answers = list(answers)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
            yield replace(open_bucket(), name="shop", prefix="")
        server.shutdown()


def answer(status: str, body: bytes = b"", length: int | None = None) -> bytes:
    head = f'HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\nETag: "a"\r\n'
    return f"{head}Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\nConnection: close\r\n\r\n".encode() + body


def test_failures_that_pass_can_be_tried_again(bucket: Bucket) -> None:
    broken = answer("500 Error"), answer("503 Slow Down"), answer("200 OK", PHOTO[:50], len(PHOTO)), b"nonsense"
    with failing(bucket, *broken, answer("200 OK", PHOTO)) as server:

        async def main() -> list[bytes | str]:
            stores = {"shop": bulk.open_client(server, retries=0)}
            async with asyncio.timeout(60), WebClient(frozenset(), 1, MAX_BYTES, frozenset()) as client:
                return [await outcome(client, stores, "s3://shop/1.jpg") for _ in range(5)]

        *failed, last = asyncio.run(main())

    assert failed[:2] == ["unreachable: s3://shop: status 500", "unreachable: s3://shop: status 503"]
    assert all(str(one).startswith("unreachable: s3://shop: ") for one in failed)
    assert last == PHOTO


def test_a_bucket_that_only_fails_is_given_up(bucket: Bucket) -> None:
    with failing(bucket, *[answer("500 Error")] * 100) as server:
        assert ask("s3://shop/1.jpg", server, times=50) == "final: s3://shop: status 500"


def test_a_key_that_looks_like_an_answer_is_not_taken_for_one(bucket: Bucket) -> None:
    """Else one URL of a seller would leave its photo pending for ever, and the stage would fail."""
    answers = answer("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>"), answer("503 Slow Down")
    with failing(bucket, *answers) as server:
        assert ask("s3://shop/<Code>NoSuchBucket</Code>.jpg", server) == "not_found"
        assert ask("s3://shop/status 404.jpg", server) == "unreachable: s3://shop: status 503"


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://shop",
        "s3://shop/",
        "s3:///1.jpg",
        "s3:shop/1.jpg",
        "s3://shop//1.jpg",
        "s3://shop/1.jpg/",
        "s3://shop/a//b.jpg",
        "s3://shop/../other/1.jpg",
        "s3://shop/a/../1.jpg",
        "s3://shop/./1.jpg",
        "s3://shop/..",
        "s3://../1.jpg",
        "s3://Shop/1.jpg",
        "s3://user@shop/1.jpg",
        "s3://shop:80/1.jpg",
        "s3://shop%2f/1.jpg",
        "s3://shop/1\0.jpg",
        "s3://shop/1\n.jpg",
        f"s3://shop/{'a' * 1025}",
        " s3://shop/1.jpg",
    ],
)
def test_other_spellings_are_bad_urls(url: str, bucket: Bucket) -> None:
    with pytest.raises(BadUrl):
        parse(url)
    assert ask(url, replace(bucket, name="shop", prefix="")) == "bad_url"
