"""The bucket for many requests at once, by obstore's client: a request costs a fifth of boto3's processor time.

Existing objects are never overwritten, and objects are read as they were listed.
"""

import datetime
import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import obstore
from botocore.exceptions import NoCredentialsError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from imageset.errors import ObjectChanged, ObjectExists, ServerError
from imageset.storage.bucket import BODY_ATTEMPTS, Bucket, StoredObject, bucket_errors, read_object
from imageset.storage.object_cache import ObjectCache

if TYPE_CHECKING:
    # obstore has these for type checkers only.
    from obstore import GetOptions
    from obstore.store import ClientConfig

RETRIES = 5


def open_client(bucket: Bucket, retries: int | None = None) -> S3Store:
    """Return an obstore client with the endpoint and credentials of boto3. It retries failures that may pass.

    Args:
        bucket: to connect to.
        retries: of a request at most; None is RETRIES.

    Raises:
        SettingsError: there are no credentials.
    """
    endpoint = bucket.client.meta.endpoint_url
    with bucket_errors(bucket):
        try:
            # obstore keeps them for 5 minutes; boto3 renews any that expire within 15, so they are valid all that time.
            credentials = Boto3CredentialProvider(bucket.session, ttl=datetime.timedelta(minutes=5))
        except ValueError:  # there are none
            raise NoCredentialsError from None
    most_retries = RETRIES if retries is None else retries
    options: ClientConfig = {"allow_http": endpoint.startswith("http://"), "timeout": "60s"}
    if bundle := bucket.session.get_config_variable("ca_bundle"):
        options["root_certificate"] = Path(bundle).read_bytes()
    return S3Store(
        bucket.name,
        endpoint=endpoint,
        region=bucket.client.meta.region_name,
        credential_provider=credentials,
        checksum_algorithm="SHA256",  # the bucket refuses a body that changed on the way
        virtual_hosted_style_request=False,
        # Set here, so that environment variables that boto3 does not know change nothing.
        conditional_put="etag",
        skip_signature=False,
        s3_express=False,
        client_options=options,
        retry_config={"max_retries": most_retries, "retry_timeout": datetime.timedelta(seconds=60)},
    )


async def put_new(client: S3Store, bucket: Bucket, key: str, body: bytes, sha256: str) -> None:
    """Upload an object in one part, with its sha256 as metadata, unless the key exists.

    Args:
        client: from open_client.
        bucket: where the object goes.
        key: the object's key, without the bucket's prefix.
        body: the object's bytes.
        sha256: the hexadecimal sha256 of what was checked; every read compares the bytes with it.

    Raises:
        ObjectExists: the key exists; the object there is unchanged.
        ServerError: the bucket cannot be reached or refuses.
    """
    try:
        await obstore.put_async(
            client,
            bucket.prefix + key,
            body,
            mode="create",
            use_multipart=False,
            attributes={"Content-Type": "application/octet-stream", "sha256": sha256},
        )
    except obstore.exceptions.AlreadyExistsError as error:
        if "status code: 409" in str(error):  # two writers at once: S3 gives neither a definite answer
            raise ServerError(f"{bucket}: another program uploads {key} at the same time: run again") from None
        raise ObjectExists(f"{key} is already in {bucket}") from None
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:  # FileNotFoundError where the bucket is gone
        # Only codes and known phrases: the server's XML may name an access key.
        cause = re.search(r"<Code>(\w+)</Code>", str(error)) or re.search(
            r"(status code: \d+|incorrectly configured region|error sending request)", str(error)
        )
        reason = cause[1] if cause else type(error).__name__
        raise ServerError(f"{bucket} could not store {key} ({reason}): run again") from None


class FetchedObject(NamedTuple):
    """An object's bytes, checked, or that it changed after it was listed; and whether the bucket was asked."""

    body: bytes | ObjectChanged
    asked: bool


def get_all(
    threads: Executor,
    client: S3Store,
    bucket: Bucket,
    cache: ObjectCache,
    listed: Iterable[StoredObject],
) -> Iterator[FetchedObject]:
    """Read many objects at once, those that this machine has from its disk, and yield them in order.

    An object that changed in the bucket is still found on the disk as it was listed.

    Args:
        threads: an executor; each thread reads one object at a time.
        client: from open_client.
        bucket: where the objects are.
        cache: what this machine has of it; it gets what the bucket gives.
        listed: the objects, from list_objects or the inventory. All of their bytes are in memory at once.

    Yields:
        Each object, or ObjectChanged when it was replaced or deleted after it was listed.

    Raises:
        ImagesetError: as get_object does, but for ObjectChanged.
    """
    found = [(stored, cache.find(stored)) for stored in listed]
    answers = threads.map(partial(get_or_changed, client, bucket), [stored for stored, body in found if body is None])
    for stored, body in found:
        if body is not None:
            yield FetchedObject(body, asked=False)
            continue
        answer = next(answers)
        if isinstance(answer, bytes):
            cache.add(stored, answer)
        yield FetchedObject(answer, asked=True)
    cache.flush()


def get_or_changed(client: S3Store, bucket: Bucket, stored: StoredObject) -> bytes | ObjectChanged:
    """Return an object's bytes as it was listed, checked, or that it changed. Raises ImagesetError as get_object does.

    obstore does not check a body's checksum, so the body is compared with its sha256 or md5 here. What that does not
    prove boto3 reads again, and its result counts. A body that has neither sha256 nor md5, such as one that KMS
    encrypts, is read until two reads in a row are equal.
    """
    unproven = None
    try:
        pinned: GetOptions = {"version": stored.version_id} if stored.version_id else {}
        answer = obstore.get(client, bucket.prefix + stored.key, options={"if_match": stored.etag, **pinned})
        unproven = bytes(answer.bytes())
        if matches_checksum(unproven, answer.attributes.get("sha256"), stored.etag) and len(unproven) == stored.bytes:
            return unproven
    except (obstore.exceptions.BaseError, OSError, ValueError):
        pass  # FileNotFoundError, or a key that obstore refuses, such as a//b
    try:
        for _ in range(BODY_ATTEMPTS):
            read = read_object(bucket, stored)
            if read.is_proven or read.body == unproven:
                return read.body
            unproven = read.body
    except ObjectChanged as changed:
        return changed
    raise ServerError(f"{bucket}: every read of {stored.key} gave other bytes: run again")


def matches_checksum(body: bytes, sha256: str | None, etag: str) -> bool:
    """Return whether a body has the sha256 that ingest stored, or without one the md5 that is the etag."""
    if sha256:
        return hashlib.sha256(body).hexdigest() == sha256
    return hashlib.md5(body, usedforsecurity=False).hexdigest() == etag
