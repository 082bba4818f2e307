"""Labels as they are -> one class for each photo, or why it has none, and what was changed on the way; pure."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from imageset.errors import DataError
from imageset.formats import tables


def latest_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Return, for each product_id (the index), catalog_id and date of its latest row, and all its classes as text.

    Of several rows at one moment the lowest catalog_id counts. Rows without a product or a class say nothing and are
    passed over. Columns: catalog_id (Int64), date, told ("11 12").
    """
    said = labels.dropna(subset=["product_id", "catalog_id"])
    ordered = said.sort_values(["product_id", "date", "catalog_id"], ascending=[True, False, True], kind="stable")
    latest = ordered.drop_duplicates("product_id").set_index("product_id")[["catalog_id", "date"]]
    pairs = said[["product_id", "catalog_id"]].drop_duplicates().sort_values(["product_id", "catalog_id"])
    told = pairs["catalog_id"].astype(str).groupby(pairs["product_id"]).agg(" ".join)
    # Int64 and not int64: a product without a label would make floats of all, and round what is beyond 2**53.
    return latest.assign(told=told).astype({"catalog_id": "Int64"}).set_axis(latest.index.astype(np.int64))


def settle(photos: pd.DataFrame, labels: pd.DataFrame, classes: pd.DataFrame, keeps_latest: bool) -> pd.DataFrame:
    """Return the photos with one class each and with what labels disagreed on.

    photos: product_id, position, picture (a number for what it shows), reason ("" for those that are in so far).
    Columns added: catalog_id (Int64, of those that are in), told (all classes of its product, or of its picture where
    products disagree), change ("", or several_labels: its product's rows name several classes; same_photo: products
    that show this picture have several). reason becomes no_label, unknown_class (of the product's latest row) or,
    unless keeps_latest, label_conflict. With keeps_latest a product has the class of its latest row, and a picture that
    of the latest of its products' rows; other photos of these products keep theirs.
    """
    of_product = latest_labels(labels).reindex(photos["product_id"]).set_axis(photos.index)
    table = photos.assign(**of_product)
    several = table["told"].str.contains(" ", na=False)
    problem = np.select(
        [table["catalog_id"].isna(), ~table["catalog_id"].isin(classes["catalog_id"]), several & (not keeps_latest)],
        ["no_label", "unknown_class", "label_conflict"],
        "",
    )
    table["reason"] = table["reason"].where(table["reason"] != "", problem)
    table["change"] = np.where(several, "several_labels", "")
    inside = table[table["reason"] == ""]
    disagreeing = inside.groupby("picture")["catalog_id"].transform("nunique") > 1
    torn = inside[disagreeing].sort_values(["picture", "date", "catalog_id"], ascending=[True, False, True])
    of_picture = torn.groupby("picture").agg(catalog_id=("catalog_id", "first"), told=("catalog_id", classes_as_text))
    table.loc[torn.index, ["change", "told"]] = ""
    table.loc[torn.index, "change"] = "same_photo"
    table.loc[torn.index, "told"] = torn["picture"].map(of_picture["told"])
    if keeps_latest:
        table.loc[torn.index, "catalog_id"] = torn["picture"].map(of_picture["catalog_id"])
    else:
        table.loc[torn.index, "reason"] = "label_conflict"
    return table.drop(columns="date")


def classes_as_text(catalog_ids: pd.Series) -> str:
    return " ".join(map(str, sorted(set(catalog_ids))))


def parents_of(classes: pd.DataFrame) -> dict[int, int]:
    """Return the parent of each class that has one among the classes. Raises DataError when one is its own ancestor."""
    has_one = classes["parent_id"].isin(classes["catalog_id"]) & (classes["parent_id"] != classes["catalog_id"])
    pairs = classes[has_one.fillna(False)]
    parents: dict[int, int] = dict(zip(pairs["catalog_id"].tolist(), pairs["parent_id"].tolist(), strict=True))
    depths(parents)
    return parents


def depths(parents: Mapping[int, int]) -> dict[int, int]:
    """Return how many ancestors each class has that has some. Raises DataError when one is its own ancestor."""
    known: dict[int, int] = {}
    for start in parents:
        walk: dict[int, None] = {}
        here = start
        while here in parents and here not in known:
            if here in walk:
                raise DataError(
                    f"class {here} is its own ancestor by parent_id: mend it in the database, or set catalog.rare: drop"
                )
            walk[here] = None
            here = parents[here]
        depth = known.get(here, 0)
        for catalog_id in reversed(walk):
            depth += 1
            known[catalog_id] = depth
    return known


def merge_rare(photos: Mapping[int, int], parents: Mapping[int, int], min_photos: int) -> dict[int, int]:
    """Return in which class the photos of each class end, without those that end in none.

    photos: how many each class has. From the leaves up, a class with fewer than min_photos, counting what came up to
    it, hands all to its parent; where there is none, they are dropped.

    >>> merge_rare({11: 2, 12: 3, 13: 9, 20: 1}, {11: 10, 12: 10, 13: 10}, 5)
    {11: 10, 12: 10, 13: 13}
    """
    holds = {catalog_id: [catalog_id] for catalog_id in photos}
    total = dict(photos)
    depth = depths(parents)
    for catalog_id in sorted({*photos, *parents, *parents.values()}, key=lambda one: (-depth.get(one, 0), one)):
        if 0 < total.get(catalog_id, 0) < min_photos:
            moved, count = holds.pop(catalog_id), total.pop(catalog_id)
            if catalog_id in parents:
                parent = parents[catalog_id]
                holds.setdefault(parent, []).extend(moved)
                total[parent] = total.get(parent, 0) + count
    return dict(sorted((child, catalog_id) for catalog_id, children in holds.items() for child in children))


def number_labels(catalog_ids: set[int], released: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Return the label map: released numbers stay, new classes follow in the order of their catalog_id.

    A class without a name, now and in the release, is called by its catalog_id. Raises DataError as require_numbered.
    """
    require_numbered(released)
    ordered = released.sort_values("label")["catalog_id"].tolist()
    ordered += sorted(catalog_ids - set(ordered))
    names = {
        catalog_id: name
        for table in (released, classes)
        for catalog_id, name in zip(table["catalog_id"], table["name"], strict=True)
        if name.strip()
    }
    rows = [(label, catalog_id, names.get(catalog_id, str(catalog_id))) for label, catalog_id in enumerate(ordered)]
    return tables.frame(tables.LABEL_MAP, rows)


def require_numbered(released: pd.DataFrame) -> None:
    """Raise DataError when the numbers of a released label map are not 0 to their count, or a class has two."""
    if sorted(released["label"]) != list(range(len(released))):
        raise DataError("releases/label_map.csv: labels have to be 0, 1, 2, ... without a gap")
    if released["catalog_id"].duplicated().any():
        raise DataError("releases/label_map.csv: a catalog_id stands there twice")
