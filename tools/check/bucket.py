"""The bucket: listed, and with --write one object written and removed."""

import asyncio
import hashlib
import secrets
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from botocore.config import Config

from imageset.errors import ObjectExists
from imageset.storage import bulk
from imageset.storage.bucket import CONFIG as BOTO3
from imageset.storage.bucket import (
    Bucket,
    StoredObject,
    bucket_errors,
    get_object,
    keeps_versions,
    list_objects,
    open_bucket,
)
from imageset.storage.object_keys import parse_key, show_keys
from stages.inventory import LeftOut, describe_empty
from tools.check.findings import Findings
from tools.check.line import EXAMPLES, Line, ok, untried, wrong

CONFIG = BOTO3.merge(Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=2, read_timeout=4))
MOST_OBJECTS = 1000  # that are listed: one request
TAKEDOWNS = Path("corrections/takedowns.csv")
PROBE = "imageset-check"  # the key of the object that is written begins so


def check_bucket(found: Findings) -> Iterator[Line]:
    """List the first objects."""
    bucket = open_bucket(CONFIG)
    listed = list(islice(list_objects(bucket, MOST_OBJECTS), MOST_OBJECTS))
    found.bucket, found.keys = bucket, [stored.key for stored in listed]
    count = f"{len(listed):,}{' or more' if len(listed) == MOST_OBJECTS else ''} objects"
    photos = list(filter(parse_key, found.keys))
    named = f"{len(photos):,} of them named <product_id>.jpeg" if listed else "as it is before the first run"
    others = [key for key in found.keys if not parse_key(key)]
    by_name = found.params is not None and not found.params.ingest.enabled and not found.has_keys()
    if by_name and not photos and len(listed) < MOST_OBJECTS:
        left_out = LeftOut(0, len(others), others[:EXAMPLES])
        yield wrong(f"{describe_empty(bucket, left_out, TAKEDOWNS, True)}; or set ingest.enabled: true to fetch photos")
        return
    yield ok(f"bucket: {bucket} has {count}, {named}{f', others such as {show_keys(others)}' if others else ''}")


def check_writing(found: Findings) -> Iterator[Line]:
    """With --write: put an object, read it, put it again, which the bucket has to refuse, and remove it."""
    if found.params is not None and not found.params.ingest.enabled:
        yield ok("writing to the bucket: no stage does, as ingest.enabled is false")
    elif not found.write:
        yield untried("writing to the bucket", "`python -m tools.check --write` puts one object there and removes it")
    elif found.bucket is None:
        yield untried("writing to the bucket", "the bucket cannot be listed, see above")
    else:
        yield try_to_write(found.bucket)


def try_to_write(bucket: Bucket) -> Line:
    """Return how writing went."""
    key = f"{PROBE}-{secrets.token_hex(8)}"
    body = key.encode()
    try:
        refused = asyncio.run(put_twice(bucket, key, body))
        stored = find_object(bucket, key)
        read = get_object(bucket, stored) if stored else b""
    finally:
        remove(bucket, key)
    if not refused:
        return wrong(
            f"{bucket} overwrites objects although the request says If-None-Match: *: ingest must not run on such a "
            "server; see docs/queries.md"
        )
    if read != body:
        return wrong(f"{bucket} gives other bytes than were written: look at what is between you and it")
    return ok("writing to the bucket: one object was written, read, not overwritten, and removed")


async def put_twice(bucket: Bucket, key: str, body: bytes) -> bool:
    """Put an object twice, and return whether the bucket refused the second one."""
    client = bulk.open_client(bucket)
    sha256 = hashlib.sha256(body).hexdigest()
    await bulk.put_new(client, bucket, key, body, sha256)
    try:
        await bulk.put_new(client, bucket, key, body, sha256)
    except ObjectExists:
        return True
    return False


def find_object(bucket: Bucket, key: str) -> StoredObject | None:
    """Return an object as the bucket lists it, None where it does not."""
    below = Bucket(bucket.session, bucket.client, bucket.name, bucket.prefix + key)
    for stored in islice(list_objects(below), 1):  # sorted, so the key itself comes before those that begin with it
        return StoredObject(key, stored.etag, stored.bytes, stored.version_id) if not stored.key else None
    return None


def remove(bucket: Bucket, key: str) -> None:
    """Remove all versions of an object, and the marks of their removal."""
    name = bucket.prefix + key
    with bucket_errors(bucket):
        bucket.client.delete_object(Bucket=bucket.name, Key=name)
        if keeps_versions(bucket):
            answer = bucket.client.list_object_versions(Bucket=bucket.name, Prefix=name)
            for entry in [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]:
                bucket.client.delete_object(Bucket=bucket.name, Key=entry["Key"], VersionId=entry["VersionId"])
