"""The bucket -> data/inventory.csv: exactly which objects the dataset is made of."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from imageset.errors import DataError
from imageset.formats import tables, takedowns
from imageset.runtime import params, progress, stage
from imageset.storage.bucket import StoredObject, list_objects, open_bucket
from imageset.storage.object_keys import parse_key


class LeftOut(NamedTuple):
    """How many objects are no part of the dataset: photos of products taken down, and all others."""

    taken_down: int
    others: int


def choose_objects(
    objects: Iterable[StoredObject], wanted: set[str] | None, taken_down: frozenset[int] = frozenset()
) -> tuple[pd.DataFrame, LeftOut]:
    """Return the table of the wanted objects (None: of all with a photo's key), and how many are left out.

    Objects of products in `taken_down` are never wanted. Memory does not grow with those that are left out.
    """
    parts, rows, forbidden, others = [], [], 0, 0
    for stored in objects:
        photo = parse_key(stored.key)
        if photo is not None and photo[0] in taken_down:
            forbidden += 1
            continue
        if photo is None or (wanted is not None and stored.key not in wanted):
            others += 1
            continue
        rows.append((stored.key, *photo, stored.etag, stored.bytes, stored.version_id))
        if len(rows) == tables.ROWS_AT_ONCE:
            parts.append(tables.frame(tables.INVENTORY, rows))
            rows = []
    table = pd.concat([*parts, tables.frame(tables.INVENTORY, rows)], ignore_index=True)
    return table, LeftOut(forbidden, others)


def read_wanted_keys(ingest_csv: Path, taken_down: frozenset[int]) -> set[str]:
    """Return the keys of the photos that ingest found in the bucket or uploaded, without products taken down."""
    fetched = tables.read(ingest_csv, tables.INGEST)
    return set(fetched.loc[(fetched["status"] == "done") & ~fetched["product_id"].isin(taken_down), "key"])


def main(ingest_csv: Path, takedowns_csv: Path, inventory_csv: Path) -> None:
    """List exactly which objects of the bucket the dataset is made of.

    Args:
        ingest_csv: how each photo of the listings ended: done, or rejected with a reason.
        takedowns_csv: products that are never fetched and never used again.
        inventory_csv: the objects of the bucket that the dataset is made of.
    """
    ingest = params.load().ingest
    taken_down = takedowns.read(takedowns_csv)
    wanted = read_wanted_keys(ingest_csv, taken_down) if ingest.enabled else None
    bucket = open_bucket()
    listed = progress.bar(list_objects(bucket), "inventory", None, unit="key")
    inventory, left_out = choose_objects(listed, wanted, taken_down)
    lost = sorted(wanted.difference(inventory["key"])) if wanted is not None else []
    if lost:
        raise DataError(
            f"{len(lost)} photos that ingest uploaded are missing in {bucket}, such as {lost[0]}: run `make refresh`"
        )
    if inventory.empty:
        but = f" but {left_out.taken_down} of products in {takedowns_csv}" if left_out.taken_down else ""
        raise DataError(f"{bucket} holds no photo named <product_id>.jpeg{but}: check IMAGE_STORE")
    tables.write(inventory_csv, tables.INVENTORY, inventory)
    print(
        f"inventory: {len(inventory)} photos, {inventory['bytes'].sum() / 1e6:,.1f} MB; "
        f"{left_out.taken_down} of products taken down and {left_out.others} other objects are ignored"
    )


if __name__ == "__main__":
    stage.run("inventory", main)
