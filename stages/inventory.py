"""The bucket -> data/inventory.csv: exactly which objects the dataset is made of."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from imageset.errors import DataError
from imageset.formats import tables, takedowns
from imageset.runtime import params, progress, stage
from imageset.storage.bucket import Bucket, StoredObject, list_objects, open_bucket
from imageset.storage.object_keys import KEYS_TO_SHOW, parse_key, show_keys
from imageset.storage.photo_keys import PhotoKeys

# Objects of photos that are known before. place: that of the first photo with the object's key.
OBJECTS = tables.Table({"place": "int64", "etag": "string", "bytes": "int64", "version_id": "string"}, ("place",))
FURTHER = ["etag", "bytes", "version_id"]


class LeftOut(NamedTuple):
    """How many objects are left out: photos of products taken down, and all others; the keys of the first others."""

    taken_down: int
    others: int
    examples: list[str]


def choose_objects(
    objects: Iterable[StoredObject], photos: pd.DataFrame | None, taken_down: frozenset[int] = frozenset()
) -> tuple[pd.DataFrame, LeftOut]:
    """Return the table of the photos' objects, and how many objects are left out.

    Memory does not grow with those that are left out.

    Args:
        objects: of the bucket.
        photos: key, product_id and position. None: all objects that have the name of a photo are photos.
        taken_down: products of which no object is taken by its name. Another product's photo may have such a key.
    """
    keys = None if photos is None else PhotoKeys(photos["key"])
    table = tables.INVENTORY if keys is None else OBJECTS
    parts, listed, forbidden, others, examples = [tables.frame(table, [])], iter(objects), 0, 0, list[str]()
    while part := list(islice(listed, keys.objects_at_once if keys else tables.ROWS_AT_ONCE)):
        places = keys.find([stored.key for stored in part]).tolist() if keys else [-1] * len(part)
        rows: list[tuple[str | int, ...]] = []
        for stored, place in zip(part, places, strict=True):
            photo = parse_key(stored.key)
            is_forbidden = photo is not None and photo[0] in taken_down
            if place >= 0:
                rows.append((place, stored.etag, stored.bytes, stored.version_id))
            elif keys is None and photo is not None and not is_forbidden:
                rows.append((stored.key, *photo, stored.etag, stored.bytes, stored.version_id))
            elif is_forbidden:
                forbidden += 1
            else:
                others += 1
                if len(examples) < KEYS_TO_SHOW:
                    examples.append(stored.key)
        if rows:
            parts.append(tables.frame(table, rows))
    chosen, left_out = pd.concat(parts, ignore_index=True), LeftOut(forbidden, others, examples)
    return (chosen if keys is None or photos is None else join(photos, keys, chosen)), left_out


def join(photos: pd.DataFrame, keys: PhotoKeys, objects: pd.DataFrame) -> pd.DataFrame:
    """Return the photos that have an object, with its etag, bytes and version_id. Several photos may have one."""
    row_of = np.full(len(photos), -1)
    row_of[objects["place"]] = np.arange(len(objects))
    rows = row_of[keys.first]
    is_there = rows >= 0
    its_objects = objects[FURTHER].assign(
        **{name: tables.join_pieces(objects[name]) for name in ("etag", "version_id")}
    )
    found = [photos[is_there], its_objects.take(rows[is_there])]
    return pd.concat([frame.reset_index(drop=True) for frame in found], axis="columns")


def read_wanted_photos(ingest_csv: Path, enabled: bool, taken_down: frozenset[int]) -> pd.DataFrame | None:
    """Return key, product_id and position of the photos that the bucket has, without products taken down.

    None where the names in the bucket decide: nothing is fetched, and the listings name no keys.
    """
    ingested = tables.read(ingest_csv, tables.INGEST)
    if not enabled and ingested.empty:
        return None
    is_wanted = (ingested["status"] == "done") & ~ingested["product_id"].isin(taken_down)
    return ingested.loc[is_wanted, ["key", *tables.PHOTO_KEY]]


def describe_empty(bucket: Bucket, left_out: LeftOut, takedowns_csv: Path, by_name: bool) -> str:
    """Return why there is no photo, and what to do."""
    count = left_out.taken_down + left_out.others
    seen = f"{bucket} has {count} objects"
    if left_out.examples:
        seen += f", such as {show_keys(left_out.examples)}"
    if left_out.taken_down:
        seen += f"; {left_out.taken_down} of them are of products in {takedowns_csv}"
    if not count:
        return f"{seen}: correct the bucket and the prefix in IMAGE_STORE, such as s3://bucket/prefix"
    if not by_name:
        return f"no photo of the listings is in the bucket: {seen}; data/ingest.csv has the reason of each photo"
    return (
        f"no object is named <product_id>.jpeg: {seen}; correct the prefix in IMAGE_STORE, or return these names as "
        "the column `key` of queries/listings.sql"
    )


def main(ingest_csv: Path, takedowns_csv: Path, inventory_csv: Path) -> None:
    """List exactly which objects of the bucket the dataset is made of.

    Args:
        ingest_csv: how each photo of the listings ended: done, or rejected with a reason.
        takedowns_csv: products that are never fetched and never used again.
        inventory_csv: the objects of the bucket that the dataset is made of.
    """
    ingest = params.load().ingest
    taken_down = takedowns.read(takedowns_csv)
    photos = read_wanted_photos(ingest_csv, ingest.enabled, taken_down)
    bucket = open_bucket()
    listed = progress.bar(list_objects(bucket), "inventory", None, unit="key")
    inventory, left_out = choose_objects(listed, photos, taken_down)
    if photos is not None and len(inventory) < len(photos):
        lost = photos.loc[~photos["key"].isin(inventory["key"]), "key"].unique()
        raise DataError(
            f"{len(lost)} photos that ingest found or uploaded are missing in {bucket}, such as {min(lost)}: "
            "run `make refresh`"
        )
    if inventory.empty:
        raise DataError(describe_empty(bucket, left_out, takedowns_csv, photos is None))
    del photos
    tables.write(inventory_csv, tables.INVENTORY, inventory)
    is_first = PhotoKeys(inventory["key"]).first == np.arange(len(inventory))  # several photos may have one object
    print(
        f"inventory: {len(inventory)} photos, {inventory.loc[is_first, 'bytes'].sum() / 1e6:,.1f} MB; "
        f"{left_out.taken_down} of products taken down and {left_out.others} other objects are ignored"
    )


if __name__ == "__main__":
    stage.run("inventory", main)
