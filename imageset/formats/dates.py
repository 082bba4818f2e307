"""The dates of labels, as the text of a table and in order: moments in ISO 8601, or numbers; pure."""

import datetime
import math
import re
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Kind = Literal["moment", "number", "text", "other"]


def kind_of(value: Any) -> Kind:
    """Return what a value of a database is: only moments and finite numbers are dates that have an order."""
    if isinstance(value, datetime.date):  # a datetime is one, too
        return "moment"
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value):
        return "number"
    return "text" if isinstance(value, str) else "other"


def text_of(value: Any) -> str:
    """Return a moment as ISO 8601 in UTC, a number as the source has it, "" for None.

    A timestamp without a zone counts as UTC, a day as its first moment.

    Raises:
        OverflowError: in UTC the moment is before the year 1 or after 9999.

    >>> text_of(datetime.datetime(2026, 1, 31, 12, 0)), text_of(1769860800)
    ('2026-01-31T12:00:00+00:00', '1769860800')
    """
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return zoned.astimezone(datetime.UTC).isoformat()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC).isoformat()
    return str(value)


def are_numbers(dates: pd.Series) -> bool:
    """Return whether the dates of a table are numbers: of what, only the source knows."""
    return all(date == "" or NUMBER.fullmatch(date) for date in pd.unique(dates))


def sortable(dates: pd.Series) -> pd.Series:
    """Return for each date of a table a value that sorts as the date does; a missing date ("") is the first.

    Moments sort as their text: ISO 8601 in one zone. Of numbers, the rank is returned.

    >>> sortable(pd.Series(["9", "10", "", "10.0"])).tolist()
    [1, 2, 0, 2]
    """
    if not are_numbers(dates):
        return dates
    places, distinct = pd.factorize(dates)
    values = [int(date) if date.isdigit() else Decimal(date or "-Infinity") for date in distinct]  # int: faster
    ranks = {value: rank for rank, value in enumerate(sorted({*values, Decimal("-Infinity")}))}
    return pd.Series(np.array([ranks[value] for value in values], np.int64)[places], dates.index)
