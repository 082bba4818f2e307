"""Draw docs/images/trust.svg: what imageset trusts, what it does not, and the guard where the two meet.

python docs/images/make_trust.py docs/images/trust.svg
"""

import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 1160, 668, 24  # in pixels; the picture may be scaled
LEFT, MIDDLE, RIGHT = MARGIN, 400, 876  # of the columns: outside, the machine, your servers
COLUMN, CORE = 250, 360  # widths
TOP, ROW, GAP = 84, 84, 12
LINE = 18
GROUND, FRAME, INK, DIM, OUTSIDE, GUARD = "#ffffff", "#d0d7de", "#1f2328", "#57606a", "#b3480b", "#0a5aa8"
FILLS = {"outside": ("#fff1e5", OUTSIDE), "core": ("#f0f2f4", DIM), "yours": ("#ddefff", GUARD)}


class Guard(NamedTuple):
    """An input that is not trusted, the guard that it meets, and what is behind."""

    source: tuple[str, str]
    guard: tuple[str, str]


GUARDS = (
    Guard(("Sellers", "URLs and texts in the database"), ("URL rules, closed types", "limits of rows and ids")),
    Guard(("Photo hosts", "addresses, answers, redirects"), ("guard of addresses", "at each hop; time and size")),
    Guard(("Photos", "from the web, in the bucket"), ("known formats alone", "workers: 30 s, 2 GB")),
    Guard(("Weights", "from a download"), ("sha256 before reading", "four allowed names")),
    Guard(("Dataset files", "of other people"), ("no links, no pickle", "tools.verify")),
    Guard(("Packages", "of the package index"), ("sha256 of each file", "list of licences")),
)
SERVERS = (
    ("Database", "a role that reads", "access/postgresql.sql"),
    ("Bucket of photos", "a key for each program", "access/bucket/*.json"),
    ("DVC's remote", "md5 in dvc.lock;", "its run cache is trusted"),
    ("Dask scheduler", "runs any code:", "tls:// or its own network"),
)
TRUSTED = (
    *("the repository", "(dvc.yaml,", "queries/)", "", "the environment", "and .env", "", ".cache/, data/,"),
    *("DVC's cache", "", "the rights of", "its user", "", "what passed", "the guards"),
)
READERS = "The page, reports and exports for people: no text acts as HTML, Markdown or a formula"


def text(x: float, y: float, words: str, size: int, colour: str, more: str = "") -> str:
    """Return a line of text as SVG."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" {more}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a box as SVG. What is not trusted has a dashed frame."""
    fill, frame = FILLS[kind]
    dashes = ' stroke-dasharray="6 4"' if kind == "outside" else ""
    size = f'width="{width:g}" height="{height:g}"'
    return f'<rect x="{x:g}" y="{y:g}" {size} rx="8" fill="{fill}" stroke="{frame}" stroke-width="1.5"{dashes}/>'


def arrow(x: float, y: float, end: float, colour: str, dashed: bool = False) -> str:
    """Return an arrow from left to right."""
    line = f'<line x1="{x:g}" y1="{y:g}" x2="{end - 8:g}" y2="{y:g}" stroke="{colour}" stroke-width="2"'
    line += ' stroke-dasharray="6 4"/>' if dashed else "/>"
    return line + f'<path d="M{end:g} {y:g} l-10 -5 v10 z" fill="{colour}"/>'


def lines(x: float, y: float, words: tuple[str, ...]) -> list[str]:
    """Return a heading with lines below."""
    first, *others = words
    return [
        text(x, y, first, 16, INK, 'font-weight="600"'),
        *(text(x, y + LINE * number, line, 14, DIM) for number, line in enumerate(others, 1)),
    ]


def draw_guards() -> list[str]:
    """Return the inputs that are not trusted, and their guards at the edge of the machine."""
    parts = []
    for number, (source, guard) in enumerate(GUARDS):
        y = TOP + number * (ROW + GAP) * 0.9
        height = ROW * 0.82
        parts += [box(LEFT, y, COLUMN, height, "outside"), *lines(LEFT + 16, y + 29, source)]
        parts += [arrow(LEFT + COLUMN, y + height / 2, MIDDLE - 14, OUTSIDE, dashed=True)]
        parts += [f'<rect x="{MIDDLE - 14}" y="{y:g}" width="236" height="{height:g}" rx="8" fill="{GUARD}"/>']
        parts += [text(MIDDLE, y + 29, guard[0], 15, "#ffffff", 'font-weight="600"')]
        parts += [text(MIDDLE, y + 29 + LINE, guard[1], 14, "#ffffff")]
    return parts


def draw_servers() -> list[str]:
    """Return the servers of the operator, with the rights that the machine has there."""
    parts = []
    for number, words in enumerate(SERVERS):
        y = TOP + number * 134
        parts += [box(RIGHT, y, COLUMN + 10, 100, "yours"), *lines(RIGHT + 16, y + 32, words)]
        parts += [arrow(MIDDLE + CORE + 20, y + 50, RIGHT, GUARD)]
    return parts


def draw() -> str:
    """Return the picture."""
    parts = [
        f'<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="10" fill="{GROUND}" stroke="{FRAME}" '
        'stroke-width="2"/>',
        text(LEFT, 50, "not trusted", 18, OUTSIDE, 'font-weight="600"'),
        text(MIDDLE + 60, 50, "the machine that runs imageset", 18, INK, 'font-weight="600"'),
        text(RIGHT, 50, "your servers", 18, GUARD, 'font-weight="600"'),
        box(MIDDLE - 2, TOP - 16, CORE + 22, 538, "core"),
        *draw_guards(),
        text(MIDDLE + 238, TOP + 30, "trusted:", 14, INK, 'font-weight="600"'),
        *(text(MIDDLE + 238, TOP + 56 + number * 20, line, 14, DIM) for number, line in enumerate(TRUSTED)),
        *draw_servers(),
    ]
    parts += [box(MIDDLE - 2, HEIGHT - 46 - 8, WIDTH - MIDDLE - MARGIN + 2, 40, "outside")]
    parts += [text(MIDDLE + 14, HEIGHT - 29, READERS, 14, INK)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")
