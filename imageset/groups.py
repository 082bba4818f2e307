"""Photos that may not be torn apart by the split -> groups; pure.

Photos are tied when they are of one product, have the same bytes, the same perceptual hash (of one, or of one's mirror
image), or are near-duplicates; ties chain.
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


def first_alike(values: NDArray[Any], order: Rows) -> Rows:
    """Return for each row the row with the same value that comes first in `order`."""
    _, first, inverse = np.unique(values[order], return_index=True, return_inverse=True)
    found = np.empty(len(values), np.intp)
    found[order] = order[first[inverse]]
    return found


def certain_ties(photos: pd.DataFrame, released: NDArray[np.bool_]) -> Ties:
    """Return the ties that need no look: one product, the same bytes, the same hash.

    Of all that have something in common each is tied to one alone, a released one where there is one: so released
    photos are tied together without the help of new ones.
    """
    everything = np.arange(len(photos))
    order = np.argsort(~released, kind="stable")
    ties = [Ties(everything, first_alike(photos[column].to_numpy(), order))
            for column in ("product_id", "sha256", "phash")]
    mirrored = pd.Series(order, index=photos["phash"].to_numpy()[order])
    mirrored = mirrored[~mirrored.index.duplicated()].reindex(photos["phash_mirrored"])
    has_one = mirrored.notna().to_numpy()
    return join([*ties, Ties(everything[has_one], mirrored[has_one].to_numpy().astype(np.intp))])


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
