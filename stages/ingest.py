"""Listings and the web -> the bucket, and data/ingest.csv: how each photo ended. Fetches only what the bucket lacks.

A photo that the listings name by its key is never fetched: the bucket has it, or it is rejected.
"""

import asyncio
from collections import Counter, defaultdict
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from imageset.curation import labelled
from imageset.errors import DataError, ParamsError, ServerError
from imageset.formats import stable_hash, tables, takedowns
from imageset.photos import file_formats
from imageset.runtime import params, rates, secret_text, settings, stage
from imageset.runtime.sections import IngestParams
from imageset.storage.bucket import Bucket, list_objects, open_bucket
from imageset.storage.object_keys import KEYS_TO_SHOW, object_key, show_keys
from imageset.web import host_headers
from imageset.web.fetch_photo import PhotoToFetch
from imageset.web.fetch_photos import fetch_photos
from imageset.web.refusals import DECIDING_PARAMS, HINTS, MISSING_OBJECT, REMEMBERED, RefusalCache

EXAMPLES = 3  # photos that a message names
TAKEN_DOWN = "taken_down"  # decided by corrections/takedowns.csv alone, so no cache remembers it


class Found(NamedTuple):
    """What the bucket has.

    reasons: of the objects that photos name, by key: "" or too_large. objects: how many there are. examples: the first
    keys that no photo names.
    """

    reasons: dict[str, str]
    objects: int
    examples: list[str]


class Ended(NamedTuple):
    """How the photos ended.

    reasons: "" for done. missing: what to say of objects that photos name and the bucket lacks, "" where it has all.
    """

    reasons: dict[PhotoToFetch, str]
    missing: str


def list_photos(listings_csv: Path, enabled: bool) -> list[PhotoToFetch]:
    """Return the photos that the listings name; those that are not to be fetched have no URL.

    With ingest.enabled: false nothing is fetched. Then the names in the bucket decide which photos there are, unless
    some row of the listings has a key.
    """
    listings = tables.read(listings_csv, tables.LISTINGS)
    if not enabled and (listings["key"] == "").all():
        return []
    return [
        PhotoToFetch(key or object_key(product_id, position), product_id, position, url if enabled else "")
        for product_id, position, url, key in listings.itertuples(index=False, name=None)
    ]


def look_into_bucket(photos: list[PhotoToFetch], bucket: Bucket, max_bytes: int) -> Found:
    """Return what the bucket has of the photos."""
    wanted = {photo.key for photo in photos}
    reasons, objects, examples = dict[str, str](), 0, list[str]()
    for stored in list_objects(bucket):
        objects += 1
        if stored.key in wanted:
            reasons[stored.key] = "too_large" if stored.bytes > max_bytes else ""
        elif len(examples) < KEYS_TO_SHOW:
            examples.append(stored.key)
    return Found(reasons, objects, examples)


def ingest_photos(photos: list[PhotoToFetch], bucket: Bucket, ingest: IngestParams, refusals: RefusalCache) -> Ended:
    """Return how each photo ended. Raises ServerError while photos are pending."""
    found = look_into_bucket(photos, bucket, ingest.max_bytes)
    remembered = refusals.reasons()
    # The bucket counts more than the cache: another system may have uploaded a photo whose URL was refused.
    known = {
        photo.key: found.reasons.get(photo.key, remembered.get((photo.key, photo.image_url)))
        for photo in photos
        if photo.image_url
    }
    missing = [photo for photo in photos if photo.image_url and known[photo.key] is None]
    rates.note(len(photos), len(missing))
    print(
        f"ingest: {len(photos)} photos, {len(photos) - len(missing)} known before, {len(missing)} to fetch",
        flush=True,
    )
    # Neighbours in the table are often on one host; a fixed shuffle spreads the load.
    missing.sort(key=lambda photo: stable_hash.rank(photo.product_id, photo.position))
    served = (photo for photo in photos if photo.image_url and known[photo.key] == "")
    outcomes = asyncio.run(fetch_photos(missing, served, bucket, ingest, refusals)) if missing else []
    pending = [outcome.trouble for outcome in outcomes if outcome.reason == "unreachable"]
    if pending and ingest.unreachable == "fail":
        most = ", ".join(f"{trouble} ({count} photos)" for trouble, count in Counter(pending).most_common(3))
        raise ServerError(
            f"{len(pending)} photos are pending: {most}; run again later, or set ingest.unreachable: reject"
        )
    known |= {outcome.photo.key: outcome.reason for outcome in outcomes}
    uploaded = {outcome.photo.key: "" for outcome in outcomes if not outcome.reason}
    named = found.reasons | uploaded
    reasons = {
        photo: (known[photo.key] or "") if photo.image_url else named.get(photo.key, MISSING_OBJECT) for photo in photos
    }
    missing_keys = sorted(photo.key for photo, reason in reasons.items() if reason == MISSING_OBJECT)
    return Ended(reasons, describe_missing(missing_keys, found, bucket) if missing_keys else "")


def describe_missing(keys: list[str], found: Found, bucket: Bucket) -> str:
    """Return which objects that photos name are missing, and what there is instead."""
    others = f", such as {show_keys(found.examples)}" if found.examples else ""
    return (
        f"{len(keys)} photos name objects that are not there, such as {show_keys(dict.fromkeys(keys))}; {bucket} has "
        f"{found.objects} objects{others}: correct `key` in queries/listings.sql, or the prefix in IMAGE_STORE"
    )


def make_table(reasons: dict[PhotoToFetch, str]) -> pd.DataFrame:
    """Return data/ingest.csv, a row for each photo."""
    rows = [
        (photo.key, photo.product_id, photo.position, "rejected" if reason else "done", reason)
        for photo, reason in reasons.items()
    ]
    return tables.frame(tables.INGEST, rows)


def check_refused(
    refused: list[tuple[PhotoToFetch, str]], photos: int, max_rejected_share: float, ingest_csv: Path, missing: str
) -> None:
    """Raise DataError when more photos are refused than params allow, or all of them.

    `missing` says what to do about objects that photos name and the bucket lacks.
    """
    if not refused or (len(refused) <= max_rejected_share * photos and len(refused) < photos):
        return
    reason, _ = Counter(reason for _, reason in refused).most_common(1)[0]
    retry = f" RETRY={reason}" if reason in REMEMBERED else ""
    hint = (HINTS | {MISSING_OBJECT: missing}).get(reason, f"to ask for them again, run `make refresh{retry}`")
    limit = f"more than ingest.max_rejected_share = {max_rejected_share}" if len(refused) < photos else "none is left"
    raise DataError(
        f"{len(refused)} of {photos} photos are refused ({tables.tally(reason for _, reason in refused)}), such as "
        f"{show_examples(refused)}; {limit}: {hint}; {ingest_csv} lists them"
    )


def show_examples(refused: list[tuple[PhotoToFetch, str]]) -> str:
    """Return three of the photos as text, of as many reasons as there are."""
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for photo, reason in refused:
        by_reason[reason].append(f"{secret_text.show_url(photo.image_url) or photo.key} ({reason})")
    turns = [shown for together in zip_longest(*by_reason.values()) for shown in together if shown]
    return ", ".join(turns[:EXAMPLES])


def main(
    listings_csv: Path,
    labels_csv: Path,
    classes_csv: Path,
    takedowns_csv: Path,
    ingest_csv: Path,
    *,
    retry: tuple[str, ...] = (),
) -> None:
    """Fetch the photos that the bucket lacks, and write how each photo ended.

    Args:
        listings_csv: every photo of every listing.
        labels_csv: every dated class of every product: one of the products has to have one.
        classes_csv: the name and the parent of every class.
        takedowns_csv: products that are never fetched and never used again.
        ingest_csv: how each photo of the listings ended: done, or rejected with a reason.
        retry: a reason: ask again for photos that earlier runs refused for it.
    """
    ingest = params.load().ingest
    if ingest.enabled:  # a wrong setting fails here, not after the bucket was listed, which takes minutes
        settings.allowed_hosts()
        settings.allowed_buckets()
        settings.allowed_folders()
        settings.user_agent()
        settings.connections_per_host()
        host_headers.read(settings.headers_file())
    if unknown := set(retry) - REMEMBERED:
        raise ParamsError(f"--retry {min(unknown)}: expected one of {', '.join(sorted(REMEMBERED))}")
    file_formats.require_decoders(ingest.formats)
    taken_down = takedowns.read(takedowns_csv)
    photos = list_photos(listings_csv, ingest.enabled)
    wanted = [photo for photo in photos if photo.product_id not in taken_down]
    # Here, as it is the first stage after listings and labels: what comes between it and catalog takes hours.
    labels, classes = tables.read(labels_csv, tables.LABELS), tables.read(classes_csv, tables.CLASSES)
    labelled.require_labelled_product({photo.product_id for photo in wanted}, labels, classes)
    ended = Ended({}, "")
    rates.note(0)
    if wanted:
        deciding_params = ingest.model_dump_json(include=DECIDING_PARAMS)
        with closing(RefusalCache(settings.refusal_cache(), deciding_params, ingest.robots)) as refusals:
            refusals.forget(retry)
            ended = ingest_photos(wanted, open_bucket(), ingest, refusals)
    refused = [(photo, reason) for photo, reason in ended.reasons.items() if reason]
    reasons = ended.reasons | {photo: TAKEN_DOWN for photo in photos if photo.product_id in taken_down}
    tables.write(ingest_csv, tables.INGEST, make_table(reasons))
    rejected = [reason for reason in reasons.values() if reason]
    print(f"ingest: {len(reasons) - len(rejected)} done, {len(rejected)} rejected ({tables.tally(rejected)})")
    # After the table, so that people can look: DVC keeps the outputs of a stage that fails, and runs it again.
    check_refused(refused, len(wanted), ingest.max_rejected_share, ingest_csv, ended.missing)
    if ended.missing:
        print(f"ingest: {ended.missing}")
    for reason, count in Counter(reason for _, reason in refused).items():
        if reason in HINTS:
            print(f"ingest: {count} {reason}: {HINTS[reason]}")


if __name__ == "__main__":
    stage.run("ingest", main)
