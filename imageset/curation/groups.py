"""Ties of photos -> groups that the split keeps in one subset, and the photos that are left out; pure."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation.ties import Ties, all_ties, components, join
from imageset.formats.hdf5 import Indices


def group_photos(
    photos: pd.DataFrame,
    alike: Ties,
    pictures: Indices,
    is_shared: NDArray[np.bool_],
    values: pd.DataFrame,
    photo_subsets: NDArray[Any],
    product_subsets: NDArray[Any],
) -> pd.DataFrame:
    """Put photos that belong together into one group, and leave out those that cannot be in any.

    Args:
        photos: the rows of processed.csv, N of them.
        alike: the ties of photos with the same bytes, and of near-duplicates.
        pictures: the number of what each photo shows, (N,): see pictures.py.
        is_shared: which photos show a picture of too many products, (N,): see `shared_pictures`. They are left out.
        values: the rows of listing_groups.csv. Products with the same value are in one group.
        photo_subsets: (N,), the subset that each photo was released in, "" of new photos.
        product_subsets: (N,), the subset that each photo's product was released in, "" of new products.

    Returns:
        The photos with columns group (the lowest product_id in it), picture (the lowest row that shows it) and reason:
        shared_picture, bridges_release for new photos that connect two subsets of the release, else "".
    """
    ties = all_ties(photos, alike, values, photo_subsets != "", ~is_shared)
    is_bridge = ~is_shared & bridges_subsets(ties, photo_subsets, product_subsets)
    reason = np.select([is_shared, is_bridge], ["shared_picture", "bridges_release"], "")
    return photos.assign(
        group=lowest_products(photos, ties.among(~is_bridge)),
        reason=reason,
        picture=photos["row"].groupby(pictures).transform("min"),
    )


def lowest_products(photos: pd.DataFrame, ties: Ties) -> pd.Series:
    """Return for each photo the lowest product_id among all that are connected with it."""
    return photos["product_id"].groupby(components(ties, len(photos))).transform("min")


def shared_pictures(photos: pd.DataFrame, pictures: Indices, max_products: int) -> NDArray[np.bool_]:
    """Return which photos, (N,), show a picture that more than max_products products show."""
    products = photos["product_id"].groupby(pictures).transform("nunique")
    return np.asarray(products > max_products)


def spans_subsets(ties: Ties, subsets: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which photos, (N,), are connected with photos of two subsets. subsets: (N,), "" where a photo has none."""
    parts = components(ties, len(subsets))
    known = pd.DataFrame({"part": parts, "subset": subsets})[subsets != ""]
    return in_parts_of_two_subsets(parts, known)


def bridges_subsets(ties: Ties, photo_subsets: NDArray[Any], product_subsets: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which new photos, (N,), connect two subsets of a release, alone or together with other new photos.

    Args:
        ties: all ties of the photos.
        photo_subsets: (N,), the subset that each photo was released in, "" of new photos.
        product_subsets: (N,), the subset that each photo's product was released in, "" of new products.
    """
    new = photo_subsets == ""
    parts = components(ties.among(new), len(photo_subsets))
    both_ways = join([ties, Ties(ties.right, ties.left)])
    to_released = new[both_ways.left] & ~new[both_ways.right]
    of_released_product = new & (product_subsets != "")
    touched = pd.DataFrame(
        {
            "part": np.concatenate([parts[both_ways.left[to_released]], parts[of_released_product]]),
            "subset": np.concatenate(
                [photo_subsets[both_ways.right[to_released]], product_subsets[of_released_product]]
            ),
        }
    )
    return np.asarray(new & in_parts_of_two_subsets(parts, touched))


def in_parts_of_two_subsets(parts: Indices, touched: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which photos, (N,), are in a part with several subsets. touched: rows of part and subset."""
    subsets_of_part = touched.groupby("part")["subset"].nunique()
    return np.asarray(np.isin(parts, subsets_of_part.index[subsets_of_part > 1]))
