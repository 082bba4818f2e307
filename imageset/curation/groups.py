"""Photos that may not be torn apart by the split -> groups; pure.

Photos show the same picture when they have the same bytes or are near-duplicates. They are tied when they show the
same, are of one product, or have the same perceptual hash (of one, or of one's mirror image); ties chain.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from imageset.errors import DataError

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


def byte_ties(photos: pd.DataFrame, released: NDArray[np.bool_]) -> Ties:
    """Return the ties of photos with the same bytes."""
    return join(tie(photos, rows, "sha256") for rows in preferences(released))


def hash_ties(photos: pd.DataFrame, released: NDArray[np.bool_]) -> Ties:
    """Return the ties of photos with the same perceptual hash, or that of the other's mirror image."""
    mirrored = (mirror_tie(photos, rows) for rows in preferences(released))
    return join([*(tie(photos, rows, "phash") for rows in preferences(released)), *mirrored])


def product_ties(photos: pd.DataFrame, released: NDArray[np.bool_]) -> Ties:
    """Return the ties of photos of one product."""
    return join(tie(photos, rows, "product_id") for rows in preferences(released))


def preferences(released: NDArray[np.bool_]) -> list[Rows]:
    """Return photos in the order in which others are tied to them: released ones first, and new ones by themselves.

    Of all that have something in common each is tied to one alone. So neither are tied together by the help of the
    others.
    """
    everything = np.argsort(~released, kind="stable")
    return [everything, np.flatnonzero(~released)] if released.any() else [everything]


def tie(photos: pd.DataFrame, rows: Rows, column: str) -> Ties:
    """Return the ties of some of the photos, each to the first in rows with the same value."""
    return Ties(rows, rows[first_alike(photos[column].to_numpy()[rows])])


def mirror_tie(photos: pd.DataFrame, rows: Rows) -> Ties:
    """Return the ties of some of the photos, each to the first in rows whose hash its mirror image has."""
    chosen = photos.iloc[rows]
    first_of_hash = pd.Series(rows, index=chosen["phash"].to_numpy())
    found = first_of_hash[~first_of_hash.index.duplicated()].reindex(chosen["phash_mirrored"])
    has_one = found.notna().to_numpy()
    return Ties(rows[has_one], found[has_one].to_numpy().astype(np.intp))


def shared(photos: pd.DataFrame, pictures: Rows, most: int) -> NDArray[np.bool_]:
    """Return which photos show what more than so many products show; pictures: a number for what each shows."""
    products = photos["product_id"].groupby(pictures).transform("nunique")
    return np.asarray(products > most)


def released_sides(photos: pd.DataFrame, released: pd.DataFrame) -> NDArray[Any]:
    """Return the subset that each photo was released in, "" of new photos."""
    sides: NDArray[Any] = photos.merge(released, how="left", on=["product_id", "position"])["subset"].to_numpy(
        dtype=object, na_value=""
    )
    return sides


def product_sides(photos: pd.DataFrame, released: pd.DataFrame) -> NDArray[Any]:
    """Return the subset that each photo's product was released in, "" of new products.

    A product keeps its side though its released photo is gone and has made room for another. Raises DataError when the
    release has a product on two sides.
    """
    of_product = released.drop_duplicates(["product_id", "subset"]).set_index("product_id")["subset"]
    twice = of_product.index[of_product.index.duplicated()]
    if len(twice):
        raise DataError(f"releases/split.csv has product {twice[0]} on two sides")
    sides: NDArray[Any] = photos["product_id"].map(of_product).to_numpy(dtype=object, na_value="")
    return sides


def torn(ties: Ties, sides: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which photos are tied, through others as well, to some of two sides; sides: "" where a photo has none."""
    parts = components(ties, len(sides))
    known = pd.DataFrame({"part": parts, "side": sides})[sides != ""]
    sides_of_part = known.groupby("part")["side"].nunique()
    return np.asarray(np.isin(parts, sides_of_part.index[sides_of_part > 1]))


def bridges(ties: Ties, sides: NDArray[Any], owners: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which new photos tie two sides of a release to each other, alone or together with other new ones.

    sides: the subset of each released photo, "" of new ones; owners: that of each photo's product, "" of new products.
    """
    new = sides == ""
    parts = components(ties.among(new), len(sides))
    touched = join([ties, Ties(ties.right, ties.left)])
    across = new[touched.left] & ~new[touched.right]
    owned = new & (owners != "")
    met = pd.DataFrame(
        {
            "part": np.concatenate([parts[touched.left[across]], parts[owned]]),
            "side": np.concatenate([sides[touched.right[across]], owners[owned]]),
        }
    )
    sides_of_part = met.groupby("part")["side"].nunique()
    return np.asarray(new & np.isin(parts, sides_of_part.index[sides_of_part > 1]))


def group(photos: pd.DataFrame, ties: Ties) -> pd.Series:
    """Return each photo's group: the lowest product_id among all that are tied to it."""
    return photos["product_id"].groupby(components(ties, len(photos))).transform("min")
