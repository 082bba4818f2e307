"""The database -> data/labels.csv and data/classes.csv: all rows, unchanged. Stage catalog decides about them."""

import datetime
from pathlib import Path
from typing import Any

from imageset.curation import labelled
from imageset.formats import tables
from imageset.runtime import params, stage
from imageset.storage import database


def format_date(value: Any) -> str:
    """Return a date or timestamp as ISO 8601 in UTC, "" for null. A timestamp without a zone counts as UTC.

    >>> format_date(datetime.datetime(2026, 1, 31, 12, 0))
    '2026-01-31T12:00:00+00:00'
    """
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return zoned.astimezone(datetime.UTC).isoformat()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC).isoformat()
    return str(value)


def main(labels_sql: Path, classes_sql: Path, labels_csv: Path, classes_csv: Path) -> None:
    """Read from the database every dated class of every product, and the classes' names.

    Args:
        labels_sql: the query: product_id, catalog_id, date of every labelled row.
        classes_sql: the query: catalog_id, name, parent_id of every class.
        labels_csv: every dated class of every product.
        classes_csv: the name and the parent of every class.
    """
    source = params.load().source
    with database.snapshot() as connection:
        labels = database.fetch_rows(connection, labels_sql, ["product_id", "catalog_id", "date"], source.as_of)
        classes = database.fetch_rows(
            connection, classes_sql, ["catalog_id", "name", "parent_id"], source.as_of, needs_as_of=False
        )
    dated = [(product_id, catalog_id, format_date(date)) for product_id, catalog_id, date in labels]
    label_table, class_table = tables.frame(tables.LABELS, dated), tables.frame(tables.CLASSES, classes)
    tables.write(labels_csv, tables.LABELS, label_table)
    tables.write(classes_csv, tables.CLASSES, class_table)
    print(f"labels: {len(labels)} rows, {len(classes)} classes")
    labelled.require_known_class(label_table, class_table)


if __name__ == "__main__":
    stage.run("labels", main)
