"""The bucket: list its objects, and read exactly what was listed."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from imageset.errors import ObjectChanged, ServerError, SettingsError
from imageset.runtime import settings

# Checksums stay at boto3's default (when_supported): they catch bits that flip on the way, in both directions.
CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60, max_pool_connections=64
)

# boto3 retries until the headers have arrived. A body that breaks off is requested again by read_object.
BODY_ATTEMPTS = 4
CHECK_ENDPOINT = "check that AWS_ENDPOINT_URL names an S3 server, with its http or https, and not its web console"
BROKEN_BODIES = (FlexibleChecksumError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


@dataclass(frozen=True)
class StoredObject:
    """An object as it was listed.

    `key` is without the prefix, `etag` without quotes; `version_id` is "" where the bucket keeps no versions.
    """

    key: str
    etag: str
    bytes: int
    version_id: str


@dataclass(frozen=True)
class Bucket:
    """A bucket, the prefix of the photos' keys ("" or ending in a slash), botocore's session and boto3's client."""

    session: Any
    client: Any
    name: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix} at {self.client.meta.endpoint_url}"


def has_md5(stored: StoredObject) -> bool:
    """Return whether an object's etag looks like an md5, and so names its content wherever it is."""
    return re.fullmatch("[0-9a-f]{32}(-[0-9]+)?", stored.etag) is not None


def identify_object(bucket: Bucket, stored: StoredObject) -> list[str | int]:
    """Return what identifies an object's bytes, for the keys of caches.

    The content, wherever it is, where the etag looks like an md5: etag and size. Else this very object: bucket, key and
    version as well, as another bucket may give the same etag to other bytes.
    """
    content: list[str | int] = [stored.etag, stored.bytes]
    return content if has_md5(stored) else [*content, str(bucket), stored.key, stored.version_id]


def open_bucket(config: Config | None = None) -> Bucket:
    """Return the bucket that IMAGE_STORE names, at AWS_ENDPOINT_URL or at Amazon.

    No request is made yet.

    Args:
        config: how often and for how long boto3 tries a request; None is CONFIG.

    Raises:
        SettingsError: a setting is missing or cannot be used.
    """
    name, prefix = settings.image_store()
    try:
        session = botocore.session.get_session()
        # Parsing dates, which nobody reads, would take more than half of a listing's time.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
        client = boto3.Session(botocore_session=session).client("s3", config=config or CONFIG)
    except (BotoCoreError, ValueError) as error:
        require_no_secret(str(error))
        raise SettingsError(
            f"AWS settings: {error}: correct AWS_* in .env, such as AWS_ENDPOINT_URL=https://s3.example.com"
        ) from None
    require_no_secret(client.meta.endpoint_url)
    return Bucket(session, client, name, prefix)


def require_no_secret(endpoint: str) -> None:
    """Raise SettingsError for an endpoint with a user, a password or a query. Messages and keys of caches show it."""
    if re.search("[@?#]", endpoint):
        raise SettingsError(
            "AWS_ENDPOINT_URL has a user, a password or a query: write the address alone, such as "
            "AWS_ENDPOINT_URL=https://s3.example.com, and the keys as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def list_objects(bucket: Bucket, page: int = 1000) -> Iterator[StoredObject]:
    """Yield every object under the prefix, sorted by key as the server sorts.

    Args:
        bucket: where to list.
        page: how many objects to request at once, at most 1000.

    Raises:
        SettingsError: there are no credentials.
        ServerError: the bucket cannot be reached or refuses.
    """
    with bucket_errors(bucket):
        versioned = keeps_versions(bucket)
        name, entries = ("list_object_versions", "Versions") if versioned else ("list_objects_v2", "Contents")
        for answer in list_pages(bucket, name, bucket.prefix, page):
            for entry in answer.get(entries, []):
                if entry.get("IsLatest", True):
                    version = entry.get("VersionId", "")
                    yield StoredObject(
                        entry["Key"].removeprefix(bucket.prefix),
                        entry["ETag"].strip('"'),
                        entry["Size"],
                        "" if version == "null" else version,
                    )


def list_pages(bucket: Bucket, operation: str, prefix: str, page: int = 1000) -> Iterator[dict[str, Any]]:
    """Yield the answers to the requests of a listing.

    Args:
        bucket: where to list.
        operation: list_objects_v2 or list_object_versions.
        prefix: of the keys.
        page: how many objects to request at once, at most 1000.

    Raises:
        ValueError: an answer is no listing. boto3 takes any XML for a listing of nothing. Use it inside bucket_errors,
            as for what boto3 raises.
    """
    pages = bucket.client.get_paginator(operation).paginate(
        Bucket=bucket.name, Prefix=prefix, PaginationConfig={"PageSize": page}
    )
    for answer in pages:
        if answer.keys().isdisjoint({"Name", "IsTruncated"}):
            raise ValueError("no listing")
        yield answer


def keeps_versions(bucket: Bucket) -> bool:
    """Return whether the bucket keeps versions; False where it does not say (403, 501), and etags alone must do."""
    try:
        return bucket.client.get_bucket_versioning(Bucket=bucket.name).get("Status") is not None
    except ClientError as error:
        if http_status(error) in (403, 501):
            return False
        raise


class ReadObject(NamedTuple):
    """An object's bytes, and whether a sha256 or an md5 proved them."""

    body: bytes
    is_proven: bool


def get_object(bucket: Bucket, stored: StoredObject) -> bytes:
    """Return the bytes of an object as it was listed, from one read.

    They are checked as read_object says, and may be unproven.

    Args:
        bucket: where the object is.
        stored: the object, from list_objects or the inventory.

    Raises:
        ObjectChanged: the object was replaced or deleted after it was listed.
        SettingsError: there are no credentials.
        ServerError: the bucket cannot be reached, refuses, or sends other bytes than it should.
    """
    return read_object(bucket, stored).body


def read_object(bucket: Bucket, stored: StoredObject) -> ReadObject:
    """Return the bytes of an object as it was listed, from one read, and whether they are proven.

    They are checked against the sha256 that ingest stored with the object, the etag where it is an md5, and the listed
    length. The length alone proves nothing.

    Args:
        bucket: where the object is.
        stored: the object, from list_objects or the inventory.

    Raises:
        ImagesetError: as get_object does.
    """
    with bucket_errors(bucket, stored.key):
        for attempt in range(1, BODY_ATTEMPTS + 1):
            answer = request_object(bucket, stored)
            try:
                body: bytes = answer["Body"].read()
                break
            except BROKEN_BODIES as error:
                if attempt == BODY_ATTEMPTS:
                    raise ServerError(
                        f"{bucket}: {stored.key} broke off in each of {attempt} attempts "
                        f"({type(error).__name__}): run again"
                    ) from None
    sha256 = answer.get("Metadata", {}).get("sha256")
    if sha256 and hashlib.sha256(body).hexdigest() != sha256:
        raise ServerError(f"{bucket}: {stored.key} is not what ingest uploaded")
    has_sum = is_md5(stored.etag, answer)
    if has_sum and hashlib.md5(body, usedforsecurity=False).hexdigest() != stored.etag:
        raise ServerError(f"{bucket}: {stored.key} does not match its etag")
    if len(body) != stored.bytes:
        raise ServerError(f"{bucket}: {stored.key} has {len(body)} bytes, but was listed with {stored.bytes}")
    return ReadObject(body, bool(sha256) or has_sum)


def request_object(bucket: Bucket, stored: StoredObject) -> dict[str, Any]:
    """Return boto3's answer, its body not yet read. Raises ObjectChanged, and what boto3 raises."""
    pinned = {"VersionId": stored.version_id} if stored.version_id else {}
    key = bucket.prefix + stored.key
    try:
        answer: dict[str, Any] = bucket.client.get_object(Bucket=bucket.name, Key=key, IfMatch=stored.etag, **pinned)
    except ClientError as error:
        if http_status(error) in (404, 412):
            raise ObjectChanged(f"{stored.key} in {bucket} changed after it was listed") from None
        raise
    return answer


def is_md5(etag: str, answer: dict[str, Any]) -> bool:
    """Return whether an etag is the body's md5: put in one part, not encrypted by KMS or with a customer's key."""
    encrypted = answer.get("ServerSideEncryption", "").startswith("aws:kms") or "SSECustomerAlgorithm" in answer
    return re.fullmatch(r"[0-9a-f]{32}", etag) is not None and not encrypted


def http_status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def bucket_errors(bucket: Bucket, key: str = "") -> Iterator[None]:
    """Turn boto3's errors inside the block into one line that names the bucket and says what to do.

    Args:
        bucket: that is asked.
        key: of the object that is asked for, if it is one. A message of the server's own fault (5xx) names it.

    Raises:
        SettingsError: there are no credentials.
        ServerError: the bucket cannot be reached, refuses, or answers what S3 does not.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError):
        raise SettingsError(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set: export them or write them to .env"
        ) from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        hint = {
            "NoSuchBucket": ": check the bucket in IMAGE_STORE",
            "403": ": check the AWS_* settings",
            "AccessDenied": ": check the AWS_* settings",
            "InvalidAccessKeyId": ": check AWS_ACCESS_KEY_ID",
            "SignatureDoesNotMatch": ": check AWS_SECRET_ACCESS_KEY",
        }.get(code, "")
        if not hint and is_web_page(error):  # boto3 gives one that is answered with 200 the status 500
            hint = f" with a web page, which no S3 server does: {CHECK_ENDPOINT}"
        elif key and http_status(error) >= 500:
            hint = (
                f" for {key}: run again; if it answers so each time, the server cannot read this object: remove it, "
                "and the next `make refresh` fetches it again"
            )
        raise ServerError(f"{bucket} answered {code or http_status(error)}{hint}") from None
    except BotoCoreError as error:
        raise ServerError(
            f"{bucket} cannot be reached ({type(error).__name__}): start it, or correct AWS_ENDPOINT_URL"
        ) from None
    except (ResponseParserError, KeyError, RecursionError, TypeError, ValueError) as error:
        # boto3 raises ValueError for a number or a checksum that is none, and follows a redirect to nowhere for ever.
        asked = f"the request for {key}" if key else "a request"
        raise ServerError(
            f"{bucket} answered {asked} as no S3 server does ({type(error).__name__}): {CHECK_ENDPOINT}; else run again"
        ) from None


def is_web_page(error: ClientError) -> bool:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return bool(headers.get("content-type", "").startswith("text/html"))
