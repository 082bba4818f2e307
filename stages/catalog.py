"""Photos and labels -> data/catalog.csv: for each photo its class and the group that the split may not tear apart."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from imageset import classes, groups, layout, near_duplicates, params, stage, tables
from imageset.errors import DataError
from imageset.forest import Forest
from imageset.groups import Ties
from imageset.layout import Pixels
from imageset.near_duplicates import Pair, Photos
from imageset.params import Section

REASONS = frozenset({"no_label", "unknown_class", "label_conflict", "rare_class", "bridges_release"})


class CatalogParams(Section):
    """Section `catalog`."""

    near_duplicate_distance: int = Field(ge=0, le=16)
    near_duplicate_likeness: float = Field(ge=0, le=1)
    label_conflict: Literal["latest", "drop"]
    min_photos: int = Field(ge=1)
    rare: Literal["drop", "merge"]


def released_sides(photos: pd.DataFrame, released: pd.DataFrame) -> NDArray[Any]:
    """Return the subset that each photo was released in, "" of new ones."""
    sides: NDArray[Any] = photos.merge(released, how="left", on=["product_id", "position"])["subset"].to_numpy(
        dtype=object, na_value="")
    return sides


def look_alikes(photos: pd.DataFrame, thumbnails: Pixels, certain: Ties, sides: NDArray[Any],
                chosen: CatalogParams) -> Iterator[Pair]:
    """Yield pairs of near-duplicates among photos that are not tied for certain, as numbers of rows."""
    released, everything = sides != "", np.ones(len(photos), bool)
    found = []
    forest = Forest(sides.tolist())
    # Released ones by themselves: what ties two of them must not go unseen because a new one does, too.
    seen = np.zeros(len(photos), bool)
    for within in (released, everything):
        forest.join_all(certain.among(within).pairs())
        for pair in compare(photos, thumbnails, within, seen, forest, chosen):
            found.append(pair)
            yield pair
        seen = within
    # Which new photos belong together is not to depend on what was found first where some are to be left out.
    torn = ~released & groups.torn(groups.join([certain, ties_of(found)]), sides)
    never_one = Forest([str(number) for number in range(len(photos))])
    yield from compare(photos, thumbnails, torn, ~everything, never_one, chosen)


def compare(photos: pd.DataFrame, thumbnails: Pixels, within: NDArray[np.bool_], seen: NDArray[np.bool_],
            forest: Forest, chosen: CatalogParams) -> Iterator[Pair]:
    """Yield pairs of near-duplicates within a part of the photos, but for pairs of which both are seen."""
    # One photo of each hash is compared: a placeholder picture on thousands of listings would make millions of pairs.
    rows = np.flatnonzero(within)
    rows = rows[np.argsort(~seen[rows], kind="stable")]
    numbers = np.sort(rows[np.unique(groups.first_alike(photos["phash"].to_numpy()[rows]))])
    if len(numbers):
        hashes = np.array([int(value, 16) for value in photos["phash"].to_numpy()[numbers]], np.uint64)
        compared = Photos(numbers, photos["row"].to_numpy()[numbers], hashes, seen[numbers])
        yield from near_duplicates.find(thumbnails, compared, chosen.near_duplicate_distance,
                                        chosen.near_duplicate_likeness, forest)


def ties_of(pairs: Iterable[Pair]) -> Ties:
    near = np.array([pair[:2] for pair in pairs], np.intp).reshape(-1, 2)
    return Ties(near[:, 0], near[:, 1])


def group(photos: pd.DataFrame, certain: Ties, pairs: Iterable[Pair], sides: NDArray[Any]) -> pd.DataFrame:
    """Return the photos with columns group and reason, "bridges_release" for those that cannot be let in, else ""."""
    ties = groups.join([certain, ties_of(pairs)])
    left_out = groups.bridges(ties, sides)
    return photos.assign(group=groups.group(photos, ties.among(~left_out)),
                         reason=np.where(left_out, "bridges_release", ""))


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


def pair_table(photos: pd.DataFrame, pairs: list[Pair]) -> pd.DataFrame:
    """Return the near-duplicates as people can look them up, the lower product first, each pair once."""
    keys = list(photos[["product_id", "position"]].itertuples(index=False, name=None))
    # Whichever was cropped to fit the other: of pairs that may not be joined, both ways are seen.
    agreed = {tuple(sorted((keys[left], keys[right]))): likeness for left, right, likeness in
              sorted(pairs, key=lambda pair: pair.likeness)}
    return tables.frame(tables.NEAR_DUPLICATES, [(*one, *other, f"{likeness:.3f}")
                                                 for (one, other), likeness in agreed.items()])


def main(processed_csv: Path, thumbnails_h5: Path, labels_csv: Path, classes_csv: Path, released_split_csv: Path,
         released_label_map_csv: Path, catalog_csv: Path, label_map_csv: Path, near_duplicates_csv: Path,
         label_changes_csv: Path, catalog_rejects_csv: Path) -> None:
    chosen = params.load("catalog", CatalogParams)
    photos = tables.read(processed_csv, tables.PROCESSED)
    known = tables.read(classes_csv, tables.CLASSES)
    parents = classes.parents_of(known) if chosen.rare == "merge" else {}
    released_map = tables.read(released_label_map_csv, tables.LABEL_MAP)
    classes.require_numbered(released_map)
    sides = released_sides(photos, tables.read(released_split_csv, tables.SPLIT))
    with layout.open_file(thumbnails_h5, layout.THUMBNAILS) as file:
        layout.require_photos(file, *(photos[name].to_numpy() for name in ("row", "product_id", "position")))
        thumbnails = layout.mapped(file, "images")
    certain = groups.certain_ties(photos, sides != "")
    pairs = list(look_alikes(photos, thumbnails, certain, sides, chosen))
    grouped = group(photos, certain, pairs, sides)
    settled = classes.settle(grouped, tables.read(labels_csv, tables.LABELS), known, chosen.label_conflict == "latest")
    decided = leave_out_rare(settled, parents, chosen.min_photos)
    kept, rejects = decided[decided["reason"] == ""], decided[decided["reason"] != ""]
    if kept.empty:
        raise DataError(f"no photo is left ({tables.tally(rejects['reason'])}): see catalog.min_photos")
    assert len(photos) == len(kept) + len(rejects)
    assert set(rejects["reason"]) <= REASONS
    label_map = classes.number_labels(set(kept["merged"]), released_map, known)
    labels = dict(zip(label_map["catalog_id"], label_map["label"], strict=True))
    changes, near = label_changes(decided), pair_table(photos, pairs)
    tables.write(catalog_csv, tables.CATALOG, kept.assign(catalog_id=kept["merged"],
                                                                    label=look_up(kept["merged"], labels)))
    tables.write(label_map_csv, tables.LABEL_MAP, label_map)
    tables.write(near_duplicates_csv, tables.NEAR_DUPLICATES, near)
    tables.write(label_changes_csv, tables.LABEL_CHANGES, changes)
    tables.write(catalog_rejects_csv, tables.CATALOG_REJECTS, rejects)
    print(f"catalog: {len(photos)} photos, {len(kept)} in {kept['merged'].nunique()} classes and "
          f"{kept['group'].nunique()} groups, {len(near)} near-duplicates, labels changed: "
          f"{tables.tally(changes['change'])}; {len(rejects)} rejected ({tables.tally(rejects['reason'])})")


if __name__ == "__main__":
    stage.run("catalog", main)
