"""Draw docs/images/reruns.svg: which stages run after five changes, and what of the photos they make again.

python docs/images/make_reruns.py docs/images/reruns.svg
"""

import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, MARGIN = 1160, 24  # in pixels; the picture may be scaled
LABEL_WIDTH, HEAD, ROW, GAP = 250, 62, 78, 8
FOOT = 58
GROUND, FRAME, INK, DIM = "#ffffff", "#d0d7de", "#1f2328", "#57606a"  # its own ground: legible on light and dark pages
FILLS = {  # the state of a stage: colour of the cell, of its frame, of its text
    "all": ("#b3480b", "#b3480b", "#ffffff"),
    "new": ("#ffe3c7", "#b3480b", "#1f2328"),
    "run": ("#0a5aa8", "#0a5aa8", "#ffffff"),
    "perhaps": ("#ddefff", "#0a5aa8", "#1f2328"),
    "empty": ("#ffffff", "#57606a", "#1f2328"),
    "none": ("#f0f2f4", "#f0f2f4", "#57606a"),
}


class Change(NamedTuple):
    """A change: its name, what else behaves like it, and the state and text of each column."""

    name: str
    also: str
    cells: tuple[tuple[str, str], ...]


COLUMNS = (
    ("listings to", "inventory"),
    ("model", ""),
    ("masks", ""),
    ("embed", ""),
    ("preprocess", ""),
    ("duplicates", "to split"),
    ("audit", ""),
    ("build to", "page"),
)
NOT_RUN, RUN = ("none", "not run"), ("run", "runs")
IF_REJECTED = ("perhaps", "if other|photos are|rejected")
CHANGES = (
    Change(
        "preprocess.fill",
        "or color, fit, image_side",
        (NOT_RUN, NOT_RUN, ("none", "not run:|masks stay"), NOT_RUN, ("all", "all pixels"), NOT_RUN, NOT_RUN, RUN),
    ),
    Change(
        "masks.side",
        "or precision, device",
        (NOT_RUN, NOT_RUN, ("all", "all masks"), NOT_RUN, ("all", "all pixels"), IF_REJECTED, RUN, RUN),
    ),
    Change(
        "new listings",
        "make refresh",
        (
            *(RUN, NOT_RUN, ("new", "masks of|new photos"), ("new", "embeddings|of new ones")),
            *(("new", "pixels of|new photos"), RUN, RUN, RUN),
        ),
    ),
    Change(
        "masks.background: keep",
        "from remove",
        (
            *(NOT_RUN, ("empty", "no weights|of masks"), ("empty", "no masks"), NOT_RUN),
            *(("all", "all pixels"), IF_REJECTED, RUN, RUN),
        ),
    ),
    Change(
        "a correction",
        "or an exclusion",
        (NOT_RUN, NOT_RUN, NOT_RUN, NOT_RUN, NOT_RUN, ("run", "catalog|and split"), RUN, RUN),
    ),
)
KEY = (
    ("all", "made again for all photos"),
    ("new", "for new photos alone"),
    ("run", "runs, reads no old photo"),
    ("empty", "an empty output"),
    ("none", "does not run"),
)


def text(x: float, y: float, words: str, size: int, colour: str, more: str = "") -> str:
    """Return a line of text as SVG."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" {more}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, state: str) -> str:
    """Return a cell's ground as SVG."""
    fill, frame, _ = FILLS[state]
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" stroke="{frame}" '
        'stroke-width="1.5"/>'
    )


def row(change: Change, top: float, width: float) -> list[str]:
    """Return a change's row: its name, then a cell for each column."""
    middle = top + (ROW - GAP) / 2
    parts = [
        text(MARGIN, middle - 4, change.name, 17, INK, 'font-weight="600"'),
        text(MARGIN, middle + 17, change.also, 14, DIM),
    ]
    for number, (state, words) in enumerate(change.cells):
        left = MARGIN + LABEL_WIDTH + number * width
        parts.append(box(left, top, width - GAP, ROW - GAP, state))
        lines = words.split("|")
        for place, line in enumerate(lines):
            y = middle + 5 + (place - (len(lines) - 1) / 2) * 18
            parts.append(text(left + (width - GAP) / 2, y, line, 14, FILLS[state][2], 'text-anchor="middle"'))
    return parts


def draw() -> str:
    """Return the picture."""
    height = MARGIN + HEAD + len(CHANGES) * ROW + FOOT
    width = (WIDTH - 2 * MARGIN - LABEL_WIDTH + GAP) / len(COLUMNS)
    parts = [
        f'<rect x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="10" fill="{GROUND}" stroke="{FRAME}" '
        'stroke-width="2"/>',
        text(MARGIN, MARGIN + 34, "what changes", 15, DIM),
    ]
    for number, (first, second) in enumerate(COLUMNS):
        middle = MARGIN + LABEL_WIDTH + number * width + (width - GAP) / 2
        more = 'text-anchor="middle" font-weight="600"'
        parts += [text(middle, MARGIN + 34 - 18 * bool(second), first, 16, INK, more)]
        parts += [text(middle, MARGIN + 36, second, 16, INK, more)] if second else []
    for number, change in enumerate(CHANGES):
        parts += row(change, MARGIN + HEAD + number * ROW, width)
    left: float = MARGIN
    for state, words in KEY:
        parts += [box(left, height - 46, 20, 20, state), text(left + 28, height - 31, words, 14, DIM)]
        left += 60 + 7.1 * len(words)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")
