"""Listings and the web -> the bucket, and data/ingest.csv: how each photo ended. Fetches only what the bucket lacks.

A photo that the listings name by its key is never fetched: the bucket has it, or it is rejected.
"""

from collections import Counter, defaultdict
from contextlib import closing
from heapq import nsmallest
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation import labelled
from imageset.errors import DataError, ParamsError, ServerError
from imageset.formats import stable_hash, tables, takedowns
from imageset.photos import file_formats
from imageset.runtime import params, rates, secret_text, settings, stage
from imageset.runtime.sections import IngestParams
from imageset.storage.bucket import Bucket, list_objects, open_bucket
from imageset.storage.object_keys import KEYS_TO_SHOW, object_key, show_keys
from imageset.storage.photo_keys import PhotoKeys
from imageset.web import host_headers
from imageset.web.fetch_photos import fetch_photos
from imageset.web.photo_list import PhotoList
from imageset.web.refusals import DECIDING_PARAMS, HINTS, MISSING_OBJECT, REMEMBERED, RefusalCache

EXAMPLES = 3  # photos that a message names
TAKEN_DOWN = "taken_down"  # decided by corrections/takedowns.csv alone, so no cache remembers it


class Found(NamedTuple):
    """What the bucket has.

    reasons: of the object of each photo: "" or too_large, None where there is none. It is at the first photo with the
    object's key. objects: how many there are. examples: the first keys that no photo names.
    """

    reasons: NDArray[np.object_]
    objects: int
    examples: list[str]


class Ended(NamedTuple):
    """How the photos ended.

    reasons: of each photo, "" for done. missing: what to say of objects that photos name and the bucket lacks, "" where
    it has all.
    """

    reasons: NDArray[np.object_]
    missing: str


def list_photos(listings_csv: Path, enabled: bool) -> pd.DataFrame:
    """Return the photos that the listings name: key, product_id, position and image_url, "" for one not to be fetched.

    With ingest.enabled: false nothing is fetched. Then the names in the bucket decide which photos there are, unless
    some row of the listings has a key.
    """
    listings = tables.read(listings_csv, tables.LISTINGS)
    if not enabled and (listings["key"] == "").all():
        return listings.iloc[:0]
    at_once = tables.ROWS_AT_ONCE
    parts = (listings.iloc[start : start + at_once] for start in range(0, len(listings), at_once))
    keys = pd.concat(map(name_objects, parts)) if len(listings) else listings["key"]
    urls = listings["image_url"] if enabled else pd.Series("", listings.index, "str")
    return listings.assign(key=tables.join_pieces(keys), image_url=tables.join_pieces(urls))


def name_objects(listings: pd.DataFrame) -> pd.Series:
    """Return the key of each photo: that of the listings, or that of its name."""
    rows = zip(listings["key"], *(listings[name] for name in tables.PHOTO_KEY), strict=True)
    return pd.Series([key or object_key(*photo) for key, *photo in rows], listings.index, "str")


def look_into_bucket(keys: PhotoKeys, bucket: Bucket, max_bytes: int) -> Found:
    """Return what the bucket has of the photos."""
    reasons, objects, examples = np.full(len(keys.first), None, object), 0, list[str]()
    listed = iter(list_objects(bucket))
    while part := list(islice(listed, keys.objects_at_once)):
        objects += len(part)
        for stored, place in zip(part, keys.find([stored.key for stored in part]).tolist(), strict=True):
            if place >= 0:
                reasons[place] = "too_large" if stored.bytes > max_bytes else ""
            elif len(examples) < KEYS_TO_SHOW:
                examples.append(stored.key)
    return Found(reasons, objects, examples)


def ingest_photos(photos: pd.DataFrame, bucket: Bucket, ingest: IngestParams, refusals: RefusalCache) -> Ended:
    """Return how each photo ended. Raises ServerError while photos are pending."""
    keys = PhotoKeys(photos["key"])
    found = look_into_bucket(keys, bucket, ingest.max_bytes)
    # The bucket counts more than the cache: another system may have uploaded a photo whose URL was refused.
    reasons = found.reasons[keys.first]
    has_url = (photos["image_url"] != "").to_numpy(bool)
    unknown = np.flatnonzero(has_url & pd.isna(reasons))
    remembered = refusals.reasons()
    reasons[unknown] = [remembered.get((photo.key, photo.image_url)) for photo in PhotoList(photos, unknown)]
    missing = shuffle(photos, unknown[pd.isna(reasons[unknown])])
    rates.note(len(photos), len(missing))
    print(
        f"ingest: {len(photos)} photos, {len(photos) - len(missing)} known before, {len(missing)} to fetch",
        flush=True,
    )
    if len(missing):
        served = PhotoList(photos, np.flatnonzero(has_url & (reasons == "")))
        fetched = fetch_photos(PhotoList(photos, missing), served, bucket, ingest, refusals)
        pending = fetched.troubles
        if pending and ingest.unreachable == "fail":
            most = ", ".join(f"{trouble} ({count} photos)" for trouble, count in pending.most_common(3))
            raise ServerError(
                f"{pending.total()} photos are pending: {most}; run again later, or set ingest.unreachable: reject"
            )
        reasons[missing] = fetched.reasons
        found.reasons[keys.first[missing[fetched.reasons == ""]]] = ""
    named = np.flatnonzero(~has_url)
    reasons[named] = found.reasons[keys.first[named]]
    is_absent = pd.isna(reasons)
    reasons[is_absent] = MISSING_OBJECT
    return Ended(reasons, describe_missing(photos["key"][is_absent], found, bucket) if is_absent.any() else "")


def shuffle(photos: pd.DataFrame, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows in a fixed order that spreads the load: neighbours in the table are often on one host."""
    numbers = zip(*(photos[name].to_numpy()[rows] for name in tables.PHOTO_KEY), strict=True)
    ranks = np.fromiter((stable_hash.rank(*photo) for photo in numbers), np.uint64, len(rows))
    return rows[np.argsort(ranks, kind="stable")]


def describe_missing(keys: pd.Series, found: Found, bucket: Bucket) -> str:
    """Return which objects that photos name are missing, and what there is instead."""
    first = show_keys(nsmallest(KEYS_TO_SHOW, keys.unique()))
    others = f", such as {show_keys(found.examples)}" if found.examples else ""
    return (
        f"{len(keys)} photos name objects that are not there, such as {first}; {bucket} has {found.objects} "
        f"objects{others}: correct `key` in queries/listings.sql, or the prefix in IMAGE_STORE"
    )


def make_table(photos: pd.DataFrame, reasons: NDArray[np.object_]) -> pd.DataFrame:
    """Return data/ingest.csv, a row for each photo."""
    status = np.where(reasons == "", "done", "rejected").astype(object)
    return photos[["key", *tables.PHOTO_KEY]].assign(status=status, reason=reasons)


def check_refused(
    refused: pd.DataFrame,
    reasons: NDArray[np.object_],
    photos: int,
    max_rejected_share: float,
    ingest_csv: Path,
    missing: str,
) -> None:
    """Raise DataError when more photos are refused than params allow, or all of them.

    `reasons` are those of the refused photos. `missing` says what to do about objects that photos name and the bucket
    lacks.
    """
    if refused.empty or (len(refused) <= max_rejected_share * photos and len(refused) < photos):
        return
    reason, _ = Counter(reasons).most_common(1)[0]
    retry = f" RETRY={reason}" if reason in REMEMBERED else ""
    hint = (HINTS | {MISSING_OBJECT: missing}).get(reason, f"to ask for them again, run `make refresh{retry}`")
    limit = f"more than ingest.max_rejected_share = {max_rejected_share}" if len(refused) < photos else "none is left"
    raise DataError(
        f"{len(refused)} of {photos} photos are refused ({tables.tally(reasons)}), such as "
        f"{show_examples(refused, reasons)}; {limit}: {hint}; {ingest_csv} lists them"
    )


def show_examples(refused: pd.DataFrame, reasons: NDArray[np.object_]) -> str:
    """Return three of the photos as text, of as many reasons as there are."""
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for url, key, reason in zip(refused["image_url"], refused["key"], reasons, strict=True):
        if len(by_reason[reason]) < EXAMPLES:
            by_reason[reason].append(f"{secret_text.show_url(url) or key} ({reason})")
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
        settings.dask()
        host_headers.read(settings.headers_file())
    if unknown := set(retry) - REMEMBERED:
        raise ParamsError(f"--retry {min(unknown)}: expected one of {', '.join(sorted(REMEMBERED))}")
    file_formats.require_decoders(ingest.formats)
    photos = list_photos(listings_csv, ingest.enabled)
    is_taken_down = photos["product_id"].isin(takedowns.read(takedowns_csv))
    wanted, taken_down = photos[~is_taken_down], photos[is_taken_down]
    del photos
    # Here, as it is the first stage after listings and labels: what comes between it and catalog takes hours.
    labels, classes = tables.read(labels_csv, tables.LABELS), tables.read(classes_csv, tables.CLASSES)
    labelled.require_labelled_product(wanted["product_id"].unique(), labels, classes)
    del labels
    ended = Ended(np.empty(0, object), "")
    rates.note(0)
    if len(wanted):
        deciding_params = ingest.model_dump_json(include=DECIDING_PARAMS)
        with closing(RefusalCache(settings.refusal_cache(), deciding_params, ingest.robots)) as refusals:
            refusals.forget(retry)
            ended = ingest_photos(wanted, open_bucket(), ingest, refusals)
    is_refused = ended.reasons != ""
    refused, reasons, count = wanted[is_refused], ended.reasons[is_refused], len(wanted)
    rejected = np.append(reasons, np.full(len(taken_down), TAKEN_DOWN, object))
    content = pd.concat([make_table(wanted, ended.reasons), make_table(taken_down, rejected[len(reasons) :])])
    del wanted  # its URLs are larger than the table
    tables.write(ingest_csv, tables.INGEST, content)
    print(f"ingest: {count - len(refused)} done, {len(rejected)} rejected ({tables.tally(rejected)})")
    # After the table, so that people can look: DVC keeps the outputs of a stage that fails, and runs it again.
    check_refused(refused, reasons, count, ingest.max_rejected_share, ingest_csv, ended.missing)
    if ended.missing:
        print(f"ingest: {ended.missing}")
    for reason, count in Counter(reasons).items():
        if reason in HINTS:
            print(f"ingest: {count} {reason}: {HINTS[reason]}")


if __name__ == "__main__":
    stage.run("ingest", main)
