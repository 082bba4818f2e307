"""The section of a comparison about planted copies: of which kinds the search for duplicates finds more or fewer."""

from typing import Any

from tools.compare.markdown import count, format_table

HEADER = ["kind", "base", "head", "95 % interval of head"]


def format_recall(base: dict[str, Any], head: dict[str, Any]) -> str:
    """Return the section: the kinds that changed. Both sides are parsed reports/leakage.json.

    The photos of both sides may be others, so a difference within the interval may be chance.
    """
    before, after = rows_by_kind(base), rows_by_kind(head)
    changed = [kind for kind in before | after if before.get(kind) != after.get(kind)]
    if not changed:
        return "As many of each kind as in base."
    rows = [
        (kind, describe(before.get(kind)), describe(after.get(kind)), interval(after.get(kind))) for kind in changed
    ]
    photos = f"Of {count(base['photos'], 'photo')} in base, {head['photos']:,} in head."
    return f"{photos}\n\n{format_table(HEADER, rows, numbers=3)}"


def describe(counts: dict[str, Any] | None) -> str:
    """Return how many copies were found.

    >>> describe({"planted": 200, "found": 191, "recall": 0.955}), describe(None)
    ('0.955 (191 of 200)', '-')
    """
    if counts is None or counts["recall"] is None:
        return "-"
    return f"{counts['recall']:.3f} ({counts['found']:,} of {counts['planted']:,})"


def interval(counts: dict[str, Any] | None) -> str:
    if counts is None or counts["recall"] is None:
        return "-"
    return f"{counts['recall_low']:.3f} to {counts['recall_high']:.3f}"


def list_lower(base: dict[str, Any], head: dict[str, Any]) -> list[str]:
    """Return the kinds of which head finds a smaller share than base, each with both shares."""
    shares = {kind: (base["recall"].get(kind), recall) for kind, recall in head["recall"].items()}
    return [
        f"{kind} {before:.3f} → {after:.3f}"
        for kind, (before, after) in shares.items()
        if before is not None and after is not None and after < before
    ]


def rows_by_kind(leakage: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["kind"]: row for row in leakage["kinds"]}
