"""Write values and tables as Markdown. No text in them can act as markup."""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from tools.compare.reruns import ABSENT

# What GitHub shows other than as text: emphasis, code, HTML, links, images, @mentions, #12, GH-12, :emoji:, $formulas$.
MARKUP = re.compile(r"[\\`*~<@$]|&\w|#\d|(?<!\w)_|_(?!\w)|\]\(|:[\w+-]|://|www\.|\bGH-\d", re.IGNORECASE)


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Return a Markdown table. Its last `numbers` columns are aligned right."""
    rule = ["---"] * (len(header) - numbers) + ["---:"] * numbers
    lines = [header, rule, *([escape(cell).replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Return text on one line, as code if any of it could act as markup.

    A backslash would not do: GitHub links names after an @ and numbers after a # in what the Markdown says, escaped or
    not. It leaves code alone.

    >>> escape("shoes (1201)")
    'shoes (1201)'
    >>> escape("![photo](http://photos.example/1.png)")
    '`![photo](http://photos.example/1.png)`'
    """
    line = " ".join(text.split())
    if not MARKUP.search(line):
        return line
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    blank = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{blank}{line}{blank}{fence}"


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
