"""The bucket -> data/inventory.csv: exactly which objects the dataset is made of."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from imageset.errors import DataError
from imageset.formats import tables
from imageset.runtime import params, progress, stage
from imageset.storage.bucket import StoredObject, list_objects, open_bucket
from imageset.storage.object_keys import parse_key


def choose_objects(objects: Iterable[StoredObject], wanted: set[str] | None) -> tuple[pd.DataFrame, int]:
    """Return the table of the wanted objects (None: of all with a photo's key), and how many others there are.

    Memory does not grow with the others.
    """
    parts, rows, others = [], [], 0
    for stored in objects:
        photo = parse_key(stored.key)
        if photo is None or (wanted is not None and stored.key not in wanted):
            others += 1
            continue
        rows.append((stored.key, *photo, stored.etag, stored.bytes, stored.version_id))
        if len(rows) == tables.ROWS_AT_ONCE:
            parts.append(tables.frame(tables.INVENTORY, rows))
            rows = []
    return pd.concat([*parts, tables.frame(tables.INVENTORY, rows)], ignore_index=True), others


def read_wanted_keys(ingest_csv: Path) -> set[str]:
    """Return the keys of the photos that ingest found in the bucket or uploaded."""
    fetched = tables.read(ingest_csv, tables.INGEST)
    return set(fetched.loc[fetched["status"] == "done", "key"])


def main(ingest_csv: Path, inventory_csv: Path) -> None:
    """List exactly which objects of the bucket the dataset is made of.

    Args:
        ingest_csv: how each photo of the listings ended: done, or rejected with a reason.
        inventory_csv: the objects of the bucket that the dataset is made of.
    """
    ingest = params.load().ingest
    wanted = read_wanted_keys(ingest_csv) if ingest.enabled else None
    bucket = open_bucket()
    listed = progress.bar(list_objects(bucket), "inventory", None, unit="key")
    inventory, others = choose_objects(listed, wanted)
    lost = sorted(wanted.difference(inventory["key"])) if wanted is not None else []
    if lost:
        raise DataError(
            f"{len(lost)} photos that ingest uploaded are missing in {bucket}, such as {lost[0]}: run `make refresh`"
        )
    if inventory.empty:
        raise DataError(f"{bucket} holds no photo named <product_id>.jpeg: check IMAGE_STORE")
    tables.write(inventory_csv, tables.INVENTORY, inventory)
    print(
        f"inventory: {len(inventory)} photos, {inventory['bytes'].sum() / 1e6:,.1f} MB; "
        f"{others} other objects are ignored"
    )


if __name__ == "__main__":
    stage.run("inventory", main)
