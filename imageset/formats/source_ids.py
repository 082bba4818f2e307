"""The source's ids of products and classes <-> the 64-bit integers that files and programs count with.

An id that is a whole number from 0 to 2**63 - 1, spelt as such, is itself. Any other text is the first 63 bits of its
sha256. This module remembers every text that it has numbered, so that the tables and messages of the same process show
the source's ids again.
"""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from imageset.errors import DataError
from imageset.formats import blanks

INT64_MAX = 2**63 - 1
LONGEST_BYTES = 255
# A float beyond this may have been another integer: 2**53 and 2**53 + 1 are one float. JavaScript has floats alone.
LARGEST_EXACT_FLOAT = 2**53 - 1

WHOLE_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
NUMBER = re.compile(WHOLE_NUMBER)
COLUMN_OF_NUMBERS = re.compile(rf"{WHOLE_NUMBER}(?:\n{WHOLE_NUMBER})*")
# Control characters, line separators, and what turns the direction of a text: ids are shown to people.
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

NO_IDS = (bool, np.bool_, bytes, bytearray, memoryview, list, dict, tuple, set)

# Nearly all ids. They need no other check, which makes a million UUIDs cheap.
PLAIN = re.compile(rf"[!-~]{{1,{LONGEST_BYTES}}}")

_texts: dict[int, str] = {}


def number(value: Any) -> int:
    """Return the integer of one id of the source.

    Args:
        value: a text, an integer, a uuid.UUID, or a float or Decimal that is a whole number.

    Raises:
        ValueError: the value is no id: empty, too long, with a control character, a fraction, bytes or a bool.
        DataError: another text has the same integer.

    >>> number("42"), number("007") == number(7), text(number("\ufeff 007\t"))
    (42, False, '007')
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= value <= INT64_MAX:
        return int(value)
    spelt = clean(value)
    if NUMBER.fullmatch(spelt) and int(spelt) <= INT64_MAX:
        return int(spelt)
    found = hash_text(spelt)
    other = _texts.setdefault(found, spelt)
    if other != spelt:
        raise DataError(
            f"the ids {other!r} and {spelt!r} have the same number, {found}: give one of them another id in the query, "
            f"such as {spelt + '-2'!r}"
        )
    return found


def numbers(values: Iterable[Any]) -> list[int]:
    """Return the integers of a column of ids. Columns of plain digits are fast.

    Raises:
        ValueError: a value is no id.
        DataError: two different ids of the column have the same integer.
    """
    values = list(values)
    kinds = set(map(type, values))
    if kinds == {int} or (kinds == {str} and COLUMN_OF_NUMBERS.fullmatch("\n".join(values))):
        found = list(map(int, values))
        if min(found) >= 0 and max(found) <= INT64_MAX:
            return found
    if kinds == {str}:  # each text once: a column of classes repeats few of them
        known = {value: number(value) for value in dict.fromkeys(values)}
        found = [known[value] for value in values]
    else:
        found = [number(value) for value in values]
    if not _texts.keys().isdisjoint(found):
        are_integers = are_whole_numbers(values, found)
        hashed = {its_number for its_number, is_integer in zip(found, are_integers, strict=True) if not is_integer}
        integers = {its_number for its_number, is_integer in zip(found, are_integers, strict=True) if is_integer}
        require_apart(integers & hashed)
    return found


def are_whole_numbers(values: Iterable[Any], found: Iterable[int | None]) -> list[bool]:
    """Return for each id, and the integer that it has, whether it is this integer itself and no text; True for None."""
    pairs = zip(values, found, strict=True)
    return [its_number not in _texts or clean(value) == str(its_number) for value, its_number in pairs]


def require_apart(integers: Iterable[int]) -> None:
    """Raise DataError where an id that is an integer is the number of another id, which is text."""
    for its_number in sorted(_texts.keys() & integers):
        raise DataError(
            f"the ids {_texts[its_number]!r} and {its_number} have the same number: give one of them another id in the "
            f"query, such as {_texts[its_number] + '-2'!r}"
        )


def text(its_number: int) -> str:
    """Return the source's id that has a number: the text that this process has numbered, else the number's digits."""
    return _texts.get(int(its_number), str(its_number))


def texts(column: pd.Series) -> pd.Series:
    """Return the source's ids of a column of numbers, int64 or Int64, as text, "" where one is missing."""
    assert column.dtype.kind != "f", f"{column.name} has floats, which round ids"
    return pd.Series(
        ["" if value is pd.NA else _texts.get(value, str(value)) for value in column.tolist()], column.index, object
    )


def has_text(column: pd.Series) -> bool:
    """Return whether one of a column of numbers has another text than its digits."""
    return bool(_texts) and not _texts.keys().isdisjoint(column.dropna().tolist())


def is_blank(value: Any) -> bool:
    """Return whether a cell of the source has no id: null, NaN, or blanks alone."""
    if isinstance(value, str) and value[:1].isalnum():  # nearly all texts: a regular expression would take longer
        return False
    return value is None or value is pd.NA or value != value or not blanks.strip(str(value))


def clean(value: Any) -> str:
    """Return an id of the source as text, without blanks around it. Raises ValueError for what is no id."""
    if type(value) is str and PLAIN.fullmatch(value):
        return value
    if isinstance(value, float | np.floating | Decimal):
        is_exact = isinstance(value, Decimal) or -LARGEST_EXACT_FLOAT <= value <= LARGEST_EXACT_FLOAT
        if not math.isfinite(value) or value != int(value) or not is_exact:
            raise ValueError(f"{value!r} is no whole number: cast it to text or bigint")
        return str(int(value))
    if value is None or value is pd.NA or value is pd.NaT or isinstance(value, NO_IDS):
        raise ValueError(f"{value!r} is no id: cast it to text or bigint")
    spelt = blanks.strip(str(value))
    if not spelt or FORBIDDEN.search(spelt):
        raise ValueError(f"{str(value)!r} is no id: it is empty or has control characters")
    if len(spelt.encode()) > LONGEST_BYTES:
        raise ValueError(f"{spelt[:40]!r}... is no id: it has more than {LONGEST_BYTES} bytes")
    return spelt


def hash_text(spelt: str) -> int:
    """Return the first 63 bits of the sha256 of a text in UTF-8.

    >>> hash_text("ab-1")
    2405214475729882246
    """
    return int.from_bytes(sha256(spelt.encode()).digest()[:8], "big") >> 1
