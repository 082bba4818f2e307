"""Everything that the page says, as one JSON value. Pure.

`imageset/page/photo_list.py` finds the photos, `sample.py` chooses among too many, `verdict.py` judges.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation.corrections import DEFAULT_REASONS, RECOMMENDED
from imageset.formats import blanks, dates, hdf5, source_ids
from imageset.page.inputs import PageInputs
from imageset.page.photo_list import DOUBTS, FACTS, KEY, MASK_MEASURES
from imageset.page.public_url import public_url
from imageset.report.figures import class_table, photo_flow

KINDS = tuple(DEFAULT_REASONS)


class Places(NamedTuple):
    """Where the page has each class (by catalog_id), each photo (by product_id and position), and each subset."""

    classes: pd.Index
    photos: pd.MultiIndex
    subsets: list[str]

    def of_classes(self, catalog_ids: pd.Series) -> list[int]:
        """Return the places of classes, -1 for a missing or unknown one."""
        return places_among(self.classes, catalog_ids)

    def of_photos(self, rows: pd.DataFrame) -> NDArray[np.int64]:
        """Return the places of photos, -1 for one that the page does not have."""
        names = rows[KEY].astype("int64")
        return np.asarray(self.photos.get_indexer(pd.MultiIndex.from_frame(names)), np.int64)


def make_contents(data: PageInputs, photos: pd.DataFrame, labels: pd.DataFrame) -> dict[str, Any]:
    """Return what the tables say, as the page reads it; pictures, verdict and provenance are not in it.

    Args:
        data: the tables.
        photos: those that the page shows, from `describe_photos`.
        labels: the rows of labels.csv about their products.
    """
    classes, subsets = class_columns(data)
    places = Places(
        pd.Index(classes.pop("known"), dtype="int64"), pd.MultiIndex.from_frame(photos[KEY].astype("int64")), subsets
    )
    rejects = photos.loc[photos["reason"] != "", ["stage", "reason"]].drop_duplicates().sort_values(["stage", "reason"])
    return {
        "subsets": subsets,
        "classes": classes,
        "kinds": list(KINDS),
        "recommended_reasons": list(RECOMMENDED),
        "default_reasons": DEFAULT_REASONS,
        "rejects": rejects.to_dict("records"),
        "photos": photo_columns(photos, places, rejects, data.stages.label_map),
        "label_rows": label_rows(labels, photos),
        "suspects": suspect_columns(data.suspects, places),
        "class_suspects": class_suspects(data.suspects, places),
        "pairs": pair_columns(data.stages.near_duplicates, places),
        "changes": change_columns(data.stages.label_changes, places),
        "flow": [{"stage": stage, **counts} for stage, counts in photo_flow(data.stages).items()],
        "checks": [{"name": name, **pick(check, "examined", "passed")} for name, check in data.checks.items()],
        "baseline": data.baseline,
        "leakage": data.leakage,
    }


def class_columns(data: PageInputs) -> tuple[dict[str, Any], list[str]]:
    """Return the classes a column each, by catalog_id: those of classes.csv and of the label map; and the subsets.

    All counts are of the whole dataset: photos by subset, and of the test photos those that the baseline was asked for,
    and those that it named right.
    """
    label_map = data.stages.label_map
    names = dict(zip(data.classes["catalog_id"].tolist(), data.classes["name"].tolist(), strict=True))
    names |= dict(zip(label_map["catalog_id"].tolist(), label_map["name"].tolist(), strict=True))
    labels = dict(zip(label_map["catalog_id"].tolist(), label_map["label"].tolist(), strict=True))
    counts = class_table(data.stages).set_index("catalog_id")
    subsets = [subset for subset in hdf5.SUBSETS if subset in counts]
    known = sorted(names)
    of_known = [labels.get(catalog_id, -1) for catalog_id in known]
    tested, answers = data.predictions["label"], data.predictions["answer"]
    return {
        "known": known,
        "catalog_id": [id_value(catalog_id) for catalog_id in known],
        "label": of_known,
        "name": [blanks.strip(names[catalog_id]) or source_ids.text(catalog_id) for catalog_id in known],
        "photos": {subset: counts[subset].reindex(known, fill_value=0).tolist() for subset in subsets},
        "asked": tested.value_counts().reindex(of_known, fill_value=0).tolist(),
        "right": tested[tested == answers].value_counts().reindex(of_known, fill_value=0).tolist(),
    }, subsets


def photo_columns(
    photos: pd.DataFrame, places: Places, rejects: pd.DataFrame, label_map: pd.DataFrame
) -> dict[str, list[Any]]:
    """Return the photos a column each."""
    reject_places = pd.MultiIndex.from_frame(rejects) if len(rejects) else pd.MultiIndex.from_arrays([[], []])
    answers = photos["answer"].map(label_map.set_index("label")["catalog_id"].astype("Int64")).astype("Int64")
    return {
        "product_id": source_ids.texts(photos["product_id"]).tolist(),
        "position": photos["position"].tolist(),
        "class": places.of_classes(photos["catalog_id"]),
        "subset": places_among(pd.Index(places.subsets), photos["subset"].replace("", None)),
        "reject": reject_places.get_indexer(pd.MultiIndex.from_frame(photos[["stage", "reason"]])).tolist(),
        "group": pd.factorize(photos["group"])[0].tolist(),
        "answer": places.of_classes(answers),
        "other_class": places.of_classes(photos["other_class"]),
        **{name: photos[name].tolist() for name in ("group_size", "key", "format", "decided")},
        "url": [public_url(url) for url in photos["image_url"]],
        **{
            name: numbers(photos[name])
            for name in (*FACTS, *MASK_MEASURES, "probability", "x", "y", *DOUBTS)
            if name != "format"
        },
    }


def places_among(known: pd.Index, values: pd.Series) -> list[int]:
    """Return the places of values in an index, -1 for missing and unknown ones."""
    found = np.full(len(values), -1, np.int64)
    present = values.notna().to_numpy()
    found[present] = known.get_indexer(values[present].astype(known.dtype))
    return found.tolist()


def numbers(values: pd.Series) -> list[int | float | None]:
    """Return numbers, None for missing ones."""
    return [None if pd.isna(value) else value for value in values.tolist()]


def id_value(number: int) -> int | str:
    """Return the source's id that has a number, as text where it is one or where JavaScript would round it."""
    text = source_ids.text(number)
    return number if text == str(number) and number <= source_ids.LARGEST_EXACT_FLOAT else text


def pick(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def label_rows(labels: pd.DataFrame, photos: pd.DataFrame) -> dict[str, list[list[Any]]]:
    """Return the label rows, catalog_id and date, of each product of the page, the earliest first."""
    rows: dict[str, list[list[Any]]] = {}
    in_order = labels.assign(order=dates.sortable(labels["date"])).sort_values(["product_id", "order", "catalog_id"])
    shown = in_order[in_order["product_id"].isin(photos["product_id"])]
    for product_id, catalog_id, date in zip(shown["product_id"], shown["catalog_id"], shown["date"], strict=True):
        class_ = None if pd.isna(catalog_id) else id_value(int(catalog_id))
        rows.setdefault(source_ids.text(product_id), []).append([class_, date])
    return rows


def suspect_columns(suspects: pd.DataFrame, places: Places) -> dict[str, list[Any]]:
    """Return the suspect photos of the page a column each."""
    rows = suspects[suspects["kind"].isin(KINDS)]
    found = places.of_photos(rows)
    rows = rows[found >= 0]
    return {
        "kind": [KINDS.index(kind) for kind in rows["kind"]],
        "photo": found[found >= 0].tolist(),
        "rank": rows["rank"].tolist(),
        "score": rows["score"].astype(float).tolist(),
        "why": rows["why"].tolist(),
        "suggestion": places.of_classes(rows["suggestion"]),
    }


def class_suspects(suspects: pd.DataFrame, places: Places) -> list[dict[str, Any]]:
    """Return the suspect classes, the most suspect first."""
    rows = suspects[suspects["kind"] == "class"].sort_values("rank")
    found = zip(
        places.of_classes(rows["catalog_id"]),
        places.of_classes(rows["suggestion"]),
        rows["why"],
        rows["score"].astype(float),
        strict=True,
    )
    return [{"class": one, "other": other, "why": why, "score": score} for one, other, why, score in found]


def pair_columns(pairs: pd.DataFrame, places: Places) -> dict[str, list[Any]]:
    """Return the near-duplicates a column each, the least alike first, where the page has both photos."""
    ordered = pairs.assign(likeness=pairs["likeness"].astype(float)).sort_values(["likeness", *KEY], kind="stable")
    first = places.of_photos(ordered)
    others = ordered[["other_product_id", "other_position"]].set_axis(KEY, axis="columns")
    second = places.of_photos(others)
    both = (first >= 0) & (second >= 0)
    return {
        "photo": first[both].tolist(),
        "other": second[both].tolist(),
        "likeness": ordered["likeness"][both].tolist(),
    }


def change_columns(changes: pd.DataFrame, places: Places) -> dict[str, list[Any]]:
    """Return the changes of labels a column each."""
    found = places.of_photos(changes)
    rows = changes[found >= 0]
    return {
        "photo": found[found >= 0].tolist(),
        "change": rows["change"].tolist(),
        "told": [[source_ids.text(int(number)) for number in told.split()] for told in rows["told"]],
        "class": places.of_classes(rows["catalog_id"]),
    }
