"""Groups and labels -> data/catalog.csv: a class for each photo, or the reason why it is left out."""

from pathlib import Path

from imageset.curation.classes import assign_classes, label_changes, look_up
from imageset.curation.label_map import number_labels
from imageset.errors import DataError
from imageset.formats import tables
from imageset.runtime import params, stage

REASONS = frozenset({"no_label", "unknown_class", "label_conflict", "rare_class", "shared_picture", "bridges_release"})


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
    section = params.load().catalog
    photos, labels = tables.read(groups_csv, tables.GROUPS), tables.read(labels_csv, tables.LABELS)
    classes = tables.read(classes_csv, tables.CLASSES)
    assigned = assign_classes(photos, labels, classes, section)
    kept, rejects = assigned[assigned["reason"] == ""], assigned[assigned["reason"] != ""]
    if kept.empty:
        raise DataError(f"no photo is left ({tables.tally(rejects['reason'])}): see catalog.min_photos")
    assert len(photos) == len(kept) + len(rejects)
    assert set(rejects["reason"]) <= REASONS
    released = tables.read(released_label_map_csv, tables.LABEL_MAP)
    label_map = number_labels(set(kept["merged"]), released, classes)
    label_of = dict(zip(label_map["catalog_id"], label_map["label"], strict=True))
    catalog = kept.assign(catalog_id=kept["merged"], label=look_up(kept["merged"], label_of))
    changes = label_changes(assigned)
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
