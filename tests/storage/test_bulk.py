"""Many objects at once: existing ones are never overwritten, and every bit that is read is checked."""

import asyncio
import itertools
import re
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.config import Config

from imageset.errors import ObjectChanged, ObjectExists, ServerError, SettingsError
from imageset.storage import bulk
from imageset.storage.bucket import (
    BODY_ATTEMPTS,
    Bucket,
    ReadObject,
    StoredObject,
    get_object,
    list_objects,
    open_bucket,
    read_object,
)
from imageset.storage.bulk import FetchedObject
from imageset.storage.object_cache import ObjectCache
from tests.conftest import put
from tests.storage.answering import Answer, answering
from tests.storage.test_bucket import keep_versions, only

PHOTO = b"a photo of a shirt"
FLIPPED = b"a photo of a skirt"


class Wire(socketserver.ThreadingTCPServer):
    """A TCP proxy in front of a server: it counts requests, flips bits of PHOTO, and can hold back GETs."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        parts = urlsplit(endpoint)
        self.far_end = parts.hostname, parts.port
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: Counter[str] = Counter()
        self.passes = itertools.count()
        self.flipped = range(0)  # which passes of PHOTO, counted from 0
        self.held_from: float = float("inf")
        self.closed = threading.Event()

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with socket.create_connection(self.far_end) as far_end, suppress(OSError):
            threading.Thread(target=self.pass_on, args=(far_end, request), daemon=True).start()
            self.pass_on(request, far_end)

    def pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if method := re.match(rb"(GET|PUT) /", data):
                    self.asked[method[1].decode()] += 1
                    if self.asked["GET"] >= self.held_from:
                        self.closed.wait()
                if PHOTO in data and next(self.passes) in self.flipped:
                    data = data.replace(PHOTO, FLIPPED)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def wire_to(endpoint: str) -> Iterator[Wire]:
    with Wire(endpoint) as wire:
        threading.Thread(target=wire.serve_forever, args=(0.01,), daemon=True).start()
        yield wire
        wire.closed.set()
        wire.shutdown()


@pytest.fixture
def wire(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """A proxy in front of the bucket, for every bucket that is opened from now on."""
    with wire_to(bucket.client.meta.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def read_by_boto3(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that boto3 reads."""
    keys: list[str] = []
    real = read_object

    def read(bucket: Bucket, stored: StoredObject) -> ReadObject:
        keys.append(stored.key)
        return real(bucket, stored)

    monkeypatch.setattr(bulk, "read_object", read)
    return keys


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one attempt at each request."""
    monkeypatch.setattr(bulk, "RETRIES", 0)
    monkeypatch.setattr("imageset.storage.bucket.CONFIG", Config(retries={"total_max_attempts": 1}))


def put_new(bucket: Bucket, key: str, body: bytes) -> None:
    """Upload an object as ingest does."""
    asyncio.run(bulk.put_new(bulk.open_client(bucket), bucket, key, body, sha256(body).hexdigest()))


def put_in_parts(bucket: Bucket, key: str, body: bytes, **metadata: str) -> None:
    """Upload an object whose etag is not the md5 of its body."""
    place = {"Bucket": bucket.name, "Key": bucket.prefix + key}
    upload = {"UploadId": bucket.client.create_multipart_upload(**place, Metadata=metadata)["UploadId"]}
    etag = bucket.client.upload_part(**place, **upload, PartNumber=1, Body=body)["ETag"]
    bucket.client.complete_multipart_upload(
        **place, **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )


def get_all(bucket: Bucket, listed: list[StoredObject]) -> list[bytes | ObjectChanged]:
    """Read objects from the bucket, none from the disk."""
    with ThreadPoolExecutor(8) as threads:
        nothing = ObjectCache(Path("unused"), 0, bucket)
        return [fetched.body for fetched in bulk.get_all(threads, bulk.open_client(bucket), bucket, nothing, listed)]


def get(bucket: Bucket) -> bytes | ObjectChanged:
    """Read the only object in the bucket."""
    return get_all(bucket, [only(bucket)])[0]


def test_what_was_uploaded_is_read_and_never_overwritten(bucket: Bucket) -> None:
    bodies = {"1.jpeg": b"", "2.jpeg": PHOTO, "3.jpeg": bytes(range(256)) * 5000}
    for key, body in bodies.items():
        put_new(bucket, key, body)
        for other in (body, b"other", b""):
            with pytest.raises(ObjectExists, match=rf"{key} is already in s3://"):
                put_new(bucket, key, other)
    listed = list(list_objects(bucket))

    assert get_all(bucket, listed) == [get_object(bucket, stored) for stored in listed] == list(bodies.values())


def test_objects_under_an_odd_prefix_are_listed_and_read(bucket: Bucket, read_by_boto3: list[str]) -> None:
    for prefix in ("a b/\u00e9+/", "a%2Fb/", "~#*[x]%/", "e\u0301/", "\u670d/"):
        odd = replace(bucket, prefix=bucket.prefix + prefix)
        put_new(odd, "1.jpeg", prefix.encode())

        assert only(odd).key == "1.jpeg"
        assert get(odd) == prefix.encode()

    assert len(list(list_objects(bucket))) == 5
    assert read_by_boto3 == []


def test_objects_come_in_order_and_boto3_reads_only_those_without_a_checksum(
    bucket: Bucket, read_by_boto3: list[str]
) -> None:
    bodies: dict[str, bytes | ObjectChanged] = {"1.jpeg": bytes(range(256)) * 5000, "2.jpeg": b"sha256", "3.jpeg": b"3"}
    bodies |= {f"{number}.jpeg": str(number).encode() for number in range(10, 30)}
    for key, body in bodies.items():
        assert isinstance(body, bytes)
        metadata = {"sha256": sha256(body).hexdigest()} if key == "2.jpeg" else {}
        put_in_parts(bucket, key, body, **metadata) if key in ("2.jpeg", "3.jpeg") else put(bucket, key, body)
    listed = sorted(list_objects(bucket), key=lambda stored: -stored.bytes)

    assert get_all(bucket, listed) == [bodies[stored.key] for stored in listed]
    assert read_by_boto3 == ["3.jpeg"]


def test_objects_that_were_replaced_or_deleted_come_as_changed_among_the_others(bucket: Bucket) -> None:
    for number in range(4):
        put(bucket, f"{number}.jpeg", b"photo")
    put_in_parts(bucket, "4.jpeg", b"photo", sha256=sha256(b"photo").hexdigest())
    listed = list(list_objects(bucket))
    put(bucket, "1.jpeg", b"other")
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}2.jpeg")
    put_in_parts(bucket, "4.jpeg", b"other", sha256=sha256(b"other").hexdigest())
    got = get_all(bucket, listed)

    assert [body if isinstance(body, bytes) else str(body).split(" at ")[0] for body in got] == [
        b"photo",
        f"1.jpeg in s3://{bucket.name}/{bucket.prefix}",
        f"2.jpeg in s3://{bucket.name}/{bucket.prefix}",
        b"photo",
        f"4.jpeg in s3://{bucket.name}/{bucket.prefix}",
    ]
    assert all(isinstance(got[number], ObjectChanged) for number in (1, 2, 4))


@pytest.mark.parametrize(
    ("metadata", "listed_more", "problem"),
    [
        ({"sha256": sha256(b"other").hexdigest()}, 0, "is not what ingest uploaded"),
        ({}, 1, "has 5 bytes, but was listed with 6"),
        ({"sha256": sha256(b"photo").hexdigest()}, -1, "has 5 bytes, but was listed with 4"),
    ],
)
def test_bytes_that_contradict_the_metadata_or_the_listing_are_refused(
    metadata: dict[str, str], listed_more: int, problem: str, bucket: Bucket
) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=f"{bucket.prefix}1.jpeg", Body=b"photo", Metadata=metadata)
    stored = only(bucket)

    with pytest.raises(ServerError, match=rf"1\.jpeg {problem}"):
        get_all(bucket, [replace(stored, bytes=stored.bytes + listed_more)])


def test_the_listed_version_is_read_though_a_newer_one_exists(bucket: Bucket, read_by_boto3: list[str]) -> None:
    versioned = keep_versions(bucket)
    put(versioned, "1.jpeg", b"old")
    put(versioned, "2.jpeg", b"old")
    listed = list(list_objects(versioned))
    put(versioned, "1.jpeg", b"new")
    versioned.client.delete_object(Bucket=versioned.name, Key=f"{versioned.prefix}2.jpeg")

    assert get_all(versioned, [*listed, only(versioned)]) == [b"old", b"old", b"new"]
    assert read_by_boto3 == []


def test_boto3_reads_the_keys_that_obstore_refuses(bucket: Bucket, read_by_boto3: list[str]) -> None:
    for key in ("a/b", "\t.jpeg"):
        put(bucket, key, key.encode())
    listed = {stored.key: stored for stored in list_objects(bucket)}
    # SeaweedFS, unlike S3, treats "a//b" as "a/b".
    bodies = get_all(bucket, [listed["\t.jpeg"], listed["a/b"], replace(listed["a/b"], key="a//b")])

    assert bodies == [b"\t.jpeg", b"a/b", b"a/b"]
    assert sorted(read_by_boto3) == ["\t.jpeg", "a//b"]


def test_bits_that_flip_while_reading_are_corrected_or_refused(bucket: Bucket, wire: Wire) -> None:
    put(bucket, "1.jpeg", PHOTO)
    wire.flipped = range(2)

    assert get(open_bucket()) == PHOTO

    first = next(wire.passes) + 1
    wire.flipped = range(first, first + 1 + BODY_ATTEMPTS)
    with pytest.raises(ServerError, match=r"1\.jpeg broke off"):
        get(open_bucket())


@pytest.mark.parametrize("flipped", [0, 1])
def test_a_bit_that_flips_while_reading_an_object_without_a_checksum_is_corrected(
    flipped: int, bucket: Bucket, wire: Wire
) -> None:
    put_in_parts(bucket, "1.jpeg", PHOTO)
    wire.flipped = range(flipped, flipped + 1)

    assert get(open_bucket()) == PHOTO


# An etag that looks like an md5 and is none.
BY_KMS = {
    "ETag": f'"{"a" * 32}"',
    "Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT",
    "x-amz-server-side-encryption": "aws:kms",
}
WHOLE, SPOILED, REFUSED = Answer(200, PHOTO, BY_KMS), Answer(200, FLIPPED, BY_KMS), Answer(403, b"")


@pytest.mark.parametrize(
    "answers",
    [[WHOLE, WHOLE], [SPOILED, WHOLE, WHOLE], [WHOLE, SPOILED, WHOLE, WHOLE], [REFUSED, SPOILED, WHOLE, WHOLE]],
)
@pytest.mark.usefixtures("bucket", "impatient")
def test_an_object_that_kms_encrypts_is_read_until_two_reads_are_equal(
    answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter(answers)
    with answering(given) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        got = get_all(open_bucket(), [StoredObject("1.jpeg", "a" * 32, len(PHOTO), "")])

    assert got == [PHOTO]
    assert list(given) == []


def test_a_bit_that_flips_while_uploading_is_never_stored(bucket: Bucket, wire: Wire) -> None:
    wire.flipped = range(1)
    with suppress(ServerError):
        put_new(open_bucket(), "1.jpeg", PHOTO)
    stored = [get_object(bucket, stored) for stored in list_objects(bucket)]

    assert next(wire.passes) > 0
    assert stored in ([], [PHOTO])


@pytest.mark.parametrize(
    ("variable", "value", "put_problem", "get_problem"),
    [
        ("AWS_SECRET_ACCESS_KEY", "hidden-and-wrong", "SignatureDoesNotMatch", "check AWS_SECRET_ACCESS_KEY"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "error sending request", "cannot be reached.*AWS_ENDPOINT_URL"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_failure_is_one_line_with_its_reason_and_no_secret(
    variable: str, value: str, put_problem: str, get_problem: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "1.jpeg", b"photo")
    stored = only(bucket)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ServerError, match=rf"^s3://.* could not store 2\.jpeg .*{put_problem}") as of_put:
        put_new(open_bucket(), "2.jpeg", b"photo")
    with pytest.raises(ServerError, match=rf"^s3://.* at http://127\.0\.0\.1:.*{get_problem}") as of_get:
        get_all(open_bucket(), [stored])

    for message in (str(of_put.value), str(of_get.value)):
        assert not re.search("hidden|sandbox|<|\n", message)


@pytest.mark.usefixtures("bucket", "impatient")
def test_a_bucket_that_is_gone_when_a_photo_is_put_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"<Error><Code>NoSuchBucket</Code><AWSAccessKeyId>hidden</AWSAccessKeyId></Error>"
    with answering([Answer(404, body)]) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(ServerError, match=r"^s3://.* could not store 1\.jpeg \(NoSuchBucket\): run again$"):
            put_new(open_bucket(), "1.jpeg", b"photo")


def test_without_credentials_the_variables_are_named(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"):
        bulk.open_client(open_bucket())


def test_variables_that_boto3_does_not_know_change_nothing(
    bucket: Bucket, read_by_boto3: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SKIP_SIGNATURE", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_S3_EXPRESS"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    put_new(bucket, "1.jpeg", b"photo")

    assert (get(bucket), read_by_boto3) == (b"photo", [])


# Through the disk


def get_through_disk(folder: Path, listed: list[StoredObject]) -> list[FetchedObject]:
    """Read objects as a process of its own does."""
    bucket = open_bucket()
    with ThreadPoolExecutor(8) as threads, closing(ObjectCache(folder, 1_000_000, bucket)) as cache:
        return list(bulk.get_all(threads, bulk.open_client(bucket), bucket, cache, listed))


def test_the_bucket_is_asked_once_for_an_object(bucket: Bucket, wire: Wire, tmp_path: Path) -> None:
    bodies = [b"", PHOTO, bytes(range(256)) * 100]
    for number, body in enumerate(bodies):
        put(bucket, f"{number}.jpeg", body)
    put_in_parts(bucket, "3.jpeg", b"no md5", sha256=sha256(b"no md5").hexdigest())
    listed = list(list_objects(bucket))
    first = get_through_disk(tmp_path, listed[:2])
    asked = wire.asked["GET"]
    second = get_through_disk(tmp_path, listed)
    third = get_through_disk(tmp_path, listed)

    assert asked == 2
    assert wire.asked["GET"] == 4
    assert [fetched.body for fetched in first] == bodies[:2]
    assert [fetched.body for fetched in second] == [fetched.body for fetched in third] == [*bodies, b"no md5"]
    assert [fetched.asked for fetched in first + second + third] == [True] * 2 + [False] * 2 + [True] * 2 + [False] * 4


def test_an_object_that_changed_is_found_as_it_was_listed_or_not_at_all(
    bucket: Bucket, wire: Wire, tmp_path: Path
) -> None:
    for number in range(2):
        put(bucket, f"{number}.jpeg", PHOTO + bytes([number]))
    listed = list(list_objects(bucket))
    get_through_disk(tmp_path, listed[:1])
    for stored in listed:
        put(bucket, stored.key, b"other")
    got = [get_through_disk(tmp_path, listed) for _ in range(2)]
    (new,) = get_through_disk(tmp_path, list(list_objects(bucket))[:1])

    assert [(kept, changed.asked) for kept, changed in got] == [((PHOTO + b"\0", False), True)] * 2
    assert all(isinstance(changed.body, ObjectChanged) for _, changed in got)
    assert new == (b"other", True)


def test_what_is_damaged_on_the_disk_is_asked_for_again(bucket: Bucket, wire: Wire, tmp_path: Path) -> None:
    put(bucket, "1.jpeg", PHOTO)
    listed = list(list_objects(bucket))
    get_through_disk(tmp_path, listed)
    (pack,) = tmp_path.glob("*.pack")
    pack.write_bytes(FLIPPED)

    assert get_through_disk(tmp_path, listed) == [(PHOTO, True)]
    assert get_through_disk(tmp_path, listed) == [(PHOTO, False)]


def test_bytes_that_were_not_proven_are_not_kept(bucket: Bucket, wire: Wire, tmp_path: Path) -> None:
    put(bucket, "1.jpeg", PHOTO)
    stored = only(bucket)
    with pytest.raises(ServerError, match="was listed with"):
        get_through_disk(tmp_path, [replace(stored, bytes=stored.bytes + 1)])

    assert list(tmp_path.glob("*.pack")) == []
