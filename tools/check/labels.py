"""The queries of labels and classes, and whether they fit the listings."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from pathlib import Path
from typing import Any

import pandas as pd

from imageset.curation import corrections, label_dates, label_rows, labelled, rare_classes
from imageset.errors import DataError
from imageset.formats import hand_edited, source_ids
from imageset.storage import database
from imageset.storage.object_keys import parse_key
from stages import labels
from tools.check.findings import Findings
from tools.check.line import Line, ok, show, untried, wrong
from tools.check.queries import LISTINGS, describe_columns, describe_nothing
from tools.check.reading import SECONDS, Sample, read

LABELS, CLASSES = Path("queries/labels.sql"), Path("queries/classes.sql")
CORRECTIONS = Path("corrections/labels.csv")
MOST_PRODUCTS = 200  # of which labels are looked up where labels.sql has more rows than are read

BACKSLASHES_ESCAPE = ("mysql", "mariadb")  # in literals

Row = tuple[Any, ...]


def check_labels(found: Findings) -> Iterator[Line]:
    """Read labels.sql, and say which rows stage labels refuses."""
    if found.dialect is None or found.params is None:
        yield untried(str(LABELS), "it needs the database and params.yaml, see above")
        return
    if not labels.has_query(LABELS):
        found.labels = Sample(label_rows.BY_ID, [], True)
        found.label_table = make_table(label_rows.BY_ID, [], found.dialect)
        yield describe_people()
        return
    as_of = found.params.source.as_of
    sample = read(LABELS, lambda names: labels.require_columns(LABELS, names), as_of)
    if sample is None or not sample.rows:
        yield describe_nothing(LABELS, sample, as_of)
        return
    found.labels = sample
    yield ok(f"{LABELS}: {sample.scope()}: {describe_columns(sample)}")
    good, faults = sort_out(sample, found.dialect)
    yield from map(wrong, faults)
    if not good:
        return
    found.label_table = make_table(sample.columns, good, found.dialect)
    empty = int((found.label_table["product_id"].isna() | found.label_table["catalog_id"].isna()).sum())
    if empty:
        yield ok(
            f"{LABELS}: {empty:,} of {sample.scope()} have no {sample.columns[0]} or {sample.columns[1]}: not used"
        )


def describe_people() -> Line:
    """Say how many rows people have written, where they alone label the photos."""
    rows = len(hand_edited.read(CORRECTIONS, corrections.LABEL_COLUMNS, corrections.REMARKS))
    if rows:
        return ok(f"{LABELS} has no query: {rows:,} rows of {CORRECTIONS} alone give photos their classes")
    return wrong(f"{LABELS} has no query, and {CORRECTIONS} has no rows: write a query, or the class of some photos")


def make_table(columns: list[str], rows: list[Row], dialect: str) -> pd.DataFrame:
    """Return rows of labels.sql as stage labels writes them."""
    return label_rows.number_labels(LABELS, columns, label_dates.spell(LABELS, dialect, rows))


def sort_out(sample: Sample, dialect: str) -> tuple[list[Row], list[str]]:
    """Return the rows of labels.sql that the stage takes, and what it says of the first of the others, by kind."""
    names = sample.columns
    judges: list[Callable[[list[Row]], object]] = [
        lambda rows: label_rows.number_column(LABELS, names, rows, names[0], [row[0] for row in rows]),
        lambda rows: label_rows.number_column(LABELS, names, rows, names[1], [row[1] for row in rows]),
        lambda rows: label_dates.spell(LABELS, dialect, rows),
    ]
    rows, faults = sample.rows, []
    for judge in judges:
        try:
            judge(rows)
        except DataError as error:
            verdicts = [is_refused(judge, row) for row in rows]
            refused = list(compress(rows, verdicts))
            more = f"; {len(refused):,} of {sample.scope()} are refused so: {show_products(refused)}" if refused else ""
            faults.append(f"{error}{more}")
            rows = [row for row, is_bad in zip(rows, verdicts, strict=True) if not is_bad] if refused else rows[:1]
    return rows, faults


def is_refused(judge: Callable[[list[Row]], object], row: Row) -> bool:
    """Return whether a row is refused by itself."""
    try:
        judge([row])
    except DataError:
        return True
    return False


def show_products(rows: list[Row]) -> str:
    """Return the product_id of the first rows."""
    return f"product_id {show([row[0] for row in rows])}"


def check_classes(found: Findings) -> Iterator[Line]:
    """Read classes.sql, unless labels name their classes."""
    by_name = found.labels is not None and found.labels.columns == label_rows.BY_NAME
    if found.params is None or found.labels is None or (by_name and found.label_table is None):
        yield untried(str(CLASSES), "it needs rows of labels.sql, see above")
        return
    if by_name and found.label_table is not None:
        found.class_table = label_rows.classes_of_names(LABELS, found.label_table)
        if not CLASSES.is_file():
            yield wrong(f"{CLASSES} is not there. It is not read, but DVC wants it: `git checkout -- {CLASSES}`")
            return
        yield ok(f"{CLASSES}: not needed, as {LABELS} returns class_name: {len(found.class_table):,} classes")
        return
    labels.require_query(CLASSES, LABELS)
    sample = read(CLASSES, database.require_columns(CLASSES, label_rows.CLASSES), found.params.source.as_of, False)
    if sample is None or not sample.rows:
        yield describe_nothing(CLASSES, sample, None)
        return
    found.class_table = label_rows.number_classes(CLASSES, sample.rows)
    yield ok(f"{CLASSES}: {sample.scope()}: {describe_columns(sample)}")
    for odd in rare_classes.describe_tree(found.class_table):
        text = f"{CLASSES}: {odd}"
        yield wrong(text) if found.params.catalog.rare == "merge" else ok(f"{text} (catalog.rare: merge alone uses it)")


def check_labelled(found: Findings) -> Iterator[Line]:
    """Say which share of the products has a label that names a class."""
    products, where = list_products(found)
    if found.label_table is None or found.class_table is None or not products or found.labels is None:
        yield untried("products with a label", "it needs rows of all three queries, see above")
        return
    table = found.label_table
    if table.empty:
        yield ok(f"products with a label: those of {CORRECTIONS}, see above")
        return
    if not found.labels.complete:
        products = products[:MOST_PRODUCTS]
        sample = read_labels_of(products, found)
        if sample is None:
            yield untried("products with a label", f"{LABELS} did not find them in {SECONDS:.0f} s")
            return
        table = make_table(sample.columns, sample.rows, found.dialect or "")
    labelled.require_known_class(found.label_table, found.class_table)
    labelled.require_labelled_product(set(products), table if len(table) else found.label_table, found.class_table)
    with_class = set(table.loc[table["catalog_id"].isin(found.class_table["catalog_id"]), "product_id"].dropna())
    without = [source_ids.text(product) for product in products if product not in with_class]
    numbers = table["product_id"].dropna().drop_duplicates()
    unlisted = source_ids.texts(numbers[~numbers.isin(products)])  # a listed one is another product
    if spelt := labelled.find_other_spellings(without, unlisted):
        pairs = [f"{product} ({other} in labels)" for product, other in spelt.items()]
        yield wrong(
            f"{len(spelt):,} of {len(products):,} products of {where} have labels whose product_id differs in upper "
            f"and lower case, or in leading zeros: {show(list(pairs))}: return the same product_id in both queries"
        )
    having = len(products) - len(without)
    share = f"{having:,} of {len(products):,} products of {where} ({100 * having // len(products)} %)"
    example = f"; not so {show(list(without))}" if without else ""
    yield ok(f"labels: {share} have one that names a class{example}")


def list_products(found: Findings) -> tuple[list[int], str]:
    """Return the products that have photos, and where they are from: the listings, or the names in the bucket."""
    if found.params is not None and not found.params.ingest.enabled and not found.has_keys():
        return list(dict.fromkeys(photo[0] for photo in map(parse_key, found.keys) if photo)), "the bucket"
    if found.chosen is None:
        return [], ""
    return found.chosen["product_id"].drop_duplicates().tolist(), str(LISTINGS)


def read_labels_of(products: list[int], found: Findings) -> Sample | None:
    """Return the rows of labels.sql of some products; None where that takes too long.

    Raises:
        DataError: the database cannot run the query as a part of another one.
    """
    assert found.params is not None
    assert found.dialect is not None
    query = ":as_of".join(database.read_query(LABELS, found.dialect).pieces)
    kind = "char" if found.dialect in BACKSLASHES_ESCAPE else "varchar"
    ids = quote_ids(map(source_ids.text, products), found.dialect)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LABELS.name
        path.write_text(
            f"SELECT * FROM (\n{query}\n) AS labels WHERE CAST(product_id AS {kind}) IN ({ids})", encoding="utf-8"
        )
        return read(path, lambda names: None, found.params.source.as_of)


def quote_ids(ids: Iterable[str], dialect: str) -> str:
    """Return ids, which sellers may have written, as literals of SQL.

    >>> print(quote_ids(["it's", "a\\\\"], "postgresql"), quote_ids(["it's", "a\\\\"], "mysql"))
    'it''s', 'a\\' 'it''s', 'a\\\\'
    """
    quoted = (one.replace("'", "''") for one in ids)
    if dialect in BACKSLASHES_ESCAPE:
        quoted = (one.replace("\\", "\\\\") for one in quoted)
    return ", ".join(f"'{one}'" for one in quoted)
