"""Which photos and classes the scores of a dataset are of: two datasets with the same digests have the same tests."""

import hashlib
from collections.abc import Iterable
from typing import Any

import pandas as pd

from imageset.formats import hdf5

DIGITS = 16  # of SHA-256, in hexadecimal


def identify(split: pd.DataFrame, label_map: pd.DataFrame) -> dict[str, Any]:
    """Return what reports/identity.json says.

    Args:
        split: product_id, position and subset of each photo.
        label_map: the catalog_id of each class.

    Returns:
        For each subset the number of its photos and a digest of their product_ids and positions; for `classes` the
        number of classes and a digest of their catalog_ids. Order does not count.

    >>> split = pd.DataFrame({"product_id": [7, 8], "position": [0, 0], "subset": ["train", "test"]})
    >>> identify(split, pd.DataFrame({"catalog_id": [1201]}))["classes"]
    {'count': 1, 'digest': '9ccade5f12d851af'}
    """
    found: dict[str, Any] = {}
    for subset in hdf5.SUBSETS:
        photos = split[split["subset"] == subset]
        if len(photos) or subset != "validation":
            keys = photos.sort_values(["product_id", "position"])[["product_id", "position"]]
            lines = (f"{key[0]},{key[1]}" for key in keys.itertuples(index=False, name=None))
            found[subset] = {"photos": len(photos), "digest": digest(lines)}
    catalog_ids = sorted(label_map["catalog_id"].tolist())
    return found | {"classes": {"count": len(catalog_ids), "digest": digest(map(str, catalog_ids))}}


def identify_test_labels(split: pd.DataFrame, catalog: pd.DataFrame) -> dict[str, Any]:
    """Return what reports/identity.json says of the labels of the test photos: a digest. Order does not count.

    Args:
        split: product_id, position and subset of each photo.
        catalog: product_id, position and catalog_id of each photo.
    """
    keys = ["product_id", "position"]
    photos = split[split["subset"] == "test"].merge(catalog[[*keys, "catalog_id"]], on=keys).sort_values(keys)
    rows = photos[[*keys, "catalog_id"]].itertuples(index=False, name=None)
    return {"test_labels": {"digest": digest(",".join(map(str, row)) for row in rows)}}


def digest(lines: Iterable[str]) -> str:
    """Return the first digits of the SHA-256 of lines."""
    found = hashlib.sha256()
    for line in lines:
        found.update(f"{line}\n".encode())
    return found.hexdigest()[:DIGITS]
