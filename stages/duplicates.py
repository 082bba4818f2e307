"""Thumbnails -> data/groups.csv: which photos show the same, and which the split may not tear apart."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation import groups, near_duplicates
from imageset.curation.groups import Ties
from imageset.curation.near_duplicates import Pair, Photos
from imageset.curation.union_find import Forest
from imageset.errors import DataError
from imageset.formats import hdf5, tables
from imageset.formats.hdf5 import Pixels
from imageset.runtime import params, stage
from imageset.runtime.sections import DuplicatesParams


def look_alikes(
    photos: pd.DataFrame,
    thumbnails: Pixels,
    same: Ties,
    sides: NDArray[Any],
    owners: NDArray[Any],
    chosen: DuplicatesParams,
) -> Iterator[Pair]:
    """Yield pairs of near-duplicates among photos, as numbers of rows; those of equal bytes need no look."""
    released, everything = sides != "", np.ones(len(photos), bool)
    found = []
    forest = Forest(owners.tolist())
    # Released ones by themselves: what ties two of them must not go unseen because a new one does, too.
    seen = np.zeros(len(photos), bool)
    for within in (released, everything):
        forest.join_all(same.among(within).pairs())
        for pair in compare(photos, thumbnails, within, seen, forest, chosen):
            found.append(pair)
            yield pair
        seen = within
    # Which new photos belong together is not to depend on what was found first where some are to be left out.
    torn = ~released & groups.torn(all_ties(photos, groups.join([same, ties_of(found)]), sides), owners)
    new_alone = Forest([""] * len(photos))
    new_alone.join_all(same.among(torn).pairs())
    yield from compare(photos, thumbnails, torn, ~everything, new_alone, chosen)


def compare(
    photos: pd.DataFrame,
    thumbnails: Pixels,
    within: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    forest: Forest,
    chosen: DuplicatesParams,
) -> Iterator[Pair]:
    """Yield pairs of near-duplicates within a part of the photos, but for pairs of which both are seen."""
    rows = np.flatnonzero(within)
    rows = rows[np.argsort(~seen[rows], kind="stable")]
    distinct = rows[np.unique(groups.first_alike(photos["sha256"].to_numpy()[rows]))]
    if len(distinct):
        hashes = np.array([int(value, 16) for value in photos["phash"].to_numpy()[distinct]], np.uint64)
        compared = Photos(distinct, photos["row"].to_numpy()[distinct], hashes, seen[distinct])
        yield from near_duplicates.find(thumbnails, compared, chosen.distance, chosen.likeness, forest)


def all_ties(photos: pd.DataFrame, same: Ties, sides: NDArray[Any]) -> Ties:
    """Return what the split may not tear: what shows the same, one product, and equal hashes, whatever they show."""
    released = sides != ""
    return groups.join([same, groups.product_ties(photos, released), groups.hash_ties(photos, released)])


def ties_of(pairs: Iterable[Pair]) -> Ties:
    near = np.array([pair[:2] for pair in pairs], np.intp).reshape(-1, 2)
    return Ties(near[:, 0], near[:, 1])


def group(
    photos: pd.DataFrame, same: Ties, sides: NDArray[Any], owners: NDArray[Any], most_products: int
) -> pd.DataFrame:
    """Return the photos with columns group, picture and reason.

    same: all ties of photos that show the same; picture: the lowest row among these. reason: shared_picture where more
    than most_products products show it, bridges_release for new photos that tie two sides of the release, else "".
    """
    pictures = groups.components(same, len(photos))
    is_shared = groups.shared(photos, pictures, most_products)
    ties = all_ties(photos, same, sides).among(~is_shared)
    is_bridge = ~is_shared & groups.bridges(ties, sides, owners)
    reason = np.select([is_shared, is_bridge], ["shared_picture", "bridges_release"], "")
    return photos.assign(
        group=groups.group(photos, ties.among(~is_bridge)),
        reason=reason,
        picture=photos["row"].groupby(pictures).transform("min"),
    )


def pair_table(photos: pd.DataFrame, pairs: list[Pair]) -> pd.DataFrame:
    """Return the near-duplicates as people can look them up, the lower product first, each pair once."""
    keys = list(photos[["product_id", "position"]].itertuples(index=False, name=None))
    # Whichever was cropped to fit the other: of pairs that may not be joined, both ways are seen.
    agreed = {
        tuple(sorted((keys[left], keys[right]))): likeness
        for left, right, likeness in sorted(pairs, key=lambda pair: pair.likeness)
    }
    return tables.frame(
        tables.NEAR_DUPLICATES, [(*one, *other, f"{likeness:.3f}") for (one, other), likeness in agreed.items()]
    )


def main(
    processed_csv: Path, thumbnails_h5: Path, released_split_csv: Path, groups_csv: Path, near_duplicates_csv: Path
) -> None:
    """Find near-duplicates; put photos that belong together into one group.

    Args:
        processed_csv: the row of each photo in processed.h5, and its hashes.
        thumbnails_h5: a thumbnail of every photo as it was, before background removal.
        released_split_csv: the subsets that the last release fixed.
        groups_csv: the group of each photo: photos of one group stay in one subset.
        near_duplicates_csv: pairs of near-duplicate photos.
    """
    chosen = params.load().duplicates
    photos = tables.read(processed_csv, tables.PROCESSED)
    released = tables.read(released_split_csv, tables.SPLIT)
    sides, owners = groups.released_sides(photos, released), groups.product_sides(photos, released)
    with hdf5.open_file(thumbnails_h5, hdf5.THUMBNAILS) as file:
        hdf5.require_photos(file, *(photos[name].to_numpy() for name in ("row", "product_id", "position")))
        thumbnails = hdf5.mapped(file, "images")
    same = groups.byte_ties(photos, sides != "")
    pairs = list(look_alikes(photos, thumbnails, same, sides, owners, chosen))
    grouped = group(photos, groups.join([same, ties_of(pairs)]), sides, owners, chosen.max_products)
    near = pair_table(photos, pairs)
    reasons = [reason for reason in grouped["reason"] if reason]
    if len(reasons) > chosen.max_rejected_share * len(photos):
        raise DataError(
            f"{len(reasons)} of {len(photos)} photos are left out ({tables.tally(reasons)}): more than "
            f"duplicates.max_rejected_share = {chosen.max_rejected_share}"
        )
    tables.write(groups_csv, tables.GROUPS, grouped)
    tables.write(near_duplicates_csv, tables.NEAR_DUPLICATES, near)
    inside = grouped[grouped["reason"] == ""]
    print(
        f"duplicates: {len(photos)} photos, {inside['group'].nunique()} groups, {len(near)} near-duplicates, "
        f"left out: {tables.tally(reasons)}"
    )


if __name__ == "__main__":
    stage.run("duplicates", main)
