"""Groups and labels -> data/catalog.csv: a class for each photo, or the reason why it is left out."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from imageset.curation import classes
from imageset.errors import DataError
from imageset.formats import tables
from imageset.runtime import params, stage

REASONS = frozenset({"no_label", "unknown_class", "label_conflict", "rare_class", "shared_picture", "bridges_release"})


def leave_out_rare(photos: pd.DataFrame, parents: Mapping[int, int], min_photos: int) -> pd.DataFrame:
    """Return the photos with the class that rare ones are merged into, in column merged; reason rare_class if none."""
    inside = photos["reason"] == ""
    counts = {int(catalog_id): int(count) for catalog_id, count in photos[inside]["catalog_id"].value_counts().items()}
    merged = look_up(photos["catalog_id"], classes.merge_rare(counts, parents, min_photos))
    return photos.assign(merged=merged, reason=photos["reason"].where(~inside | merged.notna(), "rare_class"))


def look_up(catalog_ids: pd.Series, found: Mapping[int, int]) -> pd.Series:
    """Return what is found of each, missing where nothing is; never by way of floats, which end at 2**53."""
    values = pd.Series(list(found.values()), index=pd.Index(list(found), dtype="Int64"), dtype="Int64")
    return values.reindex(catalog_ids).set_axis(catalog_ids.index)


def label_changes(photos: pd.DataFrame) -> pd.DataFrame:
    """Return what was decided where labels disagree or a class is rare: the classes told, and what it became."""
    became = photos["merged"].where(photos["reason"] == "")
    disagreeing = photos.assign(catalog_id=became)[photos["change"] != ""]
    moved = (photos["reason"] == "") & (photos["merged"] != photos["catalog_id"]).fillna(False)
    merged = photos.assign(change="rare_merged", told=photos["catalog_id"].astype(str), catalog_id=became)[moved]
    return pd.concat([disagreeing, merged])


def main(
    groups_csv: Path,
    labels_csv: Path,
    classes_csv: Path,
    released_label_map_csv: Path,
    catalog_csv: Path,
    label_map_csv: Path,
    label_changes_csv: Path,
    catalog_rejects_csv: Path,
) -> None:
    """Give every photo its class; drop or merge rare classes.

    Args:
        groups_csv: the group of each photo: photos of one group stay in one subset.
        labels_csv: every dated class of every product.
        classes_csv: the name and the parent of every class.
        released_label_map_csv: the labels that the last release fixed.
        catalog_csv: the class of each photo.
        label_map_csv: the label, the catalog_id and the name of each class.
        label_changes_csv: photos with another class than their own label, and why.
        catalog_rejects_csv: photos without a class, with a reason.
    """
    chosen = params.load().catalog
    photos = tables.read(groups_csv, tables.GROUPS)
    known = tables.read(classes_csv, tables.CLASSES)
    settled = classes.settle(photos, tables.read(labels_csv, tables.LABELS), known, chosen.label_conflict == "latest")
    decided = leave_out_rare(settled, classes.parents_of(known) if chosen.rare == "merge" else {}, chosen.min_photos)
    kept, rejects = decided[decided["reason"] == ""], decided[decided["reason"] != ""]
    if kept.empty:
        raise DataError(f"no photo is left ({tables.tally(rejects['reason'])}): see catalog.min_photos")
    assert len(photos) == len(kept) + len(rejects)
    assert set(rejects["reason"]) <= REASONS
    label_map = classes.number_labels(set(kept["merged"]), tables.read(released_label_map_csv, tables.LABEL_MAP), known)
    labels = dict(zip(label_map["catalog_id"], label_map["label"], strict=True))
    catalog = kept.assign(catalog_id=kept["merged"], label=look_up(kept["merged"], labels))
    changes = label_changes(decided)
    tables.write(catalog_csv, tables.CATALOG, catalog)
    tables.write(label_map_csv, tables.LABEL_MAP, label_map)
    tables.write(label_changes_csv, tables.LABEL_CHANGES, changes)
    tables.write(catalog_rejects_csv, tables.CATALOG_REJECTS, rejects)
    print(
        f"catalog: {len(photos)} photos, {len(kept)} in {kept['merged'].nunique()} classes and "
        f"{kept['group'].nunique()} groups, labels changed: {tables.tally(changes['change'])}; "
        f"{len(rejects)} rejected ({tables.tally(rejects['reason'])})"
    )


if __name__ == "__main__":
    stage.run("catalog", main)
