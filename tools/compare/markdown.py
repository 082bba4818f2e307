"""Write values and tables as Markdown. No text in them can act as markup."""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from imageset.report.markdown import escape, escape_cell
from tools.compare.reruns import ABSENT

MOST_NAMES = 10
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
    is_folded = kept.rfind("<details>") > kept.rfind("</details>")
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
