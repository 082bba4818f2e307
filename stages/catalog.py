"""Groups, labels and corrections -> data/catalog.csv: a class for each photo, or the reason why it is left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pandas as pd

from imageset.curation import corrections
from imageset.curation.best_photos import find_alike, leave_out_duplicates
from imageset.curation.classes import assign_classes, label_changes, look_up
from imageset.curation.label_map import number_labels
from imageset.curation.spent import spent_rows
from imageset.errors import DataError
from imageset.formats import hand_edited, tables
from imageset.runtime import params, stage

FACTS = ("width", "height", "sharpness")  # by which the best photo of a picture is chosen
REASONS = frozenset(
    {"no_label", "unknown_class", "label_conflict", "duplicate", "rare_class", "shared_picture", "bridges_release"}
)


def read_corrections(
    corrections_labels_csv: Path, exclusions_csv: Path, classes: pd.DataFrame, known: pd.Index | None
) -> tuple[list[corrections.Decision], list[corrections.Decision]]:
    """Return the checked rows of both files.

    Args:
        corrections_labels_csv: which photos have another class.
        exclusions_csv: which photos are left out.
        classes: the rows of classes.csv.
        known: the products that a row may name; None for any.

    Raises:
        DataError: a row is malformed, names an unknown product or class, or contradicts another.
    """
    remarks = corrections.REMARKS
    labels = corrections.check_labels(
        hand_edited.read(corrections_labels_csv, corrections.LABEL_COLUMNS, remarks), classes
    )
    exclusions = corrections.check_exclusions(hand_edited.read(exclusions_csv, corrections.EXCLUSION_COLUMNS, remarks))
    if known is not None:
        corrections.require_known([*labels, *exclusions], known)
    return labels, exclusions


def list_products(*named: pd.DataFrame) -> pd.Index:
    """Return the products that tables name, each once."""
    return pd.Index(pd.unique(pd.concat([rows["product_id"].dropna().astype("int64") for rows in named])))


def choose_best(
    photos_csv: Path, released: pd.DataFrame, keep: Literal["all", "best"]
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what leaves out all photos of a picture but the best, or leaves out none."""
    if keep == "all":
        return lambda photos: photos

    def leave_out(photos: pd.DataFrame) -> pd.DataFrame:
        facts = tables.read(photos_csv, tables.PHOTOS, FACTS, find_alike(photos))
        return leave_out_duplicates(photos, facts, released)

    return leave_out


def describe(rows: int, spent: pd.DataFrame) -> str:
    """Return what the stage's line says of corrections."""
    return f"{rows} corrections, {rows - len(spent)} in use, {len(spent)} spent ({tables.tally(spent['why'])})"


def find_remedy(reasons: pd.Series) -> str:
    """Return what to do where no photo has a class."""
    if (reasons == "rare_class").any():
        return "lower catalog.min_photos"
    if (reasons == "no_label").any():
        return "let queries/labels.sql return classes of these products, or write them into corrections/labels.csv"
    return "see corrections/exclusions.csv and section catalog of params.yaml"


def main(
    groups_csv: Path,
    photos_csv: Path,
    labels_csv: Path,
    classes_csv: Path,
    corrections_labels_csv: Path,
    exclusions_csv: Path,
    released_split_csv: Path,
    released_label_map_csv: Path,
    catalog_csv: Path,
    label_map_csv: Path,
    label_changes_csv: Path,
    catalog_rejects_csv: Path,
    spent_corrections_csv: Path,
) -> None:
    """Give every photo its class, as people corrected it; drop or merge rare classes.

    Args:
        groups_csv: the group of each photo: photos of one group stay in one subset.
        photos_csv: what was measured on every photo, by which the best of one picture is chosen.
        labels_csv: every dated class of every product.
        classes_csv: the name and the parent of every class.
        corrections_labels_csv: the classes that people gave to photos.
        exclusions_csv: the photos that people left out, with a reason.
        released_split_csv: the photos of the last release. Corrections may name their products.
        released_label_map_csv: the labels that the last release fixed.
        catalog_csv: the class of each photo.
        label_map_csv: the label, the catalog_id and the name of each class.
        label_changes_csv: photos whose labels disagreed, or with another class than their own label, and why.
        catalog_rejects_csv: photos without a class, with a reason.
        spent_corrections_csv: corrections that change nothing any more, and why.
    """
    section, as_of = params.load().catalog, params.load().source.as_of
    groups, labels = tables.read(groups_csv, tables.GROUPS), tables.read(labels_csv, tables.LABELS)
    classes, released = (
        tables.read(classes_csv, tables.CLASSES),
        tables.read(released_label_map_csv, tables.LABEL_MAP),
    )
    released_split = tables.read(released_split_csv, tables.SPLIT)
    known = list_products(groups, labels, released_split)
    decided = read_corrections(corrections_labels_csv, exclusions_csv, classes, known if as_of is None else None)
    photos = corrections.attach(groups, *decided)
    assigned = assign_classes(photos, labels, classes, section, choose_best(photos_csv, released_split, section.keep))
    spent = spent_rows(photos, assigned, decided, known, (labels, classes, section.label_conflict == "latest"))
    total, changes, is_kept = len(photos), label_changes(assigned), assigned["reason"] == ""
    kept = assigned.loc[is_kept, ["product_id", "position", "row", "group", "merged"]]
    rejects = assigned.loc[~is_kept, list(tables.CATALOG_REJECTS.columns)]
    del groups, labels, photos, assigned  # they take more memory than what is written
    if kept.empty:
        raise DataError(f"no photo is left ({tables.tally(rejects['reason'])}): {find_remedy(rejects['reason'])}")
    assert total == len(kept) + len(rejects)
    assert set(rejects["reason"]) <= REASONS | {str(exclusion.value) for exclusion in decided[1]}
    label_map = number_labels({*kept["merged"].unique()}, released, classes)
    label_of = dict(zip(label_map["catalog_id"], label_map["label"], strict=True))
    catalog = kept.assign(catalog_id=kept["merged"], label=look_up(kept["merged"], label_of))
    tables.write(catalog_csv, tables.CATALOG, catalog)
    tables.write(label_map_csv, tables.LABEL_MAP, label_map)
    tables.write(label_changes_csv, tables.LABEL_CHANGES, changes)
    tables.write(catalog_rejects_csv, tables.CATALOG_REJECTS, rejects)
    tables.write(spent_corrections_csv, tables.SPENT_CORRECTIONS, spent)
    print(
        f"catalog: {total} photos, {len(kept)} in {kept['merged'].nunique()} classes and "
        f"{kept['group'].nunique()} groups, labels changed: {tables.tally(changes['change'])}; "
        f"{len(rejects)} rejected ({tables.tally(rejects['reason'])}); {describe(len(decided[0] + decided[1]), spent)}"
    )


if __name__ == "__main__":
    stage.run("catalog", main)
