"""Of reports/leakage.json, the kind of copies that the search for duplicates finds least. Pure."""

from typing import Any, NamedTuple


class LeastFound(NamedTuple):
    """A kind of copies, and what reports/leakage.json says of it."""

    kind: str
    counts: dict[str, Any]


def find_least(leakage: dict[str, Any]) -> LeastFound | None:
    """Return the kind with the least recall, the first of several; None where none was planted.

    >>> found = {"gray": {"recall": 1.0}, "text": {"recall": 0.9}, "collage": {"recall": None}}
    >>> find_least({"kinds": found})
    LeastFound(kind='text', counts={'recall': 0.9})
    """
    planted = [LeastFound(*item) for item in leakage["kinds"].items() if item[1]["recall"] is not None]
    return min(planted, key=lambda found: float(found.counts["recall"]), default=None)
