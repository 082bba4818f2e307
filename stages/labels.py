"""The database -> data/labels.csv and data/classes.csv: all rows. Stage catalog decides about them."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from imageset.curation import label_dates, label_rows, labelled, rare_classes
from imageset.errors import DataError
from imageset.formats import tables
from imageset.runtime import params, stage
from imageset.storage import database, query_text

Row = label_rows.Row


def main(labels_sql: Path, classes_sql: Path, labels_csv: Path, classes_csv: Path) -> None:
    """Read from the database every dated class of every product, and the classes' names.

    Args:
        labels_sql: the query: product_id, catalog_id or class_name, and date of every labelled row. Without a query,
            people alone label the photos, in corrections/labels.csv, and labels_csv has no rows.
        classes_sql: the query: catalog_id, name, parent_id of every class. It is not read where labels_sql returns
            class_name.
        labels_csv: every dated class of every product.
        classes_csv: the name and the parent of every class.
    """
    as_of = params.load().source.as_of
    columns: list[str] = []

    def require(found: list[str]) -> None:
        require_columns(labels_sql, found)
        columns.extend(found)

    by_people = not has_query(labels_sql)
    with database.snapshot() as connection:
        dialect = connection.dialect.name
        if by_people:
            labels = tables.frame(tables.LABELS, [])
        else:
            labels = database.fetch_into(
                lambda result: read_rows(labels_sql, dialect, columns, result), connection, labels_sql, require, as_of
            )
        if columns == label_rows.BY_NAME:
            classes = label_rows.classes_of_names(labels_sql, labels)
        else:
            require_query(classes_sql, labels_sql)
            found = database.fetch_rows(connection, classes_sql, label_rows.CLASSES, as_of, needs_as_of=False)
            classes = label_rows.number_classes(classes_sql, found)
    tables.write(labels_csv, tables.LABELS, labels)
    tables.write(classes_csv, tables.CLASSES, classes)
    origin = f", named by {labels_sql}: {classes_sql} is not read" if columns == label_rows.BY_NAME else ""
    print(f"labels: {len(labels)} rows, {len(classes)} classes{origin}")
    for odd in rare_classes.describe_tree(classes):
        print(f"labels: {classes_sql}: {odd}")
    if by_people:
        print(f"labels: {labels_sql} has no query: corrections/labels.csv alone gives photos their classes")
    else:
        labelled.require_known_class(labels, classes)


def read_rows(labels_sql: Path, dialect: str, columns: Sequence[str], result: Iterable[Row]) -> pd.DataFrame:
    """Return the rows of labels.csv. They are Python's objects a part at a time: these are large."""
    parts, first_of, rows = list[label_rows.LabelRows](), dict[str, Row](), iter(result)
    while part := [tuple(row) for row in islice(rows, tables.ROWS_AT_ONCE)]:
        dated = label_dates.spell_part(labels_sql, part, first_of)
        parts.append(label_rows.number_part(labels_sql, columns, dated))
    label_dates.refuse(labels_sql, dialect, first_of)
    return label_rows.join_parts(labels_sql, columns, parts)


def require_columns(labels_sql: Path, found: list[str]) -> None:
    """Raise DataError for other columns than labels have."""
    if found not in (label_rows.BY_ID, label_rows.BY_NAME):
        raise DataError(
            f"{labels_sql} returns columns {', '.join(found)}; expected {', '.join(label_rows.BY_ID)}, or "
            f"{', '.join(label_rows.BY_NAME)}"
        )


def has_query(path: Path) -> bool:
    """Return whether a file has more than comments; not where it is not there."""
    return path.exists() and query_text.has_statement(path.read_text(encoding="utf-8-sig", errors="replace"))


def require_query(classes_sql: Path, labels_sql: Path) -> None:
    """Raise DataError where classes_sql has no query, or is not there: nothing else names the classes."""
    if has_query(classes_sql):
        return
    columns = ", ".join(label_rows.CLASSES)
    if has_query(labels_sql):
        raise DataError(
            f"{classes_sql} has no query, but {labels_sql} returns catalog_id: write a SELECT of {columns}, or return "
            "class_name in place of catalog_id"
        )
    raise DataError(f"neither {classes_sql} nor {labels_sql} has a query: write a SELECT of {columns} in the first")


if __name__ == "__main__":
    stage.run("labels", main)
