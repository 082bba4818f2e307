"""Checks of a dataset file's rows against the tables that it was made of."""

import numpy as np
import pandas as pd

from imageset.dataset.augment import copies_of
from imageset.dataset.check import Check, check_result
from imageset.dataset.photo_rows import Photos, SubsetRows, run_starts
from imageset.dataset.verify import Contents
from imageset.formats import hdf5, source_ids
from imageset.formats.hdf5 import Indices


def find_places(rows: SubsetRows, table: pd.DataFrame) -> Indices:
    """Return for each row the place in a table of its product_id and position; -1 if the table has none."""
    wanted = pd.DataFrame({"product_id": rows.ids, "position": rows.positions.astype(np.int64)})
    known = table[["product_id", "position"]].assign(place=np.arange(len(table)))
    found = wanted.assign(photo=np.arange(len(wanted))).merge(known, on=["product_id", "position"])
    places = np.full(len(wanted), -1, np.intp)
    places[found["photo"]] = found["place"]
    return places


def groups_as_catalog(contents: Contents, table: pd.DataFrame) -> Check:
    """Every row has its photo's group in the catalog."""
    rows, found = contents.rows, contents.further.get("groups", np.array([], np.int64))
    places = find_places(rows, table)
    known = np.flatnonzero(places >= 0)[: len(found)]
    wrong = known[table["group"].to_numpy()[places[known]] != found[known]] if len(found) else known
    return check_result("groups_as_catalog", len(known), wrong, rows.describe)


def columns_as_attributes(contents: Contents, table: pd.DataFrame) -> Check:
    """Every row has the further columns of its photo in attributes.csv, and empty ones where the table lacks it."""
    rows, places = contents.rows, find_places(contents.rows, table)
    columns = {name: values for name, values in contents.further.items() if name.startswith("column_")}
    wrong = np.zeros(rows.total, bool)
    for name, values in columns.items():
        expected = np.append(table[name.removeprefix("column_")].to_numpy(), "")[places]  # -1 takes the last one: empty
        # As wide as the longest of them: in the width of the file, a text that the file cuts off would be equal.
        wrong |= np.array([text.encode() for text in expected.tolist()], np.bytes_) != values
    examined = rows.total if columns else 0
    return check_result("columns_as_attributes", examined, np.flatnonzero(wrong), rows.describe)


def photos_as_split(photos: Photos, table: pd.DataFrame) -> Check:
    """Every photo of the split is in its subset as itself, and no other photo is."""
    key = ["product_id", "position", "subset"]
    rows = photos.rows.take(photos.first[photos.has_original])
    held = pd.DataFrame({"product_id": rows.ids, "position": rows.positions.astype(np.int64), "subset": rows.subsets})
    both = held.merge(table[key], how="outer", on=key, indicator="found_in")
    wrong = both[both["found_in"] != "both"].reset_index(drop=True)

    def describe(row: int) -> str:
        product_id, position, subset, found_in = wrong.loc[row]
        where = "the file" if found_in == "left_only" else "the split"
        return f"{hdf5.SUBSETS[subset]} {source_ids.text(product_id)} {position} is only in {where}"

    return check_result("photos_as_split", len(both), wrong.index.to_numpy(), describe)


def labels_as_catalog(photos: Photos, table: pd.DataFrame) -> Check:
    """Every row has its photo's label in the catalog."""
    places, rows = find_places(photos.rows.take(photos.first), table), photos.rows
    labels = np.append(table["label"].to_numpy(), -1)[places]  # -1 takes the last one: no label
    wrong = (np.repeat(labels, photos.counts) != rows.labels) | np.repeat(places < 0, photos.counts)
    return check_result(
        "labels_as_catalog",
        len(wrong),
        np.flatnonzero(wrong),
        lambda row: f"{rows.describe(row)} label {rows.labels[row]}",
    )


def label_map_as_table(contents: Contents, label_map: pd.DataFrame) -> Check:
    """The file's label map and class names are those of the table."""
    numbered = zip(label_map["label"], label_map["catalog_id"], label_map["name"], strict=True)
    expected = [(f"{label},{catalog_id}".encode(), name.encode()) for label, catalog_id, name in numbered]
    held = list(zip(contents.pairs, contents.names, strict=False))
    most = max(len(contents.pairs), len(contents.names), len(expected))
    wrong = [row for row in range(most) if held[row : row + 1] != expected[row : row + 1]]
    return check_result(
        "label_map_as_table",
        most,
        np.array(wrong, np.intp),
        lambda row: f"row {row}: {held[row : row + 1]}, the table has {expected[row : row + 1]}",
    )


def counts_as_tables(contents: Contents, table: pd.DataFrame) -> Check:
    """Each subset has as many rows of each class and copy as the tables and the params say."""
    expected: dict[tuple[int, int, int], int] = {}
    for subset, photos in table.groupby("subset"):
        numbers = photos["label"].value_counts().to_dict()
        due = copies_of(numbers, contents.augment) if subset == 0 else dict.fromkeys(numbers, 1)
        expected |= {(subset, label, copy): numbers[label] for label in numbers for copy in range(due[label])}
    rows = contents.photos.rows
    order = np.lexsort((rows.copies, rows.labels, rows.subsets))
    cells = (rows.subsets[order], rows.labels[order], rows.copies[order])
    first = run_starts(cells)
    found = dict(
        zip(
            zip(*(column[first].tolist() for column in cells), strict=True),
            np.diff(np.append(first, len(order))).tolist(),
            strict=True,
        )
    )
    every = sorted(expected.keys() | found.keys())
    wrong = [cell for cell in every if expected.get(cell, 0) != found.get(cell, 0)]

    def describe(place: int) -> str:
        subset, label, copy = wrong[place]
        return (
            f"{hdf5.SUBSETS[subset]} label {label} copy {copy} has {found.get(wrong[place], 0)} rows, "
            f"by the tables {expected.get(wrong[place], 0)}"
        )

    return check_result("counts_as_tables", len(every), np.arange(len(wrong)), describe)


def hashes_in_one_subset(photos: Photos, hashes: pd.DataFrame) -> Check:
    """No photo, mirrored or not, has the perceptual hash of a photo in another subset."""
    rows = photos.rows.take(photos.first)
    places = find_places(rows, hashes)
    known = places >= 0
    rows, places = rows.take(known), places[known]
    plain, mirrored = hashes["phash"].to_numpy()[places], hashes["phash_mirrored"].to_numpy()[places]
    alike = np.zeros(len(places), bool)
    for subset in range(1, len(hdf5.SUBSETS)):
        before = rows.subsets < subset
        both = np.isin(plain, np.concatenate([plain[before], mirrored[before]])) | np.isin(mirrored, plain[before])
        alike |= both & (rows.subsets == subset)
    return check_result(
        "hashes_in_one_subset",
        len(places),
        np.flatnonzero(alike),
        lambda row: f"{rows.describe(row)} with hash {plain[row]:016x}",
    )
