"""Rows of the label queries -> the tables labels.csv and classes.csv; pure."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from imageset.errors import DataError
from imageset.formats import blanks, source_ids, tables

Row = tuple[Any, ...]

BY_ID = ["product_id", "catalog_id", "date"]
BY_NAME = ["product_id", "class_name", "date"]
CLASSES = ["catalog_id", "name", "parent_id"]


class LabelRows(NamedTuple):
    """Some rows of the query of labels, numbered.

    labels: those of labels.csv. are_integers: product_id and catalog_id: whether each is an integer, no text.
    """

    labels: pd.DataFrame
    are_integers: pd.DataFrame


def number_labels(query: Path, columns: Sequence[str], rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows of labels.csv.

    Args:
        query: the file of the query, for messages.
        columns: BY_ID or BY_NAME. The id of a class without an id is its name (clean_name).
        rows: the rows of the query; their dates are text.

    Raises:
        DataError: a value is no id, or two ids have the same number. The message shows the row.
    """
    return number_part(query, columns, rows).labels


def number_part(query: Path, columns: Sequence[str], rows: Sequence[Row]) -> LabelRows:
    """Return some rows of the query as number_labels does. Call join_parts once all rows were here."""
    products, classes = [row[0] for row in rows], [row[1] for row in rows]
    if columns == BY_NAME:
        names = {name: clean_name(name) for name in {name for name in classes if isinstance(name, str)}}
        classes = [names[name] if isinstance(name, str) else name for name in classes]
    numbers = {
        "product_id": number_column(query, columns, rows, "product_id", products),
        "catalog_id": number_column(query, columns, rows, columns[1], classes),
    }
    are_integers = {
        name: source_ids.are_whole_numbers(values, numbers[name])
        for name, values in zip(numbers, (products, classes), strict=True)
    }
    labels = tables.frame(tables.LABELS, numbers | {"date": [row[2] for row in rows]})
    return LabelRows(labels, pd.DataFrame(are_integers, dtype=bool))


def join_parts(query: Path, columns: Sequence[str], parts: Sequence[LabelRows]) -> pd.DataFrame:
    """Return the rows of labels.csv of all parts.

    Args:
        query: the file of the query, for messages.
        columns: BY_ID or BY_NAME.
        parts: all rows of the query; none of them has an own index.

    Raises:
        DataError: an id of one part and an id of another one have the same number.
    """
    if not parts:
        return tables.frame(tables.LABELS, [])
    labels, are_integers = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    for name, shown in zip(are_integers, columns, strict=False):
        try:
            source_ids.require_apart(labels.loc[are_integers[name], name].dropna())
        except DataError as error:
            raise DataError(f"{query}: {shown}: {error}") from None
    return labels


def classes_of_names(query: Path, labels: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of classes.csv where classes have names alone: the name is the id, and there is no tree.

    Raises:
        DataError: no row has a name.
    """
    its_numbers = labels["catalog_id"].dropna().unique().tolist()
    if len(labels) and not its_numbers:
        raise DataError(f"{query}: class_name is null or blank in all {len(labels):,} rows: return the classes' names")
    return tables.frame(tables.CLASSES, [(number, source_ids.text(number), None) for number in its_numbers])


def number_classes(query: Path, rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows of classes.csv.

    Args:
        query: the file of the query, for messages.
        rows: the rows of the query: catalog_id, name, parent_id.

    Raises:
        DataError: a row has no catalog_id, a value that is no id or a name with a NUL, or two rows have the same
            catalog_id. The message shows the rows.
    """
    catalog_ids = number_column(query, CLASSES, rows, "catalog_id", [row[0] for row in rows])
    parents = number_column(query, CLASSES, rows, "parent_id", [row[2] for row in rows])
    first: dict[int, Row] = {}
    for number, row in zip(catalog_ids, rows, strict=True):
        if number is None:
            raise DataError(
                f"{query}: the class {describe(CLASSES, row)} has no catalog_id: leave it out by WHERE catalog_id IS "
                "NOT NULL"
            )
        before = first.setdefault(number, row)
        if before is not row:
            raise DataError(
                f"{query}: two rows have the catalog_id {source_ids.text(number)}: {describe(CLASSES[1:], before[1:])} "
                f"and {describe(CLASSES[1:], row[1:])}: return one row a class, such as by GROUP BY catalog_id"
            )
    names = ["" if row[1] is None else str(row[1]) for row in rows]
    for name, row in zip(names, rows, strict=True):
        if "\0" in name:  # programs in C, such as readers of CSV and HDF5, take it for the end
            raise DataError(
                f"{query}: {describe(CLASSES, row)} has a NUL character in its name: return it without, such as by "
                "replace(name, char(0), '')"
            )
    return tables.frame(tables.CLASSES, {"catalog_id": catalog_ids, "name": names, "parent_id": parents})


def number_column(
    query: Path, columns: Sequence[str], rows: Sequence[Row], name: str, values: Sequence[Any]
) -> list[int | None]:
    """Return the numbers of a column of ids, None where there is none.

    Args:
        query, columns, rows: what the message of an error names.
        name: the column.
        values: its value of each row.

    Raises:
        DataError: a value is no id, or two ids have the same number. The message shows the row.
    """
    present = [not source_ids.is_blank(value) for value in values]
    try:
        found = iter(source_ids.numbers(value for value, is_there in zip(values, present, strict=True) if is_there))
    except ValueError:
        raise DataError(first_without_number(query, columns, rows, name, values)) from None
    except DataError as error:
        raise DataError(f"{query}: {name}: {error}") from None
    return [next(found) if is_there else None for is_there in present]


def first_without_number(
    query: Path, columns: Sequence[str], rows: Sequence[Row], name: str, values: Sequence[Any]
) -> str:
    """Return the message about the first row with a value that is no id."""
    for row, value in zip(rows, values, strict=True):
        try:
            if not source_ids.is_blank(value):
                source_ids.number(value)
        except ValueError as error:
            return f"{query}: {name} {error}; the row is {describe(columns, row)}"
    raise AssertionError("every value has a number")


def clean_name(name: str) -> str:
    r"""Return the name of a class in the spelling that makes equal names equal.

    >>> clean_name("\ufeffDresses \n long ")
    'Dresses long'
    """
    return " ".join(unicodedata.normalize("NFC", blanks.strip(name)).split())


def describe(columns: Sequence[str], row: Row) -> str:
    """Return a row of a query as a message shows it."""
    cells = ("null" if value is None else repr(value) for value in row)
    return ", ".join(f"{name} {cell}" for name, cell in zip(columns, cells, strict=True))
