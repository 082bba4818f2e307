"""The objects of a product in the bucket: all positions, all versions, also those that listings name by other keys."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from imageset.errors import ObjectChanged, ServerError
from imageset.storage import object_cache
from imageset.storage.bucket import Bucket, StoredObject, bucket_errors, get_object, http_status, list_pages
from imageset.storage.object_keys import parse_key
from tools.forget.named import Keys

NO_KEYS = Keys(frozenset(), {}, are_used=False, may_go=False)
NO_VERSIONS = (405, 501)  # what servers answer that have none


class Version(NamedTuple):
    """A version of an object, or a delete marker, which has no bytes.

    version_id: "" where the server knows no versions, "null" of an object from before the bucket kept them.
    """

    stored: StoredObject
    version_id: str
    is_marker: bool


class Listed(NamedTuple):
    """The versions of the objects of some products; whether the server let us list versions.

    versions: those to remove. kept: those that stay, because something else wrote them, or another product uses them.
    """

    versions: list[Version]
    knows_versions: bool
    kept: list[Version]


def list_product(bucket: Bucket, product_ids: Iterable[int], keys: Keys = NO_KEYS) -> Listed:
    """Return every version of every object of some products.

    Where the server refuses to list versions, the current objects.

    Args:
        bucket: where to list.
        product_ids: the products.
        keys: by which listings name further objects.

    Raises:
        SettingsError: there are no credentials.
        ServerError: the bucket cannot be reached, or refuses to list objects.
    """
    wanted = sorted(set(product_ids))
    # 12.jpeg and 12-1.jpeg, but not the objects of products 120 to 129.
    prefixes = [f"{product_id}{end}" for product_id in wanted for end in (".jpeg", "-")] + sorted(keys.named)
    with bucket_errors(bucket):
        try:
            found = [version for prefix in prefixes for version in list_versions(bucket, prefix)]
            knows_versions = True
        except ClientError as error:
            if http_status(error) not in (403, *NO_VERSIONS):
                raise
            found = [version for prefix in prefixes for version in list_current(bucket, prefix)]
            knows_versions = http_status(error) in NO_VERSIONS
        found = list(dict.fromkeys(found))  # a prefix of a name may be that of a key as well
        own = find_own(bucket, found, wanted, keys)
    removed, kept = [], []
    for version in found:
        key = version.stored.key
        if key not in keys.others and (key in own or (key in keys.named and keys.may_go)):
            removed.append(version)
        elif key in own or key in keys.named:
            kept.append(version)
    return Listed(removed, knows_versions, kept)


def find_own(bucket: Bucket, found: list[Version], product_ids: list[int], keys: Keys) -> set[str]:
    """Return the keys of objects that are the products' by their names.

    Where listings have keys of their own, an object of such a name may be anything. Then ingest must have written it.
    """
    own = set()
    for version in found:
        photo = parse_key(version.stored.key)
        is_named = photo is not None and photo[0] in product_ids and version.stored.key not in own
        if is_named and (not keys.are_used or (not version.is_marker and is_of_ingest(bucket, version))):
            own.add(version.stored.key)
    return own


def is_of_ingest(bucket: Bucket, version: Version) -> bool:
    """Return whether ingest wrote an object: it puts the sha256 into the metadata."""
    pinned = {"VersionId": version.version_id} if version.version_id else {}
    try:
        answer = bucket.client.head_object(Bucket=bucket.name, Key=bucket.prefix + version.stored.key, **pinned)
    except ClientError as error:
        if http_status(error) == 404:
            return False
        raise
    return "sha256" in answer.get("Metadata", {})


def list_versions(bucket: Bucket, prefix: str) -> Iterator[Version]:
    for page in list_pages(bucket, "list_object_versions", bucket.prefix + prefix):
        for kind in ("Versions", "DeleteMarkers"):
            for entry in page.get(kind, []):
                yield Version(describe(bucket, entry), entry.get("VersionId", ""), kind == "DeleteMarkers")


def list_current(bucket: Bucket, prefix: str) -> Iterator[Version]:
    for page in list_pages(bucket, "list_objects_v2", bucket.prefix + prefix):
        for entry in page.get("Contents", []):
            yield Version(describe(bucket, entry), "", False)


def describe(bucket: Bucket, entry: dict[str, Any]) -> StoredObject:
    """Return an entry of a listing as the caches know it."""
    version = entry.get("VersionId", "")
    return StoredObject(
        entry["Key"].removeprefix(bucket.prefix),
        entry.get("ETag", "").strip('"'),
        entry.get("Size", 0),
        "" if version == "null" else version,
    )


def read_samples(bucket: Bucket, listed: Listed) -> set[bytes]:
    """Return a sample of the bytes of each version that has any, to find them in the cache of objects."""
    samples = set()
    for version in (*listed.versions, *listed.kept):
        if not version.is_marker:
            try:
                pinned = replace(version.stored, version_id=version.version_id)
                samples.add(object_cache.take_sample(get_object(bucket, pinned)))
            except (ObjectChanged, ServerError):  # removed since it was listed, or damaged: that does not keep it
                continue
    return samples


def remove(bucket: Bucket, product_ids: Iterable[int], listed: Listed, keys: Keys = NO_KEYS) -> None:
    """Remove what was listed and may go, and list again to see that nothing is left.

    A version that the server refuses to remove, such as one that is locked, does not keep the others.

    Raises:
        SettingsError: there are no credentials.
        ServerError: the server refuses, or something is left.
    """
    refused: list[ClientError] = []
    with bucket_errors(bucket):
        for version in listed.versions:
            pinned = {"VersionId": version.version_id} if version.version_id else {}
            try:
                bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + version.stored.key, **pinned)
            except ClientError as error:
                refused.append(error)
        if refused:
            raise refused[0]
    left = list_product(bucket, product_ids, keys)
    if left.versions:
        raise ServerError(
            f"{bucket} still holds {len(left.versions)} versions of the product's photos, such as "
            f"{left.versions[0].stored.key}: run again"
        )
    if not left.knows_versions:
        raise ServerError(
            f"{bucket} does not let these credentials list versions, so earlier versions of the photos may be left: "
            "run again with credentials that have s3:ListBucketVersions and s3:DeleteObjectVersion"
        )
