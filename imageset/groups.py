"""Photos that may not be torn apart by the split -> groups; pure.

Photos show the same picture when they have the same bytes, the same perceptual hash (of one, or of one's mirror image),
or are near-duplicates. They are tied when they show the same or are of one product; ties chain.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Rows = NDArray[np.intp]


class Ties(NamedTuple):
    """Numbers of photos, two and two."""

    left: Rows
    right: Rows

    def among(self, rows: NDArray[np.bool_]) -> "Ties":
        """Return the ties between photos for which rows is true."""
        both = rows[self.left] & rows[self.right]
        return Ties(self.left[both], self.right[both])

    def pairs(self) -> Iterator[tuple[int, int]]:
        return zip(self.left.tolist(), self.right.tolist(), strict=True)


def join(ties: Iterable[Ties]) -> Ties:
    left, right = (np.concatenate(side) for side in zip(*ties, strict=True))
    return Ties(left, right)


def components(ties: Ties, count: int) -> Rows:
    """Return for each of `count` photos the number of those that are tied together, through others as well."""
    graph = coo_array((np.ones(len(ties.left), bool), ties), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.intp)


def first_alike(values: NDArray[Any]) -> Rows:
    """Return for each place the first one with the same value."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.intp)


def picture_ties(photos: pd.DataFrame, released: NDArray[np.bool_]) -> Ties:
    """Return the ties of photos that show the same without a look: equal bytes, hash, or hash of the mirror image."""
    return join(tie(photos, rows, ("sha256", "phash")) for rows in preferences(released))


def product_ties(photos: pd.DataFrame, released: NDArray[np.bool_]) -> Ties:
    """Return the ties of photos of one product."""
    return join(tie(photos, rows, ("product_id",)) for rows in preferences(released))


def preferences(released: NDArray[np.bool_]) -> list[Rows]:
    """Return photos in the order in which others are tied to them: released ones first, and new ones by themselves.

    Of all that have something in common each is tied to one alone. So neither are tied together by the help of the
    others.
    """
    everything = np.argsort(~released, kind="stable")
    return [everything, np.flatnonzero(~released)] if released.any() else [everything]


def tie(photos: pd.DataFrame, rows: Rows, columns: tuple[str, ...]) -> Ties:
    """Return the ties of some of the photos, each to the first in rows with which it has one of the columns in common.

    With phash, its mirror image's as well.
    """
    chosen = photos.iloc[rows]
    ties = [Ties(rows, rows[first_alike(chosen[column].to_numpy())]) for column in columns]
    if "phash" in columns:
        first_of_hash = pd.Series(rows, index=chosen["phash"].to_numpy())
        mirrored = first_of_hash[~first_of_hash.index.duplicated()].reindex(chosen["phash_mirrored"])
        has_one = mirrored.notna().to_numpy()
        ties.append(Ties(rows[has_one], mirrored[has_one].to_numpy().astype(np.intp)))
    return join(ties)


def shared(photos: pd.DataFrame, pictures: Rows, most: int) -> NDArray[np.bool_]:
    """Return which photos show what more than so many products show; pictures: a number for what each shows."""
    products = photos["product_id"].groupby(pictures).transform("nunique")
    return np.asarray(products > most)


def torn(ties: Ties, sides: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which photos are tied, through others as well, to released ones of two subsets."""
    parts = components(ties, len(sides))
    known = pd.DataFrame({"part": parts, "side": sides})[sides != ""]
    sides_of_part = known.groupby("part")["side"].nunique()
    return np.asarray(np.isin(parts, sides_of_part.index[sides_of_part > 1]))


def bridges(ties: Ties, sides: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which new photos tie released ones of two subsets to each other, alone or together with other new ones.

    sides: the subset of each released photo, "" of the others.
    """
    new = sides == ""
    parts = components(ties.among(new), len(sides))
    touched = join([ties, Ties(ties.right, ties.left)])
    across = new[touched.left] & ~new[touched.right]
    met = pd.DataFrame({"part": parts[touched.left[across]], "side": sides[touched.right[across]]})
    sides_of_part = met.groupby("part")["side"].nunique()
    torn = sides_of_part.index[sides_of_part > 1]
    return np.asarray(new & np.isin(parts, torn))


def group(photos: pd.DataFrame, ties: Ties) -> pd.Series:
    """Return each photo's group: the lowest product_id among all that are tied to it."""
    return photos["product_id"].groupby(components(ties, len(photos))).transform("min")
