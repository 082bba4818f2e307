"""Pairs of photos that must stay in one subset, and what they connect; pure.

Two photos are tied when they have the same bytes, are near-duplicates, belong to one product, have the same
perceptual hash (also when one is the other's mirror image), or are of products that source.group_by groups.
Ties chain: if a is tied to b and b to c, then a, b and c are connected.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from imageset.formats.hdf5 import Indices


class Ties(NamedTuple):
    """Tied photos, two and two: each end int64 (T,), places in the table of photos."""

    left: Indices
    right: Indices

    def among(self, photos: NDArray[np.bool_]) -> "Ties":
        """Return the ties of which both ends are in the mask, (N,)."""
        both = photos[self.left] & photos[self.right]
        return Ties(self.left[both], self.right[both])

    def pairs(self) -> Iterator[tuple[int, int]]:
        return zip(self.left.tolist(), self.right.tolist(), strict=True)


def join(ties: Iterable[Ties]) -> Ties:
    left, right = (np.concatenate(ends) for ends in zip(*ties, strict=True))
    return Ties(left, right)


def components(ties: Ties, count: int) -> Indices:
    """Return for each of `count` photos the number of its component, int64 (count,): all that ties connect."""
    graph = coo_array((np.ones(len(ties.left), bool), ties), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.intp)


def first_of_equal(values: NDArray[Any]) -> Indices:
    """Return for each value, (N,), the first place with the same value, (N,)."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.intp)


def byte_ties(photos: pd.DataFrame, released: NDArray[np.bool_]) -> Ties:
    """Return the ties of photos with the same bytes. released: a mask, (N,); see tie_orders."""
    return join(tie_equal(photos, order, "sha256") for order in tie_orders(released))


def hash_ties(photos: pd.DataFrame, released: NDArray[np.bool_], kept: NDArray[np.bool_] | None = None) -> Ties:
    """Return the ties of photos with the same perceptual hash, or with that of the other's mirror image."""
    orders = tie_orders(released, kept)
    return join(tie(photos, order) for tie in (tie_equal_hashes, tie_mirrored) for order in orders)


def product_ties(photos: pd.DataFrame, released: NDArray[np.bool_], kept: NDArray[np.bool_] | None = None) -> Ties:
    """Return the ties of photos of one product."""
    return join(tie_equal(photos, order, "product_id") for order in tie_orders(released, kept))


def value_ties(
    photos: pd.DataFrame,
    values: pd.DataFrame,
    released: NDArray[np.bool_],
    kept: NDArray[np.bool_] | None = None,
) -> Ties:
    """Return the ties of photos of products with the same value. values: the rows of listing_groups.csv."""
    parts = []
    for order in tie_orders(released, kept):
        placed = pd.DataFrame({"product_id": photos["product_id"].to_numpy()[order], "place": order})
        valued = placed.merge(values, on="product_id")
        places = valued["place"].to_numpy(np.intp)
        # As numbers: an array of text would give every photo the width of the longest value.
        parts.append(Ties(places, places[first_of_equal(pd.factorize(valued["value"])[0])]))
    return join(parts)


def all_ties(
    photos: pd.DataFrame,
    alike: Ties,
    values: pd.DataFrame,
    released: NDArray[np.bool_],
    kept: NDArray[np.bool_] | None = None,
) -> Ties:
    """Return all ties of the photos of a mask, (N,): alike (given: same bytes or near-duplicates), of one
    product, of equal hashes, whatever the photos show, and of products with the same value.

    Photos that are not kept tie nothing: else the photos of a product of which the first one is left out would come
    apart.
    """
    kept_alike = alike if kept is None else alike.among(kept)
    of_products, of_hashes = product_ties(photos, released, kept), hash_ties(photos, released, kept)
    return join([kept_alike, of_products, of_hashes, value_ties(photos, values, released, kept)])


def tie_orders(released: NDArray[np.bool_], kept: NDArray[np.bool_] | None = None) -> list[Indices]:
    """Return the orders in which photos are tied to the first of their kind: released photos first, and new ones alone.

    Of all photos that share a value, each is tied to one only, so a placeholder on thousands of listings makes
    thousands of ties, not millions. With these two orders, released photos are connected without the help of new ones,
    and new ones without the help of released ones. Photos that are not kept are in neither.
    """
    everything = np.argsort(~released, kind="stable")
    orders = [everything, np.flatnonzero(~released)] if released.any() else [everything]
    return orders if kept is None else [order[kept[order]] for order in orders]


def tie_equal(photos: pd.DataFrame, order: Indices, column: str) -> Ties:
    """Return the ties of the photos in `order`, each to the first one there with the same value."""
    return Ties(order, order[first_of_equal(photos[column].to_numpy()[order])])


def tie_equal_hashes(photos: pd.DataFrame, order: Indices) -> Ties:
    return tie_equal(photos, order, "phash")


def tie_mirrored(photos: pd.DataFrame, order: Indices) -> Ties:
    """Return the ties of the photos in `order`, each to the first one there whose hash its mirror image has."""
    ordered = photos.iloc[order]
    first_of_hash = pd.Series(order, index=ordered["phash"].to_numpy())
    found = first_of_hash[~first_of_hash.index.duplicated()].reindex(ordered["phash_mirrored"])
    has_one = found.notna().to_numpy()
    return Ties(order[has_one], found[has_one].to_numpy().astype(np.intp))
