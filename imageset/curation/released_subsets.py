"""releases/split.csv -> the subset that the last release fixed for each photo, product and group; pure."""

from typing import Any

import pandas as pd
from numpy.typing import NDArray

from imageset.errors import DataError
from imageset.formats import source_ids

SUBSETS = ("train", "validation", "test")
PHOTOS_TO_NAME = 10


def of_photos(photos: pd.DataFrame, released: pd.DataFrame) -> NDArray[Any]:
    """Return the subset that each photo was released in, str (N,), "" of new photos.

    Args:
        photos: rows with product_id and position, N of them.
        released: the rows of releases/split.csv.
    """
    subsets: NDArray[Any] = photos.merge(released, how="left", on=["product_id", "position"])["subset"].to_numpy(
        dtype=object, na_value=""
    )
    return subsets


def of_products(photos: pd.DataFrame, released: pd.DataFrame) -> NDArray[Any]:
    """Return the subset that each photo's product was released in, str (N,), "" of new products.

    A product keeps its subset although its released photo was replaced by another.

    Raises:
        DataError: the release has a product in two subsets.
    """
    of_product = released.drop_duplicates(["product_id", "subset"]).set_index("product_id")["subset"]
    repeated = of_product.index[of_product.index.duplicated()]
    if len(repeated):
        raise DataError(
            f"releases/split.csv has product {source_ids.text(repeated[0])} in two subsets: restore the file from git, "
            "or remove the rows of one subset"
        )
    subsets: NDArray[Any] = photos["product_id"].map(of_product).to_numpy(dtype=object, na_value="")
    return subsets


def of_groups(photos: pd.DataFrame, released: pd.DataFrame) -> dict[int, str]:
    """Return the subset of each group that holds a photo of a released product.

    Args:
        photos: rows with product_id, position and group.
        released: the rows of releases/split.csv.

    Raises:
        DataError: a group holds products that were released in different subsets, or a subset is unknown.
    """
    unknown = sorted(set(released["subset"]) - set(SUBSETS))
    if unknown:
        raise DataError(f"releases/split.csv names a subset {unknown[0]!r}: expected train, validation or test")
    known = photos.assign(subset=of_products(photos, released)).query("subset != ''")
    subsets = known.groupby("group")["subset"].agg(lambda values: sorted(set(values)))
    conflicting = known[known["group"].isin(subsets.index[subsets.map(len) > 1])]
    if len(conflicting):
        raise DataError(
            f"{len(conflicting)} photos were released in different subsets, but now share a group: "
            f"{name_photos(conflicting)}. Section duplicates or source.group_by was changed, photos were replaced, or "
            "a product of an earlier release came back (see data/near_duplicates.csv): undo that, or remove the rows "
            "of one subset from releases/split.csv and release a new major version"
        )
    return {int(number): values[0] for number, values in subsets.items()}


def find_fixed(catalog: pd.DataFrame, known: pd.DataFrame, released: pd.DataFrame) -> dict[int, str]:
    """Return the subset of each group of the catalog that a release fixed: no param of split moves it.

    A released photo that has no class now, or that people excluded, counts as well: it may come back, and models of the
    earlier release have seen it.

    Args:
        catalog: the rows of catalog.csv.
        known: product_id, position and group of all photos, those of the catalog too.
        released: the rows of releases/split.csv.

    Raises:
        DataError: as of_groups.
    """
    return of_groups(known[known["group"].isin(catalog["group"])], released)


def name_photos(photos: pd.DataFrame) -> str:
    """Return the first photos with their subsets and groups, as text."""
    ordered = photos.sort_values(["group", "product_id", "position"])[["product_id", "position", "subset", "group"]]
    names = [
        f"{source_ids.text(product_id)}/{position} ({subset}, group {source_ids.text(group)})"
        for product_id, position, subset, group in ordered.head(PHOTOS_TO_NAME).itertuples(index=False)
    ]
    return ", ".join([*names, *(["..."] if len(photos) > PHOTOS_TO_NAME else [])])
