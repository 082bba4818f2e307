"""Dates of labels that have no order are refused, and the message has the SQL for the database at hand."""

import datetime
from pathlib import Path

import pytest

from imageset.curation import label_dates
from imageset.errors import DataError

QUERY = Path("queries/labels.sql")
MOMENT, NUMBER = (7, 12, datetime.date(2026, 1, 31)), (8, 12, 20260131)


@pytest.mark.parametrize("rows", [[MOMENT, NUMBER], [NUMBER, MOMENT], [(1, 12, None), NUMBER, NUMBER, MOMENT]])
def test_moments_and_numbers_in_one_table_are_refused_with_both(rows: list[tuple[object, ...]]) -> None:
    with pytest.raises(DataError) as caught:
        label_dates.spell(QUERY, "duckdb", rows)

    assert str(caught.value) == (
        "queries/labels.sql: column date of product_id 7 is the moment 2026-01-31T00:00:00+00:00, that of product_id 8 "
        "is the number 20260131: return one of the two in all rows"
    )


def test_days_and_timestamps_are_one_kind() -> None:
    moment = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)

    assert [row[-1] for row in label_dates.spell(QUERY, "duckdb", [MOMENT, (8, 12, moment), (9, 12, None)])] == [
        "2026-01-31T00:00:00+00:00",
        "2026-01-31T00:00:00+00:00",
        "",
    ]


@pytest.mark.parametrize(
    ("dialect", "text", "sql"),
    [
        ("postgresql", "2026-01-31", "date::timestamptz"),
        ("postgresql", "31/1/2026", "to_timestamp(date, 'DD/MM/YYYY')"),
        ("duckdb", "31-01-2026 10:00", "strptime(date, '%d-%m-%Y')"),
        ("mariadb", "31.01.2026", "STR_TO_DATE(date, '%d.%m.%Y')"),
        ("oracle", "31.01.2026", "TO_TIMESTAMP(date, 'DD.MM.YYYY')"),
        ("sqlite", "-12.5", "CAST(date AS NUMERIC)"),
        (
            "sqlite",
            "yesterday",
            "unixepoch(substr(date, 7, 4) || '-' || substr(date, 4, 2) || '-' || substr(date, 1, 2))",
        ),
    ],
)
def test_the_cast_is_of_the_database_and_of_the_text(dialect: str, text: str, sql: str) -> None:
    with pytest.raises(DataError) as caught:
        label_dates.spell(QUERY, dialect, [MOMENT, (9, 12, text)])

    assert str(caught.value) == (
        f"queries/labels.sql: column date of product_id 9 is the text {text!r}, which does not sort by time: write a "
        f"cast in the query, such as {sql} AS date"
    )
