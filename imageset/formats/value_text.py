"""How a value of the source's database becomes text in data/attributes.csv."""

import datetime
import decimal
import json
import re
from contextlib import suppress
from typing import Any


def one_line(value: Any) -> str:
    """Return a value of the database as one line of text, "" for null. A moment with an offset is in UTC.

    >>> one_line(None), one_line(True), one_line(datetime.date(2026, 1, 31)), one_line({"b": 1, "a": "é"})
    ('', 'true', '2026-01-31', '{"a": "é", "b": 1}')
    """
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, decimal.Decimal):
        text = format(value, "f")
    elif isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        if isinstance(value, datetime.datetime) and value.tzinfo:
            with suppress(OverflowError):  # near the years 1 and 9999
                value = value.astimezone(datetime.UTC)
        text = value.isoformat()
    elif isinstance(value, bytes | bytearray | memoryview):
        text = bytes(value).hex()
    elif isinstance(value, dict | list | tuple):
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=one_line)
    else:
        text = str(value)
    if text.isprintable():  # most are, and this is four times as fast
        return text.strip()
    flat = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).strip()
    return flat.encode("utf-8", "replace").decode()
