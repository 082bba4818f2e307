"""Rare classes -> the parent that takes their photos, or none; pure."""

from collections.abc import Mapping

import pandas as pd

from imageset.errors import DataError
from imageset.formats import source_ids

EXAMPLES = 3


def parents_of(classes: pd.DataFrame) -> dict[int, int]:
    """Return the parent of each class whose parent is a class, too.

    classes: the rows of classes.csv. A class that is its own parent has none.

    Raises:
        DataError: a class is its own ancestor.
    """
    has_one = classes["parent_id"].isin(classes["catalog_id"]) & (classes["parent_id"] != classes["catalog_id"])
    pairs = classes[has_one.fillna(False)]
    parents: dict[int, int] = dict(zip(pairs["catalog_id"].tolist(), pairs["parent_id"].tolist(), strict=True))
    depths(parents)
    return parents


def depths(parents: Mapping[int, int]) -> dict[int, int]:
    """Return how many ancestors each class with a parent has. Raises DataError when one is its own ancestor."""
    known: dict[int, int] = {}
    for start in parents:
        path: dict[int, None] = {}  # a set in order
        here = start
        while here in parents and here not in known:
            if here in path:
                raise DataError(
                    f"class {source_ids.text(here)} is its own ancestor by parent_id: correct it in the database, "
                    "or set catalog.rare: drop"
                )
            path[here] = None
            here = parents[here]
        depth = known.get(here, 0)
        for catalog_id in reversed(path):
            depth += 1
            known[catalog_id] = depth
    return known


def describe_tree(classes: pd.DataFrame) -> list[str]:
    """Return what is odd about the tree of parents, a sentence each. Only `catalog.rare: merge` uses the tree.

    classes: the rows of classes.csv.
    """
    odd = []
    try:
        parents_of(classes)
    except DataError as error:
        odd.append(str(error))
    parents = classes["parent_id"].dropna().drop_duplicates()
    unknown = parents[~parents.isin(classes["catalog_id"])]
    if len(unknown):
        shown = ", ".join(repr(text) for text in sorted(source_ids.texts(unknown))[:EXAMPLES])
        odd.append(
            f"{len(unknown):,} of {len(parents):,} parent_id are no class, such as {shown}: their children are at the "
            "top of the tree; return a row for each parent, or null"
        )
    return odd


def merge_rare(photos: Mapping[int, int], parents: Mapping[int, int], min_photos: int) -> dict[int, int]:
    """Return the class that takes the photos of each class. Classes whose photos are left out are not in it.

    From the leaves up, a class with fewer than min_photos photos hands them to its parent. Photos that it got from its
    children count, too. Without a parent, they are left out.

    Args:
        photos: how many photos each class has.
        parents: the parent of each class that has one.
        min_photos: a class with fewer photos is rare.

    >>> merge_rare({11: 2, 12: 3, 13: 9, 20: 1}, {11: 10, 12: 10, 13: 10}, 5)
    {11: 10, 12: 10, 13: 13}
    """
    held = {catalog_id: [catalog_id] for catalog_id in photos}  # the classes whose photos are in a class now
    totals = dict(photos)
    depth = depths(parents)
    for catalog_id in sorted({*photos, *parents, *parents.values()}, key=lambda one: (-depth.get(one, 0), one)):
        if 0 < totals.get(catalog_id, 0) < min_photos:
            moved, count = held.pop(catalog_id), totals.pop(catalog_id)
            if catalog_id in parents:
                parent = parents[catalog_id]
                held.setdefault(parent, []).extend(moved)
                totals[parent] = totals.get(parent, 0) + count
    return dict(sorted((child, catalog_id) for catalog_id, children in held.items() for child in children))
