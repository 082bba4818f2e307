"""The figures of reports/: photos from stage to stage, classes, groups, rows."""

from itertools import pairwise
from typing import Any, NamedTuple

import h5py
import pandas as pd

from imageset.errors import DataError
from imageset.formats import hdf5, tables

STAGE_TABLES = {  # the tables of StageTables in its order, by their names in data/
    "listings": tables.LISTINGS,
    "listings_rejects": tables.LISTING_REJECTS,
    "ingest": tables.INGEST,
    "inventory": tables.INVENTORY,
    "rejects": tables.REJECTS,
    "catalog": tables.CATALOG,
    "catalog_rejects": tables.CATALOG_REJECTS,
    "label_changes": tables.LABEL_CHANGES,
    "near_duplicates": tables.NEAR_DUPLICATES,
    "label_map": tables.LABEL_MAP,
    "split": tables.SPLIT,
}

COUNTED = {  # the columns that the figures count; of listings and inventory, the rows
    "listings": (),
    "listings_rejects": ("reason",),
    "ingest": ("status", "reason"),
    "inventory": (),
    "rejects": ("reason",),
    "catalog": ("catalog_id", "group"),
    "catalog_rejects": ("reason",),
    "label_changes": ("change",),
    "split": ("subset",),
}

DIGEST_DIGITS = 12  # of the content digest: whether two are equal shows, and a table of them stays narrow


class StageTables(NamedTuple):
    """The tables of the stages, some with the columns of COUNTED alone."""

    listings: pd.DataFrame
    listing_rejects: pd.DataFrame
    ingest: pd.DataFrame
    inventory: pd.DataFrame
    rejects: pd.DataFrame
    catalog: pd.DataFrame
    catalog_rejects: pd.DataFrame
    label_changes: pd.DataFrame
    near_duplicates: pd.DataFrame
    label_map: pd.DataFrame
    split: pd.DataFrame


def count(values: pd.Series) -> dict[str, int]:
    """Return how often each value occurs, sorted by value."""
    return {str(value): int(number) for value, number in sorted(values.value_counts().items())}


def photo_flow(data: StageTables) -> dict[str, dict[str, Any]]:
    """Return for each stage the photos in, the photos out, and the rejects by reason.

    Raises:
        DataError: a photo is lost or appears between two stages.
    """
    refused = data.ingest[data.ingest["status"] == "rejected"]
    fetches = len(data.ingest) > 0  # without ingest the bucket decides which photos there are, not the listings
    flow = {
        "listings": (len(data.listings) + len(data.listing_rejects), len(data.listings), data.listing_rejects),
        "ingest": (len(data.ingest), len(data.ingest) - len(refused), refused),
        "preprocess": (len(data.inventory), len(data.catalog) + len(data.catalog_rejects), data.rejects),
        "catalog": (len(data.catalog) + len(data.catalog_rejects), len(data.catalog), data.catalog_rejects),
        "split": (len(data.catalog), len(data.split), data.split[:0].assign(reason="")),
    }
    for name, (came, went, rejects) in flow.items():
        if came != went + len(rejects):
            raise DataError(f"{name}: {came} photos came in, {went} went out and {len(rejects)} were rejected")
    stages = list(flow) if fetches else list(flow)[2:]
    for before, after in pairwise(stages):
        if flow[before][1] != flow[after][0]:
            raise DataError(f"{flow[before][1]} photos left {before} and {flow[after][0]} came to {after}")
    return {
        name: {"in": came, "out": went, "rejected": count(rejects["reason"])}
        for name, (came, went, rejects) in flow.items()
    }


def class_table(data: StageTables) -> pd.DataFrame:
    """Return the photos per class and subset, the largest class first.

    Columns: catalog_id, name, train, validation (if there is one), test, photos.
    """
    photos = data.catalog.merge(data.split, on=["product_id", "position"])
    counts = photos.groupby(["catalog_id", "subset"]).size().unstack(fill_value=0)
    subsets = [subset for subset in hdf5.SUBSETS if subset != "validation" or subset in counts]
    counts = counts.reindex(index=data.label_map["catalog_id"], columns=subsets, fill_value=0)
    named = data.label_map[["catalog_id", "name"]].merge(counts, left_on="catalog_id", right_index=True)
    named["photos"] = named[subsets].sum(axis=1)
    return named.sort_values(["photos", "catalog_id"], ascending=[False, True]).reset_index(drop=True)


def metrics(
    data: StageTables,
    photos: pd.DataFrame,
    flow: dict[str, dict[str, Any]],
    classes: pd.DataFrame,
    file: h5py.File,
) -> dict[str, Any]:
    """Return the figures of reports/metrics.json: what a person wants to see change, or stay, in `dvc metrics diff`.

    Args:
        data: the tables of the stages.
        photos: data/photos.csv.
        flow: what `photo_flow` returns.
        classes: what `class_table` returns.
        file: the dataset.
    """
    products = data.catalog.groupby("group")["product_id"].nunique()
    came = flow["listings"]["in"] if len(data.ingest) else flow["preprocess"]["in"]
    return {
        "photos": {"listed": came, "used": flow["split"]["out"]},
        "rejected": {name: stage["rejected"] for name, stage in flow.items() if stage["rejected"]},
        "rows": {subset: len(file[f"{subset}_images"]) for subset in hdf5.subsets(file)},
        "classes": {
            "count": len(classes),
            "largest": int(classes["photos"].max()),
            "smallest": int(classes["photos"].min()),
            "without_test_photos": int((classes["test"] == 0).sum()),
        },
        "test_share": round(float(classes["test"].sum() / classes["photos"].sum()), 4),
        "groups": {
            "of_several_products": int((products > 1).sum()),
            "pairs_found_to_look_alike": len(data.near_duplicates),
        },
        "labels_changed": count(data.label_changes["change"]),
        "colour_profiles": count(photos["profile"][photos["profile"] != ""]),
        "copies": copy_counts(file),
        "pixels": {name: [round(value, 4) for value in file.attrs[name].tolist()] for name in ("mean", "std")},
        "content_digest": str(file.attrs["content_digest"])[:DIGEST_DIGITS],
    }


def copy_counts(file: h5py.File) -> dict[str, Any]:
    """Return the most copies of a photo, and how uneven the rows of the classes are after augment.balance."""
    copies, labels = file["train_copies"][:], file["train_labels"][:]
    rows, photos = (pd.Series(some).value_counts().sort_index() for some in (labels, labels[copies == 0]))
    return {
        "most": int(copies.max()) + 1,
        "classes_with_more": int((rows > photos * (rows / photos).min()).sum()),
        "largest_to_smallest_class": round(float(rows.max() / rows.min()), 2),
    }
