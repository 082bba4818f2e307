"""Stage labels on dates of real databases: what is read, and what is refused, with SQL to write that works."""

import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from imageset.errors import DataError
from imageset.formats import dates, tables
from stages import labels
from tests.conftest import execute

CLASSES = "SELECT 12 AS catalog_id, 'tops' AS name, NULL AS parent_id"


def run(project: Path) -> pd.DataFrame:
    """Run the stage with one class, 12, and return the rows of labels.csv."""
    (project / "queries/classes.sql").write_text(CLASSES)
    outputs = project / "data/labels.csv", project / "data/classes.csv"
    labels.main(project / "queries/labels.sql", project / "queries/classes.sql", *outputs)
    return tables.read(outputs[0], tables.LABELS)


def use_files(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, values: list[object]) -> None:
    """Make a table of labels in SQLite or a CSV file for DuckDB, and queries that read it."""
    if kind == "sqlite":
        monkeypatch.setenv("DATABASE_URL", "sqlite:///shop.db")
        with contextlib.closing(sqlite3.connect(folder / "shop.db")) as shop:
            shop.execute("CREATE TABLE given (product_id, catalog_id, date)")
            shop.executemany("INSERT INTO given VALUES (?, 12, ?)", list(enumerate(values, 1)))
            shop.commit()
    else:
        monkeypatch.setenv("DATABASE_URL", "duckdb://")
        rows = "".join(f"{number},12,{value}\n" for number, value in enumerate(values, 1))
        (folder / "given.csv").write_text(f"product_id,catalog_id,date\n{rows}")
    write_query(folder, kind, "date")


def write_query(folder: Path, kind: str, date: str) -> None:
    """Write labels.sql with an expression for the date."""
    sources = {
        "sqlite": "given",
        "duckdb": "read_csv('given.csv', types = {'date': 'VARCHAR'})",
        "postgresql": "given",
    }
    (folder / "queries/labels.sql").write_text(
        f"SELECT product_id, catalog_id, {date} AS date FROM {sources[kind]} WHERE :as_of IS NULL ORDER BY product_id"
    )


@pytest.mark.parametrize(
    ("texts", "ordered"),
    [
        (["31.12.2025", "01.02.2026"], [1, 2]),
        (["2025-12-31 10:00:00", "2026-02-01"], [1, 2]),
        (["31/12/2025", "01/02/2026"], [1, 2]),
        (["9", "10"], [1, 2]),
        (["01.02.2026", "", "31.12.2025"], [2, 3, 1]),
    ],
)
@pytest.mark.parametrize("kind", ["postgresql", "sqlite", "duckdb"])
def test_dates_that_are_text_are_refused_with_a_cast_that_works(
    kind: str, texts: list[str], ordered: list[int], database: str, in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "postgresql":
        rows = ", ".join(f"({number}, 12, '{text}')" for number, text in enumerate(texts, 1))
        execute(
            database, f"CREATE TABLE given (product_id int, catalog_id int, date text); INSERT INTO given VALUES {rows}"
        )
        write_query(in_project, kind, "date")
    else:
        use_files(in_project, monkeypatch, kind, list(texts))

    with pytest.raises(DataError) as caught:
        run(in_project)
    said = re.fullmatch(
        r".*queries/labels\.sql: column date of product_id 1 is the text '(.+)', which does not sort by time: "
        r"write a cast in the query, such as (.+) AS date",
        str(caught.value),
    )

    assert said is not None
    assert said[1] == texts[0]

    write_query(in_project, kind, said[2])
    found = run(in_project)
    keys = dates.sortable(found["date"])

    assert found.assign(key=keys).sort_values("key")["product_id"].tolist() == ordered


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [1769860800, "2026-01-31"],
            r"column date of product_id 2 is the text '2026-01-31', which does not sort by time",
        ),
        ([1.5, ""], r"column date of product_id 2 is an empty text: write NULLIF\(date, ''\) AS date"),
        (
            [float("inf")],
            r"column date of product_id 1 is inf \(float\): return a date, a timestamp, a finite number or",
        ),
        ([b"\x00"], r"column date of product_id 1 is b'\\x00' \(bytes\): return a date"),
    ],
)
def test_what_is_no_date_names_its_row(
    values: list[object], message: str, in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_files(in_project, monkeypatch, "sqlite", values)

    with pytest.raises(DataError, match=rf"queries/labels\.sql: {message}"):
        run(in_project)


def test_numbers_are_written_as_the_source_has_them(in_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_files(in_project, monkeypatch, "sqlite", [1769860800, 9, 10.5, None])
    run(in_project)

    assert (in_project / "data/labels.csv").read_text() == (
        "product_id,catalog_id,date\n1,12,1769860800\n2,12,9\n3,12,10.5\n4,12,\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [("'12000-01-31'::date", "12000-01-31"), ("'0044-03-15 BC'::timestamp", "0044-03-15 00:00:00 BC")],
)
def test_a_date_that_cannot_be_read_names_its_row(value: str, text: str, database: str, in_project: Path) -> None:
    execute(database, f"CREATE VIEW given AS SELECT 7 AS product_id, 12 AS catalog_id, {value} AS date")
    write_query(in_project, "postgresql", "date")

    with pytest.raises(DataError, match=rf"labels\.sql: column date of product_id 7 is {text}, which cannot be read: "):
        run(in_project)


@pytest.mark.usefixtures("database")
def test_a_moment_beyond_the_year_9999_in_utc_names_its_row(in_project: Path) -> None:
    (in_project / "queries/labels.sql").write_text(
        "SELECT 7 AS product_id, 12 AS catalog_id, CAST('9999-12-31 23:00:00-05' AS timestamptz) AS date "
        "FROM set_config('TimeZone', 'America/New_York', true)"
    )

    with pytest.raises(DataError, match=r"column date of product_id 7 is 9999-12-31 23:00:00-05:00, not in the years"):
        run(in_project)


@pytest.mark.usefixtures("database")
def test_infinity_is_the_last_moment(in_project: Path) -> None:
    (in_project / "queries/labels.sql").write_text(
        "SELECT 7 AS product_id, 12 AS catalog_id, CAST('infinity' AS timestamptz) AS date"
    )
    found = run(in_project)

    assert found["date"].tolist() == ["9999-12-31T23:59:59.999999+00:00"]


def test_as_of_and_a_query_without_it_is_an_error_but_classes_need_none(
    database: str, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    execute(database, "INSERT INTO tracking_staging VALUES (1, 12, '2026-01-01')")
    edit_params("as_of: null", 'as_of: "2026-01-31T00:00:00Z"')
    run(in_project)  # classes.sql does not use :as_of
    query = in_project / "queries/labels.sql"
    query.write_text(query.read_text().partition("WHERE")[0])

    with pytest.raises(DataError, match=r"queries/labels\.sql does not use :as_of, but source\.as_of is 2026-01-31T00"):
        run(in_project)
