"""Classes -> their labels: the numbers 0, 1, 2, ... that a model is trained on; pure."""

import pandas as pd

from imageset.errors import DataError
from imageset.formats import blanks, source_ids, tables


def number_labels(catalog_ids: set[int], released: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of label_map.csv: released labels stay, new classes follow in the order of their catalog_id.

    Args:
        catalog_ids: the classes that have photos.
        released: the rows of releases/label_map.csv. Its classes keep their labels, also without photos.
        classes: the rows of classes.csv. Their names count first, then those of the release. A class without any name
            is called by its catalog_id.

    Raises:
        DataError: as require_numbered.
    """
    require_numbered(released)
    ordered = released.sort_values("label")["catalog_id"].tolist()
    ordered += sorted(catalog_ids - set(ordered))
    names = {
        catalog_id: name
        for table in (released, classes)
        for catalog_id, name in zip(table["catalog_id"], table["name"], strict=True)
        if blanks.strip(name)
    }
    rows = [
        (label, catalog_id, names.get(catalog_id, source_ids.text(catalog_id)))
        for label, catalog_id in enumerate(ordered)
    ]
    return tables.frame(tables.LABEL_MAP, rows)


def require_numbered(released: pd.DataFrame) -> None:
    """Raise DataError when the labels of a release are not 0, 1, 2, ... or a class has two of them."""
    if sorted(released["label"]) != list(range(len(released))):
        raise DataError("releases/label_map.csv: labels have to be 0, 1, 2, ... without a gap: restore it from git")
    repeated = released.loc[released["catalog_id"].duplicated(), "catalog_id"].tolist()
    if repeated:
        raise DataError(
            f"releases/label_map.csv: catalog_id {source_ids.text(repeated[0])} has two labels: restore it from git"
        )
