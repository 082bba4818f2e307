"""The bucket -> data/inventory.csv: exactly which objects the dataset is made of."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from imageset.errors import DataError
from imageset.formats import tables, takedowns
from imageset.runtime import params, progress, stage
from imageset.storage.bucket import Bucket, StoredObject, list_objects, open_bucket
from imageset.storage.object_keys import KEYS_TO_SHOW, parse_key, show_keys

OBJECTS = tables.Table({"key": "string", "etag": "string", "bytes": "int64", "version_id": "string"}, ("key",))


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
    wanted = None if photos is None else frozenset(photos["key"])
    parts, rows, forbidden, others, examples = [], [], 0, 0, list[str]()
    for stored in objects:
        photo = parse_key(stored.key)
        is_forbidden = photo is not None and photo[0] in taken_down
        if stored.key in wanted if wanted is not None else photo is not None and not is_forbidden:
            rows.append((stored.key, stored.etag, stored.bytes, stored.version_id))
            if len(rows) == tables.ROWS_AT_ONCE:
                parts.append(tables.frame(OBJECTS, rows))
                rows = []
        elif is_forbidden:
            forbidden += 1
        else:
            others += 1
            if len(examples) < KEYS_TO_SHOW:
                examples.append(stored.key)
    table = pd.concat([*parts, tables.frame(OBJECTS, rows)], ignore_index=True)
    named = parse_photos(table["key"]) if photos is None else photos
    return named.merge(table, on="key", validate="many_to_one"), LeftOut(forbidden, others, examples)


def read_wanted_photos(ingest_csv: Path, enabled: bool, taken_down: frozenset[int]) -> pd.DataFrame | None:
    """Return key, product_id and position of the photos that the bucket has, without products taken down.

    None where the names in the bucket decide: nothing is fetched, and the listings name no keys.
    """
    ingested = tables.read(ingest_csv, tables.INGEST)
    if not enabled and ingested.empty:
        return None
    is_wanted = (ingested["status"] == "done") & ~ingested["product_id"].isin(taken_down)
    return ingested.loc[is_wanted, ["key", *tables.PHOTO_KEY]]


def parse_photos(keys: pd.Series) -> pd.DataFrame:
    """Return key, product_id and position of objects that have the names of photos."""
    rows = [(key, *(parse_key(key) or ())) for key in keys]
    return pd.DataFrame(rows, columns=["key", *tables.PHOTO_KEY])


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
    if photos is not None and (lost := sorted(set(photos["key"]).difference(inventory["key"]))):
        raise DataError(
            f"{len(lost)} photos that ingest found or uploaded are missing in {bucket}, such as {lost[0]}: "
            "run `make refresh`"
        )
    if inventory.empty:
        raise DataError(describe_empty(bucket, left_out, takedowns_csv, photos is None))
    tables.write(inventory_csv, tables.INVENTORY, inventory)
    print(
        f"inventory: {len(inventory)} photos, {inventory.drop_duplicates('key')['bytes'].sum() / 1e6:,.1f} MB; "
        f"{left_out.taken_down} of products taken down and {left_out.others} other objects are ignored"
    )


if __name__ == "__main__":
    stage.run("inventory", main)
