"""The bucket, on a real S3 server: list objects, read what was listed."""

import itertools
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.retries.standard import ExponentialBackoff

from imageset.errors import ImagesetError, ObjectChanged, ServerError, SettingsError
from imageset.storage.bucket import BODY_ATTEMPTS, Bucket, StoredObject, get_object, list_objects, open_bucket
from tests.conftest import put
from tests.faults.proxy import TO_CLIENT, Proxy
from tests.storage.answering import Answer, answering

ODD_KEYS = ["a b+c%20d", "é.jpeg", "e\u0301.jpeg", "x.txt", "1.jpeg", "deep/er/1.jpeg", "&<>\"'.jpeg"]


def only(bucket: Bucket) -> StoredObject:
    """Return the only object in the bucket."""
    (stored,) = list_objects(bucket)
    return stored


def keep_versions(bucket: Bucket) -> Bucket:
    """Return a new bucket that keeps versions, with the same prefix."""
    name = f"versioned-{secrets.token_hex(4)}"
    bucket.client.create_bucket(Bucket=name)
    bucket.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return replace(bucket, name=name)


@pytest.fixture
def versioned(bucket: Bucket) -> Bucket:
    return keep_versions(bucket)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 make one attempt at each request, without its waits, and remember no credentials."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr("imageset.storage.bucket.CONFIG", Config(retries={"total_max_attempts": 1}, connect_timeout=5))


class Broken(BaseHTTPRequestHandler):
    """An S3 server that cannot read an object: its disk has damaged it."""

    def do_GET(self) -> None:
        body = b"<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>"
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_an_object_that_the_server_cannot_read_is_named(
    bucket: Bucket, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "1.jpeg", b"a photo")
    stored = only(bucket)
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server, ThreadPoolExecutor(1) as thread:
        thread.submit(server.serve_forever)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(ServerError) as caught:
            get_object(open_bucket(Config(retries={"total_max_attempts": 1})), stored)
        server.shutdown()

    assert re.search(r" answered InternalError for 1\.jpeg: run again; .* remove it, and ", str(caught.value))


def test_an_empty_bucket_lists_nothing(bucket: Bucket) -> None:
    assert list(list_objects(bucket)) == []


@pytest.mark.parametrize("page", [1000, 20, 19, 7, 1])
def test_every_object_is_listed_once_whatever_the_page_length(bucket: Bucket, page: int) -> None:
    bodies = {f"{number}.jpeg": bytes(number) for number in range(20)}
    for key, body in bodies.items():
        put(bucket, key, body)
    listed = list(list_objects(bucket, page))

    assert [stored.key for stored in listed] == sorted(bodies)
    assert {stored.key: stored.bytes for stored in listed} == {key: len(body) for key, body in bodies.items()}
    assert {stored.version_id for stored in listed} == {""}


def test_odd_keys_are_listed_and_read(bucket: Bucket) -> None:
    for key in ODD_KEYS:
        put(bucket, key, key.encode())
    listed = list(list_objects(bucket))

    assert sorted(stored.key for stored in listed) == sorted(ODD_KEYS)
    assert all(get_object(bucket, stored) == stored.key.encode() for stored in listed)


def test_objects_outside_the_prefix_are_not_listed(bucket: Bucket) -> None:
    for prefix in (bucket.prefix, bucket.prefix.rstrip("/") + "0/", f"other/{bucket.prefix}"):
        put(replace(bucket, prefix=prefix), "1.jpeg", b"photo")

    assert only(bucket).key == "1.jpeg"


def test_bytes_that_ingest_did_not_upload_are_refused(bucket: Bucket) -> None:
    """Another program's object with ingest's metadata: its etag and length are right, its bytes are not."""
    bucket.client.put_object(
        Bucket=bucket.name,
        Key=f"{bucket.prefix}1.jpeg",
        Body=b"other",
        Metadata={"sha256": sha256(b"photo").hexdigest()},
    )

    with pytest.raises(ServerError, match=r"1\.jpeg is not what ingest uploaded"):
        get_object(bucket, only(bucket))


@pytest.mark.parametrize("body", [b"other", b"phot", b""])
def test_an_object_that_was_replaced_is_not_read(bucket: Bucket, body: bytes) -> None:
    put(bucket, "1.jpeg", b"photo")
    stored = only(bucket)
    put(bucket, "1.jpeg", body)

    with pytest.raises(ObjectChanged, match=r"1\.jpeg in s3://.* changed after it was listed"):
        get_object(bucket, stored)


def test_an_object_that_was_deleted_is_not_read(bucket: Bucket) -> None:
    put(bucket, "1.jpeg", b"photo")
    stored = only(bucket)
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + stored.key)

    assert list(list_objects(bucket)) == []
    with pytest.raises(ObjectChanged):
        get_object(bucket, stored)


def test_an_object_of_another_length_than_listed_is_refused(bucket: Bucket) -> None:
    put(bucket, "1.jpeg", b"photo")

    with pytest.raises(ServerError, match=r"1\.jpeg has 5 bytes, but was listed with 6"):
        get_object(bucket, replace(only(bucket), bytes=6))


def break_bodies(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Cut off this many bodies of real answers, as a reset connection does."""
    real, left = bucket.client.get_object, iter(range(times))

    def get_object(**arguments: Any) -> Any:
        answer = real(**arguments)
        if next(left, None) is not None:
            answer["Body"].read(1)
            answer["Body"]._raw_stream.close()
        return answer

    monkeypatch.setattr(bucket.client, "get_object", get_object)


def test_a_body_that_breaks_off_is_requested_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, "1.jpeg", bytes(100_000))
    break_bodies(bucket, monkeypatch, BODY_ATTEMPTS - 1)

    assert get_object(bucket, only(bucket)) == bytes(100_000)


def test_a_body_that_keeps_breaking_off_is_an_error_with_the_key(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "1.jpeg", bytes(100_000))
    break_bodies(bucket, monkeypatch, BODY_ATTEMPTS)

    with pytest.raises(ServerError, match=r"1\.jpeg broke off in each of 4 attempts"):
        get_object(bucket, only(bucket))


def test_an_object_put_in_parts_is_read(bucket: Bucket) -> None:
    """Its etag is not the md5 of its body."""
    place = {"Bucket": bucket.name, "Key": f"{bucket.prefix}1.jpeg"}
    upload = bucket.client.create_multipart_upload(**place)["UploadId"]
    bodies = [b"a" * 5 * 2**20, b"b"]
    parts = [
        {
            "PartNumber": number,
            "ETag": bucket.client.upload_part(**place, UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate(bodies, 1)
    ]
    bucket.client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})

    assert only(bucket).etag.endswith("-2")
    assert get_object(bucket, only(bucket)) == b"".join(bodies)


def test_a_bucket_with_versions_lists_the_latest_and_still_gives_the_listed_version(versioned: Bucket) -> None:
    for key in ("1.jpeg", "2.jpeg"):
        put(versioned, key, b"old")
    old, other = list_objects(versioned)
    put(versioned, "1.jpeg", b"new")
    versioned.client.delete_object(Bucket=versioned.name, Key=f"{versioned.prefix}2.jpeg")
    new = only(versioned)

    assert (old.key, new.key) == ("1.jpeg", "1.jpeg")
    assert len({old.version_id, new.version_id, other.version_id, ""}) == 4
    assert [get_object(versioned, stored) for stored in (old, new, other)] == [b"old", b"new", b"old"]


def test_objects_from_before_a_bucket_kept_versions_are_listed(versioned: Bucket) -> None:
    plain = replace(versioned, name=f"plain-{secrets.token_hex(4)}")
    plain.client.create_bucket(Bucket=plain.name)
    put(plain, "1.jpeg", b"photo")
    plain.client.put_bucket_versioning(Bucket=plain.name, VersioningConfiguration={"Status": "Enabled"})

    assert only(plain).version_id == ""
    assert get_object(plain, only(plain)) == b"photo"


def refusal(error: type[ImagesetError]) -> str:
    """Return the error's message when the bucket in the environment is listed."""
    with pytest.raises(error) as caught:
        list(list_objects(open_bucket()))
    return str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("IMAGE_STORE", "s3://no-such-bucket/photos", "check the bucket in IMAGE_STORE"),
        ("AWS_ACCESS_KEY_ID", "unknown", "check AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "hidden-and-wrong", "check AWS_SECRET_ACCESS_KEY"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "cannot be reached.*AWS_ENDPOINT_URL"),
    ],
)
@pytest.mark.usefixtures("bucket", "impatient")
def test_a_wrong_setting_is_one_line_with_bucket_and_setting_and_no_secret(
    variable: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    message = refusal(ServerError)

    assert re.match(f"s3://.* at http://127.0.0.1:.*{problem}", message)
    assert "\n" not in message
    assert "hidden" not in message


@pytest.mark.parametrize(
    ("variable", "value"), [("AWS_SECRET_ACCESS_KEY", None), ("AWS_ENDPOINT_URL", "no url"), ("AWS_PROFILE", "nobody")]
)
@pytest.mark.usefixtures("bucket", "impatient")
def test_settings_that_cannot_be_used_are_refused_before_any_request(
    variable: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)

    assert re.search("AWS", refusal(SettingsError))


@pytest.mark.usefixtures("bucket", "impatient")
def test_without_credentials_the_variables_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set" in refusal(SettingsError)


def test_a_listing_is_complete_just_below_at_and_above_a_thousand_keys(bucket: Bucket) -> None:
    """S3 lists at most a thousand keys a request. Each prefix here holds one key more than the one inside it."""
    held = ["1.jpeg", "1/1.jpeg", *(f"1/1/{number}.jpeg" for number in range(999))]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: put(bucket, key, b""), held))
    for prefix, count in (("1/1/", 999), ("1/", 1000), ("", 1001)):
        inside = replace(bucket, prefix=bucket.prefix + prefix)
        expected = sorted(key.removeprefix(prefix) for key in held if key.startswith(prefix))

        assert len(expected) == count
        for page in (1000, 7):
            assert sorted(stored.key for stored in list_objects(inside, page)) == expected


def test_odd_keys_are_listed_when_a_page_ends_at_each(bucket: Bucket) -> None:
    """The last key of a page is sent back to the server, which must find its place again."""
    odd = [
        "1.jpeg\n",
        "\t.jpeg",
        " 1.jpeg",
        "1.jpeg ",
        "%2F",
        "%",
        "+",
        "a+b c",
        "?a=b&c",
        "#",
        "*",
        "~",
        "é",
        "e\u0301",
        "\uff11.jpeg",
        "\U0001f600.jpeg",
    ]
    for key in odd:
        put(bucket, key, b"")

    assert sorted(stored.key for stored in list_objects(bucket, page=1)) == sorted(odd)


@pytest.mark.parametrize("page", [1000, 3, 2, 1])
def test_the_latest_version_is_listed_wherever_a_page_ends(versioned: Bucket, page: int) -> None:
    for number in range(4):
        for version in range(number + 1):
            put(versioned, f"{number}.jpeg", bytes(10 * number + version))
    for number in (0, 2):
        versioned.client.delete_object(Bucket=versioned.name, Key=f"{versioned.prefix}{number}.jpeg")
    put(versioned, "2.jpeg", bytes(99))

    assert [(stored.key, stored.bytes) for stored in list_objects(versioned, page)] == [
        ("1.jpeg", 11),
        ("2.jpeg", 99),
        ("3.jpeg", 33),
    ]


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://me:hidden@127.0.0.1:1",
        "http://me:hid/den@127.0.0.1:1",
        "me:hidden@host",
        "http://127.0.0.1:1/?key=hidden",
    ],
)
@pytest.mark.usefixtures("bucket")
def test_credentials_in_the_endpoint_are_refused_and_not_quoted(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(SettingsError, match=r"^AWS_ENDPOINT_URL has a user") as caught:
        open_bucket()

    assert "hid" not in str(caught.value)


PAGE = b"<!doctype html><html lang=en><meta charset=utf-8><title>Console</title></html>"
AS_HTML = {"Content-Type": "text/html; charset=utf-8"}
LISTED = b"<ListBucketResult><Name>photos</Name><Contents>%s</Contents></ListBucketResult>"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, PAGE, AS_HTML),
        Answer(206, PAGE),
        Answer(301, PAGE, AS_HTML | {"Location": "https://127.0.0.1/photos"}),
        Answer(200, b"<html><head/><body/></html>"),
        Answer(200, b""),
        Answer(200, LISTED % b"<Key>1.jpeg</Key><ETag>a</ETag><Size>1x</Size>"),
        Answer(200, LISTED % b"<Key>1.jpeg</Key><Size>1</Size>"),
    ],
)
@pytest.mark.usefixtures("bucket", "impatient")
def test_an_endpoint_that_is_no_s3_server_is_one_line(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a web console, or a server that redirects to https. None is an empty bucket."""
    with answering(itertools.repeat(answer)) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        message = refusal(ServerError)

    assert re.match(
        f"s3://.* at {endpoint} answered .* no S3 server does.*: check that AWS_ENDPOINT_URL names", message
    )
    assert "\n" not in message


@pytest.mark.usefixtures("bucket", "impatient")
def test_an_answer_with_a_checksum_that_is_none_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering([Answer(200, b"photo", {"x-amz-checksum-crc32": "AAAAA"})]) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(ServerError, match=r"answered the request for 1\.jpeg as no S3 server does"):
            get_object(open_bucket(), StoredObject("1.jpeg", "a", 5, ""))


def retrying(seconds: float) -> Config:
    """Return the settings of a client that retries twice, and waits so long for each answer. It counts retries."""
    return Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=1, read_timeout=seconds)


def test_a_bucket_that_is_silent_is_asked_a_fixed_number_of_times(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)  # before a retry
    put(bucket, "1.jpeg", bytes(200_000))
    (stored,) = list_objects(bucket)
    with Proxy.before(bucket.client.meta.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.replace(bucket.client.meta.endpoint_url))
        # Silent within the body, which is asked for once more; then from the start, where no answer needs time.
        for at, seconds, connections in ((100_000, 1.0, 1 + 3), (0, 0.2, 3)):
            proxy.restore()
            silent = open_bucket(retrying(seconds))
            proxy.drop(TO_CLIENT, at=at)
            with pytest.raises(ServerError, match=r"cannot be reached \(ReadTimeoutError\)"):
                get_object(silent, stored)

            assert proxy.injected == 1
            assert proxy.connections == connections
        with pytest.raises(ServerError, match="cannot be reached"):
            list(list_objects(open_bucket(retrying(0.2))))
