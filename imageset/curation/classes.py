"""Labels and corrections -> one class for each photo, or the reason why it has none, and what was changed; pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imageset.curation.rare_classes import merge_rare, parents_of
from imageset.formats import dates
from imageset.runtime.sections import CatalogParams

# How a photo is left out by the rules about labels, "" where it is not: a correction is stronger than these.
BY_LABELS = ("", "no_label", "unknown_class", "label_conflict")


def assign_classes(
    photos: pd.DataFrame,
    labels: pd.DataFrame,
    classes: pd.DataFrame,
    catalog: CatalogParams,
    leave_out: Callable[[pd.DataFrame], pd.DataFrame] = lambda photos: photos,
) -> pd.DataFrame:
    """Give every photo one class, and merge or leave out rare classes.

    Args:
        photos: the rows of groups.csv: product_id, position, picture (a number for what the photo shows), reason ("" of
            photos that are not left out), with what people decided, as corrections.attach returns them.
        labels: the rows of labels.csv.
        classes: the rows of classes.csv.
        catalog: section `catalog` of params.yaml.
        leave_out: gives further photos a reason, once all have their class.

    Returns:
        The photos with the columns of resolve_labels, apply_corrections and leave_out_rare.

    Raises:
        DataError: a class is its own ancestor, and rare classes are merged.
    """
    resolved = resolve_labels(photos, labels, classes, catalog.label_conflict == "latest")
    parents = parents_of(classes) if catalog.rare == "merge" else {}
    return leave_out_rare(leave_out(apply_corrections(resolved)), parents, catalog.min_photos)


def latest_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Return catalog_id and date of the latest row of each product, and all classes that its rows claim.

    Of several rows of one moment, the one with the lowest catalog_id counts. Rows without a product or a class are
    ignored.

    Args:
        labels: the rows of labels.csv.

    Returns:
        One row a product. Index: product_id. Columns: catalog_id (Int64), date, told ("11 12").
    """
    complete = labels.assign(date=dates.sortable(labels["date"])).dropna(subset=["product_id", "catalog_id"])
    ordered = complete.sort_values(["product_id", "date", "catalog_id"], ascending=[True, False, True], kind="stable")
    latest = ordered.drop_duplicates("product_id").set_index("product_id")[["catalog_id", "date"]]
    pairs = complete[["product_id", "catalog_id"]].drop_duplicates().sort_values(["product_id", "catalog_id"])
    claimed_classes = pairs["catalog_id"].astype(str).groupby(pairs["product_id"]).agg(" ".join)
    # Int64, not int64: a product without a label would turn the column into floats, which round beyond 2**53.
    return latest.assign(told=claimed_classes).astype({"catalog_id": "Int64"}).set_axis(latest.index.astype(np.int64))


def resolve_labels(
    photos: pd.DataFrame, labels: pd.DataFrame, classes: pd.DataFrame, keeps_latest: bool
) -> pd.DataFrame:
    """Give every photo one class, and say where labels disagree.

    With keeps_latest, a product has the class of its latest row, and a picture on several products has the class of the
    latest of all their rows. Other photos of these products keep the class of their product.

    Args:
        photos: with columns product_id, position, picture and reason, as in groups.csv.
        labels: the rows of labels.csv.
        classes: the rows of classes.csv.
        keeps_latest: whether the latest row decides where labels disagree. If not, such photos are left out.

    Returns:
        The photos with these columns. catalog_id: Int64, missing without a label. told: the classes that its product
        claims, or all products with this picture where they disagree. change: "", several_labels (the rows of its
        product claim several classes) or same_photo (products that show this picture have several classes). reason:
        also no_label, unknown_class (of the product's latest row) and, without keeps_latest, label_conflict.
    """
    of_product = latest_labels(labels).reindex(photos["product_id"]).set_axis(photos.index)
    table = photos.assign(**of_product)
    has_several = table["told"].str.contains(" ", na=False)
    is_unknown = ~table["catalog_id"].isin(classes["catalog_id"])
    problem = np.select([table["catalog_id"].isna(), is_unknown, has_several & (not keeps_latest)], [1, 2, 3], 0)
    table["reason"] = table["reason"].where(table["reason"] != "", take_texts(BY_LABELS, problem, table))
    table["change"] = take_texts(("", "several_labels"), has_several.astype("int64"), table)
    return resolve_pictures(table, keeps_latest).drop(columns="date")


def take_texts(texts: Sequence[str], places: Any, table: pd.DataFrame) -> pd.Series:
    """Return a text for each row of a table, by its place among all. NumPy's texts would take 56 bytes each."""
    return pd.Series(pd.array(texts, dtype="str")[places], table.index)


def resolve_pictures(table: pd.DataFrame, keeps_latest: bool) -> pd.DataFrame:
    """Give all photos of one picture one class, or leave them out, where their products have several."""
    inside = table["reason"] == ""
    pairs = table.loc[inside, ["picture", "catalog_id"]].drop_duplicates()
    disagrees = table["picture"].isin(pairs["picture"][pairs["picture"].duplicated()])
    conflicting = table[inside & disagrees].sort_values(
        ["picture", "date", "catalog_id"], ascending=[True, False, True]
    )
    of_picture = conflicting.groupby("picture").agg(
        catalog_id=("catalog_id", "first"), claimed_classes=("catalog_id", classes_as_text)
    )
    table.loc[conflicting.index, ["change", "told"]] = ""
    table.loc[conflicting.index, "change"] = "same_photo"
    table.loc[conflicting.index, "told"] = conflicting["picture"].map(of_picture["claimed_classes"])
    if keeps_latest:
        table.loc[conflicting.index, "catalog_id"] = conflicting["picture"].map(of_picture["catalog_id"])
    else:
        table.loc[conflicting.index, "reason"] = "label_conflict"
    return table


def apply_corrections(resolved: pd.DataFrame) -> pd.DataFrame:
    """Give corrected photos their class, and photos of the same picture that have no correction.

    A photo that has no class of its own (no_label, unknown_class) takes no other photo's. Where the corrections of one
    picture disagree, each counts for its own photos, and the lowest catalog_id for the others.

    Args:
        resolved: as resolve_labels returns it, with column corrected_to of corrections.attach.

    Returns:
        The photos with other values of catalog_id, reason and change (corrected where the rules about labels give
        another class, or none).
    """
    reason, given = resolved["reason"], resolved["corrected_to"]
    is_direct = given.notna() & reason.isin(BY_LABELS)
    of_picture = given[is_direct].groupby(resolved["picture"][is_direct]).min()
    follows = ~is_direct & reason.isin(["", "label_conflict"]) & resolved["picture"].isin(of_picture.index)
    takes = is_direct | follows
    class_ = given.where(is_direct, of_picture.reindex(resolved["picture"]).set_axis(resolved.index))
    is_changed = takes & ((reason != "") | (class_ != resolved["catalog_id"]).fillna(True))
    return resolved.assign(
        catalog_id=resolved["catalog_id"].where(~takes, class_),
        reason=reason.where(~takes, ""),
        change=resolved["change"].where(~is_changed, "corrected"),
    )


def classes_as_text(catalog_ids: pd.Series) -> str:
    return " ".join(map(str, sorted(set(catalog_ids))))


def leave_out_rare(photos: pd.DataFrame, parents: Mapping[int, int], min_photos: int) -> pd.DataFrame:
    """Return the photos with column merged: the class that takes them. Without one, the reason is rare_class."""
    inside = photos["reason"] == ""
    counts = {int(catalog_id): int(count) for catalog_id, count in photos[inside]["catalog_id"].value_counts().items()}
    merged = look_up(photos["catalog_id"], merge_rare(counts, parents, min_photos))
    return photos.assign(merged=merged, reason=photos["reason"].where(~inside | merged.notna(), "rare_class"))


def look_up(catalog_ids: pd.Series, values: Mapping[int, int]) -> pd.Series:
    """Return the value of each class as Int64, missing where it has none. Floats would round ids beyond 2**53."""
    known = pd.Series(list(values.values()), index=pd.Index(list(values), dtype="Int64"), dtype="Int64")
    return known.reindex(catalog_ids).set_axis(catalog_ids.index)


def label_changes(photos: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of label_changes.csv: where labels disagree, a person corrected one, or a class is rare.

    photos: as assign_classes returns them.
    """
    final = photos["merged"].where(photos["reason"] == "")
    disagreeing = photos[photos["change"] != ""]
    merged = photos[(photos["reason"] == "") & (photos["merged"] != photos["catalog_id"]).fillna(False)]
    merged = merged.assign(change="rare_merged", told=merged["catalog_id"].astype(str))
    both = pd.concat([disagreeing, merged])
    return both.assign(catalog_id=final[both.index])
