"""Which photos a change added, lost, relabelled, excluded or moved to another subset."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from imageset.formats import tables
from tools.compare.outputs import read_output
from tools.dvc_files import Stage

KEY = list(tables.PHOTO_KEY)
TABLES = {
    "data/catalog.csv": tables.CATALOG,
    "data/split.csv": tables.SPLIT,
    "data/ingest.csv": tables.INGEST,
    "data/rejects.csv": tables.REJECTS,
    "data/catalog_rejects.csv": tables.CATALOG_REJECTS,
}


class Side(NamedTuple):
    """The photos of a side: those of its dataset, and those that its stages left out. Index: product_id, position."""

    photos: pd.DataFrame  # catalog_id, subset, row, group
    left_out: pd.Series  # the reason


class PhotoChanges(NamedTuple):
    """The photos that differ between both sides. Index: product_id, position."""

    added: pd.DataFrame  # catalog_id, subset
    gone: pd.DataFrame  # catalog_id, subset, reason: why head leaves the photo out; "" where head does not have it
    relabelled: pd.DataFrame  # base, head: catalog_ids
    moved: pd.DataFrame  # base, head: subsets


def read_side(runs: Mapping[str, Stage]) -> Side | None:
    """Return the photos of a side by its recorded runs; None where DVC's cache lacks its tables. Raises DataError."""
    read = {path: read_output(runs, path, table) for path, table in TABLES.items()}
    if any(table is None for table in read.values()):
        return None
    catalog, split, *rejects = (table.set_index(KEY) for table in read.values() if table is not None)
    reasons = pd.concat([table["reason"] for table in rejects])
    reasons = reasons[reasons != ""]  # before the first of each is kept: most photos have a row without a reason, too
    photos = catalog[["catalog_id", "row", "group"]].join(split["subset"], how="inner")
    return Side(photos, reasons[~reasons.index.duplicated()])


def find_changes(base: Side, head: Side) -> PhotoChanges:
    """Return the photos that differ."""
    before, after = base.photos, head.photos
    gone = before.loc[before.index.difference(after.index), ["catalog_id", "subset"]]
    kept = before.index.intersection(after.index)
    changed = {}
    for name in ("catalog_id", "subset"):
        pairs = pd.DataFrame({"base": before.loc[kept, name], "head": after.loc[kept, name]})
        changed[name] = pairs[pairs["base"] != pairs["head"]].sort_index()
    return PhotoChanges(
        after.loc[after.index.difference(before.index), ["catalog_id", "subset"]],
        gone.assign(reason=head.left_out.reindex(gone.index).fillna("")),
        changed["catalog_id"],
        changed["subset"],
    )
