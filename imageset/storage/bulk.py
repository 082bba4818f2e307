"""The bucket, for many requests at once: obstore's client, which has a fifth of boto3's work with each.

Objects are put without writing over others, and got as they were listed.
"""

import datetime
import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from botocore.exceptions import NoCredentialsError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from imageset.errors import ImagesetError, ServerError
from imageset.storage.bucket import BODY_ATTEMPTS, Bucket, ObjectChanged, StoredObject, bucket_errors, get_object

if TYPE_CHECKING:
    # They are there for type checkers alone.
    from obstore import GetOptions
    from obstore.store import ClientConfig

RETRIES = 5


class ObjectExists(ImagesetError):
    """The key is taken."""


def open_client(bucket: Bucket) -> S3Store:
    """Return a client for many requests at once, with boto3's endpoint and credentials."""
    endpoint = bucket.client.meta.endpoint_url
    with bucket_errors(bucket):
        try:
            # boto3 renews credentials that end within 15 minutes, so these are good for as long as obstore keeps them.
            credentials = Boto3CredentialProvider(bucket.session, ttl=datetime.timedelta(minutes=5))
        except ValueError:  # it found none
            raise NoCredentialsError from None
    options: ClientConfig = {"allow_http": endpoint.startswith("http://"), "timeout": "60s"}
    if bundle := bucket.session.get_config_variable("ca_bundle"):
        options["root_certificate"] = Path(bundle).read_bytes()
    # Checked by the bucket: what arrives there is what was sent.
    return S3Store(
        bucket.name,
        endpoint=endpoint,
        region=bucket.client.meta.region_name,
        credential_provider=credentials,
        checksum_algorithm="SHA256",
        virtual_hosted_style_request=False,
        # Not as variables of the environment that boto3 does not know may say.
        conditional_put="etag",
        skip_signature=False,
        s3_express=False,
        client_options=options,
        retry_config={"max_retries": RETRIES, "retry_timeout": datetime.timedelta(seconds=60)},
    )


async def put_new(client: S3Store, bucket: Bucket, key: str, body: bytes, sha256: str) -> None:
    """Put an object in one part under a key that is free, its sha256 as metadata. Raises ObjectExists, ServerError."""
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
        if "status code: 409" in str(error):  # two wrote at once; S3 kept neither's word
            raise ServerError(f"{bucket} had a conflict over {key}; run again") from None
        raise ObjectExists(f"{key} stands in {bucket} already") from None
    except obstore.exceptions.BaseError as error:
        # Codes and phrases alone: the server's XML may name an access key.
        cause = re.search(r"<Code>(\w+)</Code>", str(error)) or re.search(
            r"(status code: \d+|incorrectly configured region|error sending request)", str(error)
        )
        said = cause[1] if cause else type(error).__name__
        raise ServerError(f"{bucket} did not take {key}: {said}; run again") from None


def get_all(
    threads: Executor,
    client: S3Store,
    bucket: Bucket,
    listed: Iterable[StoredObject],
) -> Iterator[bytes | ObjectChanged]:
    """Yield each object's bytes, checked, or that it changed, in order; all are asked for at once, by the threads.

    Raises ImagesetError as get_object does.
    """
    return threads.map(partial(get, client, bucket), listed)


def get(client: S3Store, bucket: Bucket, stored: StoredObject) -> bytes | ObjectChanged:
    """Return the object's bytes as it was listed, checked, or that it changed. Raises ImagesetError as get_object does.

    obstore checks no checksum of a body, so it has to be proven by its sha256 or its md5. Whatever goes wrong is asked
    of boto3 once more, and what that says counts; so is what nothing can prove, until it comes twice the same.
    """
    unproven = None
    try:
        pinned: GetOptions = {"version": stored.version_id} if stored.version_id else {}
        answer = obstore.get(client, bucket.prefix + stored.key, options={"if_match": stored.etag, **pinned})
        body = bytes(answer.bytes())
        proven = prove(body, answer.attributes.get("sha256"), stored.etag)
        if proven and len(body) == stored.bytes:
            return body
        unproven = body if proven is None else None
    except (obstore.exceptions.BaseError, OSError, ValueError):  # FileNotFoundError; keys that it refuses, such as a//b
        pass
    try:
        for _ in range(BODY_ATTEMPTS):
            before, unproven = unproven, get_object(bucket, stored)
            if before is None or unproven == before:
                return unproven
    except ObjectChanged as changed:
        return changed
    raise ServerError(f"{bucket}: {stored.key} did not arrive the same twice")


def prove(body: bytes, sha256: str | None, etag: str) -> bool | None:
    """Tell whether a body is what ingest put, which noted its sha256, or was put in one part, whose etag is its md5.

    None: nothing can tell.
    """
    if sha256:
        return hashlib.sha256(body).hexdigest() == sha256
    if re.fullmatch("[0-9a-f]{32}", etag):
        return hashlib.md5(body, usedforsecurity=False).hexdigest() == etag
    return None
