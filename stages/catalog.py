"""Photos and labels -> data/catalog.csv: one class a product, rare classes out, near-duplicates grouped."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from imageset import params, progress, stage, tables
from imageset.errors import DataError
from imageset.params import Section

REASONS = frozenset({"no_label", "unknown_class", "rare_class"})
PAIRS_AT_ONCE = 1 << 24


class CatalogParams(Section):
    """Section `catalog`."""

    near_duplicate_distance: int = Field(ge=0, le=64)
    min_photos: int = Field(ge=1)


def latest_labels(labels: pd.DataFrame) -> pd.Series:
    """Return the catalog_id of each product_id: of its latest dated row, of several at one moment the lowest.

    Rows without a product or a class say nothing and are passed over.
    """
    told = labels.dropna(subset=["product_id", "catalog_id"])
    ordered = told.sort_values(["product_id", "date", "catalog_id"], ascending=[True, False, True], kind="stable")
    latest = ordered.drop_duplicates("product_id")
    # Int64 and not int64: a product without a label would make floats of all, and round what is beyond 2**53.
    return pd.Series(latest["catalog_id"].array, index=latest["product_id"].to_numpy(np.int64), dtype="Int64")


def classify(photos: pd.DataFrame, labels: pd.DataFrame, classes: pd.DataFrame, min_photos: int) -> pd.DataFrame:
    """Return the photos with columns catalog_id (Int64) and reason, "" for those that stay."""
    classified = photos.assign(catalog_id=photos["product_id"].map(latest_labels(labels)).astype("Int64"))
    known = classified["catalog_id"].isin(classes["catalog_id"])
    counts = classified["catalog_id"].map(classified["catalog_id"].value_counts()).fillna(0)
    reason = np.select([classified["catalog_id"].isna(), ~known, counts < min_photos],
                       ["no_label", "unknown_class", "rare_class"], "")
    return classified.assign(reason=reason)


def number_classes(catalog_ids: set[int], released: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Return the label map: released numbers stay, new classes follow in the order of their catalog_id.

    Raises DataError when the released numbers are not 0 to their count.
    """
    if sorted(released["label"]) != list(range(len(released))):
        raise DataError("releases/label_map.csv: labels have to be 0, 1, 2, ... without a gap")
    ordered = released.sort_values("label")["catalog_id"].tolist()
    ordered += sorted(catalog_ids - set(ordered))
    names = dict(zip(classes["catalog_id"], classes["name"], strict=True))
    known = dict(zip(released["catalog_id"], released["name"], strict=True)) | names
    rows = [(label, catalog_id, known[catalog_id]) for label, catalog_id in enumerate(ordered)]
    return tables.frame(tables.LABEL_MAP, rows)


def near_pairs(photos: pd.DataFrame, distance: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield row numbers of photos whose hash is within `distance` bits of another's, or of its mirror image.

    Every pair is compared, so many at a time: time grows with the square of the photos, memory with the pairs found.
    """
    plain = np.array([int(value, 16) for value in photos["phash"]], dtype=np.uint64)
    mirrored = np.array([int(value, 16) for value in photos["phash_mirrored"]], dtype=np.uint64)
    rows = max(1, PAIRS_AT_ONCE // max(1, len(plain)))
    for start in progress.bar(range(0, len(plain), rows), "near-duplicates", -(-len(plain) // rows), unit="block"):
        block = plain[start:start + rows, np.newaxis]
        near = np.bitwise_count(block ^ plain) <= distance
        near |= np.bitwise_count(block ^ mirrored) <= distance
        left, right = np.nonzero(near)
        yield left + start, right


def first_alike(values: pd.Series) -> NDArray[np.intp]:
    """Return for each row the number of the first row with the same value."""
    _, first, inverse = np.unique(values.to_numpy(), return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.intp)


def group(photos: pd.DataFrame, distance: int) -> pd.Series:
    """Return each photo's group: the lowest product_id among all that are tied to it.

    Photos are tied when they are of one product, have the same bytes, or are near-duplicates; ties chain.
    """
    alike = {column: first_alike(photos[column]) for column in ("product_id", "sha256", "phash")}
    ties = [(np.arange(len(photos)), first) for first in alike.values()]
    # One photo of each hash is compared: a placeholder picture on thousands of listings would make millions of pairs.
    distinct = np.unique(alike["phash"])
    pairs = near_pairs(photos.iloc[distinct], distance)
    near = [(distinct[left], distinct[right]) for left, right in pairs]
    left, right = (np.concatenate(side) for side in zip(*ties, *near, strict=True))
    graph = coo_array((np.ones(len(left), bool), (left, right)), shape=(len(photos), len(photos)))
    _, component = connected_components(graph, directed=False)
    return photos["product_id"].groupby(component).transform("min")


def main(processed_csv: Path, labels_csv: Path, classes_csv: Path, released_csv: Path, catalog_csv: Path,
         label_map_csv: Path, catalog_rejects_csv: Path) -> None:
    chosen = params.load("catalog", CatalogParams)
    photos = tables.read(processed_csv, tables.PROCESSED)
    classes = tables.read(classes_csv, tables.CLASSES)
    classified = classify(photos, tables.read(labels_csv, tables.LABELS), classes, chosen.min_photos)
    kept = classified[classified["reason"] == ""].reset_index(drop=True)
    rejects = classified[classified["reason"] != ""]
    if kept.empty:
        raise DataError(f"no photo is left ({tables.tally(rejects['reason'])}): see catalog.min_photos")
    label_map = number_classes(set(kept["catalog_id"]), tables.read(released_csv, tables.LABEL_MAP), classes)
    labels = dict(zip(label_map["catalog_id"], label_map["label"], strict=True))
    catalog = kept.assign(label=kept["catalog_id"].map(labels), group=group(kept, chosen.near_duplicate_distance))
    assert len(photos) == len(catalog) + len(rejects)
    assert set(rejects["reason"]) <= REASONS
    tables.write(catalog_csv, tables.CATALOG, catalog)
    tables.write(label_map_csv, tables.LABEL_MAP, label_map)
    tables.write(catalog_rejects_csv, tables.CATALOG_REJECTS, rejects)
    print(f"catalog: {len(photos)} photos, {len(catalog)} in {len(label_map)} classes and "
          f"{catalog['group'].nunique()} groups, {len(rejects)} rejected ({tables.tally(rejects['reason'])})")


if __name__ == "__main__":
    stage.run("catalog", main)
