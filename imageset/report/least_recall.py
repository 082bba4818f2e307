"""Of reports/leakage.json, the kind of copies that the search for duplicates finds least. Pure."""

from typing import Any


def find_least(leakage: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row of the kind with the least recall, the first of several; None where none was planted.

    >>> rows = [{"kind": "gray", "recall": 1.0}, {"kind": "text", "recall": 0.9}, {"kind": "collage", "recall": None}]
    >>> find_least({"kinds": rows})
    {'kind': 'text', 'recall': 0.9}
    """
    planted = [row for row in leakage["kinds"] if row["recall"] is not None]
    return min(planted, key=lambda row: float(row["recall"]), default=None)
