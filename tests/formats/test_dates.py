"""Dates of labels: one spelling, and the order of time or of numbers."""

import datetime
import time
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.formats import dates

NEW_YORK = datetime.timezone(datetime.timedelta(hours=-5))
MOMENTS = st.datetimes(
    datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30), timezones=st.sampled_from([datetime.UTC, NEW_YORK])
)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (datetime.date(2026, 1, 31), "2026-01-31T00:00:00+00:00"),
        (datetime.datetime(2026, 1, 31, 12, 0, tzinfo=NEW_YORK), "2026-01-31T17:00:00+00:00"),
        (datetime.date(33, 4, 3), "0033-04-03T00:00:00+00:00"),
        (1769860800, "1769860800"),
        (1769860800.25, "1769860800.25"),
        (Decimal("20260131.0"), "20260131.0"),
        (-0.5, "-0.5"),
    ],
)
def test_a_date_has_one_spelling(value: object, text: str) -> None:
    assert dates.text_of(value) == text


def test_a_timestamp_without_a_zone_is_utc_in_any_time_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        text = dates.text_of(datetime.datetime(2026, 1, 31, 12, 0))
    time.tzset()

    assert text == "2026-01-31T12:00:00+00:00"


def test_a_moment_beyond_the_year_9999_in_utc_has_no_spelling() -> None:
    with pytest.raises(OverflowError):
        dates.text_of(datetime.datetime(9999, 12, 31, 20, tzinfo=NEW_YORK))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (datetime.date(2026, 1, 31), "moment"),
        (datetime.datetime(2026, 1, 31), "moment"),
        (7, "number"),
        (7.5, "number"),
        (Decimal("7.5"), "number"),
        (float("nan"), "other"),
        (Decimal("Infinity"), "other"),
        (True, "other"),
        (datetime.time(12), "other"),
        (b"2026", "other"),
        ("2026-01-31", "text"),
        ("", "text"),
    ],
)
def test_only_moments_and_finite_numbers_have_an_order(value: object, kind: str) -> None:
    assert dates.kind_of(value) == kind


@given(st.one_of(st.lists(MOMENTS), st.lists(NUMBERS)))
def test_dates_sort_as_their_values(values: list[object]) -> None:
    keys = dates.sortable(pd.Series([dates.text_of(value) for value in values], dtype=object)).tolist()

    for value, key in zip(values, keys, strict=True):
        for other_value, other_key in zip(values, keys, strict=True):
            assert (key < other_key) == (value < other_value)  # type: ignore[operator]


def test_a_missing_date_is_the_oldest() -> None:
    assert dates.sortable(pd.Series(["-5", "", "1e3", "9", "10"])).tolist() == [1, 0, 4, 2, 3]
    assert dates.sortable(pd.Series(["2026-01-31T00:00:00+00:00", ""])).argsort().tolist() == [1, 0]
    assert dates.sortable(pd.Series(["", ""])).tolist() == [0, 0]
    assert dates.sortable(pd.Series([], dtype=object)).tolist() == []
