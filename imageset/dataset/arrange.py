"""Which rows each subset of dataset.h5 has, and in which order."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from imageset.dataset.augment import copies_of
from imageset.dataset.render import SourceRows
from imageset.errors import DataError
from imageset.formats import hdf5, stable_hash, tables
from imageset.runtime.sections import AugmentParams


def read_photos(catalog_csv: Path, split_csv: Path) -> pd.DataFrame:
    """Return the catalog with the subset of each photo.

    Raises:
        DataError: the two tables name different photos.
    """
    catalog, split = tables.read(catalog_csv, tables.CATALOG), tables.read(split_csv, tables.SPLIT)
    photos = catalog.merge(split, on=["product_id", "position"], validate="one_to_one")
    if not len(photos) == len(catalog) == len(split):
        raise DataError(f"{split_csv} and {catalog_csv} do not name the same photos: run `dvc repro`")
    return photos


def arrange_subsets(photos: pd.DataFrame, augment: AugmentParams, seed: int) -> dict[str, SourceRows]:
    """Return the rows of each subset; validation only where it has photos.

    Args:
        photos: columns product_id, position, label, row and subset.
        augment: how many copies a training photo gets; photos of the other subsets get none.
        seed: which of the fixed orders the rows get.
    """
    return {
        subset: arrange(its_photos, copies_per_label(subset, its_photos["label"], augment), seed)
        for subset in hdf5.SUBSETS
        if len(its_photos := photos[photos["subset"] == subset]) or subset != "validation"
    }


def copies_per_label(subset: str, labels: pd.Series, augment: AugmentParams) -> dict[int, int]:
    """Return how often a photo of each label is in a subset."""
    photos = labels.value_counts().to_dict()
    return copies_of(photos, augment) if subset == "train" else dict.fromkeys(photos, 1)


def arrange(photos: pd.DataFrame, copies: Mapping[int, int], seed: int) -> SourceRows:
    """Return the rows of a subset, mixed by their ranks: each photo as often as its label says."""
    wanted = photos["label"].map(copies).to_numpy(np.int64)
    ids, positions, labels, sources = (
        np.repeat(photos[name].to_numpy(), wanted) for name in ("product_id", "position", "label", "row")
    )
    numbers = np.arange(len(ids)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    ranks = np.fromiter(
        (stable_hash.rank(seed, *key) for key in zip(ids.tolist(), positions.tolist(), numbers.tolist(), strict=True)),
        np.uint64,
        len(ids),
    )
    rows = SourceRows(ids, positions.astype(np.int16), numbers.astype(np.int16), labels, sources)
    return rows.take(np.argsort(ranks, kind="stable"))


def batches(rows: SourceRows, batch_rows: int) -> Iterator[SourceRows]:
    """Yield the rows in order, so many at a time."""
    for start in range(0, rows.total, batch_rows):
        yield rows.take(slice(start, start + batch_rows))
