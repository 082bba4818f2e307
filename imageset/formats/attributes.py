"""What the source says of each photo beyond our own columns: data/attributes.csv.

Its columns are those of queries/listings.sql that are not ours, so they are another project's in another project.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute

from imageset.errors import DataError
from imageset.formats import source_ids, tables
from imageset.formats.tables import Table

LONGEST_BYTES = 1000  # of a text in dataset.h5
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What exports and the catalog call their own columns. A further column of that name cannot go on into dataset.h5.
TAKEN = frozenset(
    (
        *("catalog_id", "class_id", "class_name", "copy", "file_name", "group", "image", "label"),
        *("position", "product_id", "row", "source_id", "subset"),
    )
)


def table(names: Iterable[str]) -> Table:
    """Return the table of the further columns with these names."""
    return Table({**tables.PHOTO, **dict.fromkeys(names, "string")}, tables.PHOTO_KEY)


def read(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """Return product_id, position and some of the further columns; no rows where none is named.

    Raises:
        DataError: the file lacks a column, or is no table of further columns.
    """
    if not names:
        return tables.frame(table([]), [])
    with path.open(encoding="utf-8", newline="") as file:
        found = file.readline().rstrip("\r\n").split(",")
    if lacking := [name for name in names if name not in found]:
        raise DataError(f"{path} has no column {lacking[0]}: run `dvc repro`")
    chunks = tables.parts(path, table(found[len(tables.PHOTO) :]))  # so that other columns are not all in memory
    return pd.concat([chunk[[*tables.PHOTO, *names]] for chunk in chunks], ignore_index=True)


def require_names(query: Path, further: Sequence[str]) -> None:
    """Raise DataError when a further column has no plain name, or one that comes twice, in whatever case.

    Exports make file names of them, and some file systems know no case.
    """
    for place, name in enumerate(further):
        if not NAME.fullmatch(name):
            raise DataError(
                f"{query} returns a column {name!r}: give it a name of letters, digits and _, such as `AS brand`"
            )
        if name.lower() in map(str.lower, further[:place]):
            raise DataError(f"{query} returns two columns {name}: give one another name, such as `AS other_{name}`")


def require_wanted(query: Path, further: Sequence[str], columns: Sequence[str], group_by: str | None) -> None:
    """Raise DataError when params name a further column that a query does not return, or cannot go on."""
    returned = f"{query} returns {', '.join(further) if further else 'no further columns'}"
    for param, names in (("source.columns", columns), ("source.group_by", [group_by] if group_by else [])):
        if unknown := [name for name in names if name not in further]:
            raise DataError(f"{param} names {unknown[0]}, but {returned}: add it to the query, or change the param")
    if taken := [name for name in columns if name.lower() in TAKEN]:  # engines of SQL know no case
        raise DataError(
            f"source.columns names {taken[0]}, which exports call a column of their own: give it another name in "
            f"{query}, such as `AS source_{taken[0]}`"
        )


def require_short(query: Path, photos: pd.DataFrame, further: pd.DataFrame) -> None:
    """Raise DataError when a text that is to go on into dataset.h5 is too long: every row there gets its width.

    Args:
        query: for the message.
        photos: product_id of the photos; the index is the place of each in `further`.
        further: the columns that are to go on, of all rows of the query.
    """
    for name in further:
        lengths = pyarrow.compute.binary_length(pyarrow.array(further[name], pyarrow.large_string())).to_numpy()
        its_bytes = lengths[photos.index]
        if len(places := np.flatnonzero(its_bytes > LONGEST_BYTES)):
            listing = source_ids.text(photos["product_id"].iloc[places[0]])
            raise DataError(
                f"{query}: {name} of product {listing} has {its_bytes[places[0]]:,} bytes, and dataset.h5 takes "
                f"{LONGEST_BYTES:,}: shorten it there, such as `left({name}, 200) AS {name}`, or take it out of "
                "source.columns"
            )
