"""Corrections that change nothing any more, and why; pure.

A row whose class the labels said already when it was written is not spent: a person found the label right. Such a row
holds the label against later ones. Nor is a row spent without which another row would give its photos another class.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import pandas as pd

from imageset.curation.classes import resolve_labels
from imageset.curation.corrections import Decision
from imageset.formats import dates, tables

WHY = {
    "repeated": "an earlier row says the same",
    "not_in_dataset": "the product is not in the dataset as of source.as_of",
    "no_photo": "the product has no such photo now",
    "overruled": "each photo of the product has a row with its position",
    "excluded": "corrections/exclusions.csv leaves its photos out",
    "left_out": "its photos are left out as shared_picture or bridges_release",
    "same_as_label": "the labels say the same by now",
}


def spent_rows(
    photos: pd.DataFrame,
    assigned: pd.DataFrame,
    decided: tuple[list[Decision], list[Decision]],
    known: Collection[int],
    of_labels: tuple[pd.DataFrame, pd.DataFrame, bool],
) -> pd.DataFrame:
    """Return the rows of spent_corrections.csv.

    Args:
        photos: as corrections.attach returns them.
        assigned: what classes.assign_classes made of them.
        decided: the decisions of corrections/labels.csv and of corrections/exclusions.csv.
        known: the products of the dataset.
        of_labels: labels, classes and keeps_latest, as resolve_labels takes them.

    Returns:
        Columns file, line, product_id, position, why (a key of WHY).
    """
    labels, exclusions = decided
    of_products: defaultdict[int, set[int]] = defaultdict(set)
    concerned = [decision.product_id for decision in (*labels, *exclusions)]
    here = photos.loc[photos["product_id"].isin(concerned), ["product_id", "position"]]
    for product_id, position in here.itertuples(index=False, name=None):
        of_products[product_id].add(position)
    found = []
    for decisions, column in ((labels, "label_row"), (exclusions, "exclusion_row")):
        whys = why_not_deciding(decisions, set(photos[column]), known, of_products)
        if column == "label_row":
            whys |= why_without_effect(labels, photos, assigned, of_labels)
        found += [(*decisions[row][:4], why) for row, why in whys.items()]
    return tables.frame(tables.SPENT_CORRECTIONS, sorted(found, key=lambda row: row[:2]))


def why_not_deciding(
    decisions: list[Decision], deciding: set[int], known: Collection[int], of_products: dict[int, set[int]]
) -> dict[int, str]:
    """Return why rows decide about no photo, by their number."""
    whys, seen = {}, set()
    for row, decision in enumerate(decisions):
        key = decision.product_id, decision.position
        positions = of_products.get(decision.product_id, set())
        if key in seen:
            whys[row] = "repeated"
        elif decision.product_id not in known:
            whys[row] = "not_in_dataset"
        elif not positions or (decision.position is not None and decision.position not in positions):
            whys[row] = "no_photo"
        elif row not in deciding:
            whys[row] = "overruled"
        seen.add(key)
    return whys


def why_without_effect(
    labels: list[Decision],
    photos: pd.DataFrame,
    assigned: pd.DataFrame,
    of_labels: tuple[pd.DataFrame, pd.DataFrame, bool],
) -> dict[int, str]:
    """Return why rows of corrections/labels.csv that decide about photos change none, by their number."""
    is_corrected = assigned["change"] == "corrected"
    followers = assigned[is_corrected & assigned["corrected_to"].isna()]
    followed = set(zip(followers["picture"], followers["catalog_id"], strict=True))
    is_out = assigned["exclusion_row"] >= 0, assigned["reason"].isin(["shared_picture", "bridges_release"])
    columns = assigned.assign(corrected=is_corrected, excluded=is_out[0], left_out=is_out[1])
    given = assigned[(assigned["label_row"] >= 0) & ~(is_out[0] | is_out[1])].groupby("picture")["corrected_to"]
    contested = set(given.nunique().loc[lambda count: count > 1].index)
    of_product = {decision.product_id: decision.value for decision in labels if decision.position is None}
    of_rows: defaultdict[int, list[Any]] = defaultdict(list)
    for photo in columns[assigned["label_row"] >= 0].itertuples():
        of_rows[photo.label_row].append(photo)
    whys, unchanged = {}, {}
    for row, its_photos in of_rows.items():
        inside = [photo for photo in its_photos if not photo.excluded and not photo.left_out]
        if not inside:
            whys[row] = "excluded" if any(photo.excluded for photo in its_photos) else "left_out"
        elif of_product.get(labels[row].product_id, labels[row].value) == labels[row].value and not any(
            photo.corrected or photo.picture in contested or (photo.picture, photo.corrected_to) in followed
            for photo in inside
        ):
            unchanged[row] = [photo.Index for photo in inside]
    confirmed = find_confirmed(labels, unchanged, photos, of_labels)
    return whys | dict.fromkeys(unchanged.keys() - confirmed, "same_as_label")


def find_confirmed(
    labels: list[Decision],
    unchanged: dict[int, list[Any]],
    photos: pd.DataFrame,
    of_labels: tuple[pd.DataFrame, pd.DataFrame, bool],
) -> set[int]:
    """Return the rows whose photos had the row's class when it was written: a person found the label right.

    Args:
        labels: the decisions of corrections/labels.csv.
        unchanged: for the number of each row in question the index of its photos.
        photos: as corrections.attach returns them.
        of_labels: labels, classes and keeps_latest, as resolve_labels takes them.
    """
    claimed, classes, keeps_latest = of_labels
    dated = [(row, labels[row].moment, photo) for row in unchanged if labels[row].moment for photo in unchanged[row]]
    asked = pd.DataFrame(dated, columns=["number", "moment", "photo"])
    asked["picture"] = photos.loc[asked["photo"], "picture"].to_numpy()
    # Each moment has photos, products and pictures of its own, so that one call resolves all moments.
    then = asked[["moment", "picture"]].drop_duplicates()
    then = then.merge(photos[["product_id", "position", "picture", "reason"]].assign(photo=photos.index), on="picture")
    then["at"] = then.groupby(["moment", "product_id"]).ngroup()
    of_products = then[["moment", "product_id", "at"]].drop_duplicates().merge(claimed, on="product_id")
    # Numbers are no moments: every row counts as known then, so that no correction is called spent by chance.
    known_then = of_products[(of_products["date"] <= of_products["moment"]) | dates.are_numbers(claimed["date"])]
    resolved = resolve_labels(
        then.assign(product_id=then["at"], picture=then.groupby(["moment", "picture"]).ngroup()),
        known_then.assign(product_id=known_then["at"]),
        classes,
        keeps_latest,
    )
    class_then = resolved["catalog_id"].where(resolved["reason"] == "")
    answers = asked.merge(then.assign(class_then=class_then)[["moment", "photo", "class_then"]], on=["moment", "photo"])
    wanted = pd.array([labels[row].value for row in answers["number"]], dtype="Int64")
    is_same = (answers["class_then"] == wanted).fillna(False)
    return set(asked["number"]) - set(answers.loc[~is_same, "number"])
