"""Write values and tables as Markdown. No text in them can act as markup."""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from imageset.formats import source_ids
from imageset.report.markdown import escape, escape_cell
from tools.compare.reruns import ABSENT

MOST_NAMES = 10
MOST_ROWS = 100  # of params and of metrics
LONGEST_NAME = 60  # characters of a class or a reason, so that what is said of it is shown, too
MOST_CHARACTERS = 65_400  # GitHub takes 65,536; CI puts a marker in front
CLOSE = "\n\n</details>"
CUT = "\n\nThe rest is cut: a comment on GitHub has at most 65,536 characters.\n"


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Return a Markdown table. Its last `numbers` columns are aligned right."""
    rule = ["---"] * (len(header) - numbers) + ["---:"] * numbers
    lines = [header, rule, *(map(escape_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_names(names: Sequence[str]) -> str:
    """Return the first ten names, and how many more there are.

    >>> format_names(["hat", "<b>"]), format_names([])
    ('hat, `<b>`', 'none')
    """
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return (", ".join(map(escape, names[:MOST_NAMES])) or "none") + more


def shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def name_class(name: str, catalog_id: int, *more: str) -> str:
    """Return the name of a class with the source's catalog_id, once where both are the same, and what else is said.

    >>> name_class("hat", 1202), name_class("1202", 1202), name_class("hat", 1202, "2 photos")
    ('hat (1202)', '1202', 'hat (1202, 2 photos)')
    """
    text = source_ids.text(catalog_id)
    described = ([] if name == text else [shorten(text)]) + list(more)
    return (shorten(name) + (f" ({', '.join(described)})" if described else "")).strip()


def count(number: int, one: str, many: str = "") -> str:
    """Return a number and what it counts.

    >>> count(1, "photo"), count(1200, "photo"), count(2, "class", "classes")
    ('1 photo', '1,200 photos', '2 classes')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def arrow(before: int, after: int) -> str:
    """Return how a number changes.

    >>> arrow(713, 700), arrow(713, 713)
    ('713 → 700', '713')
    """
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def format_first_rows(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Return a table of the first rows, and how many more there are."""
    table = format_table(header, rows[:MOST_ROWS], numbers)
    return table + (f"\n\n… and {len(rows) - MOST_ROWS:,} more." if len(rows) > MOST_ROWS else "")


def fold(title: str, text: str) -> str:
    """Return text that shows when a reader opens it."""
    return f"<details><summary>{escape(title)}</summary>\n\n{text}\n\n</details>"


def cut(text: str) -> str:
    """Return a text of at most MOST_CHARACTERS, which is what GitHub takes as a comment; it ends at a line's end.

    Where it is cut, what was open of tables and folded parts is closed.
    """
    if len(text) <= MOST_CHARACTERS:
        return text
    kept = text[: MOST_CHARACTERS - len(CUT) - len(CLOSE)].rpartition("\n")[0]
    is_folded = kept.rfind("\n<details>") > kept.rfind("\n</details>")  # at the start of a line: never in a name
    return kept + (CLOSE if is_folded else "") + CUT


def format_value(value: Any) -> str:
    """Return a value as in params.yaml, the first digits of a digest, and a dash for an absent value."""
    if value is ABSENT:
        return "—"
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,}", value):
        return f"{value[:12]}…"
    return yaml.safe_dump([value], default_flow_style=True, width=sys.maxsize, allow_unicode=True).strip()[1:-1]


def format_difference(base: Any, head: Any) -> str:
    """Return head - base with its sign, for lists element by element, and "" for values that are not numbers."""
    if isinstance(base, list) and isinstance(head, list) and len(base) == len(head):
        return ", ".join(format_difference(*pair) for pair in zip(base, head, strict=True))
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (base, head)):
        return ""
    return f"{head - base:+.6g}" if base != head else "0"
