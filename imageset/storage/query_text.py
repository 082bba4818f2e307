"""The text of a query: where :as_of is a parameter, and how many statements there are; pure.

Everything else is SQL as it is: a colon in a literal, a comment, a cast or a slice is no parameter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imageset.errors import DataError

TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* )
    | (?P<block> /\* )
    | (?P<quoted>
          (?<!\w)[eE]'(?:[^'\\]|\\.|'')*'                       # PostgreSQL's E'it\'s'
        | '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*`
        | (?<!\w)\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$  # $$it's$$
      )
    | (?P<end> ; )
    | (?P<parameter> (?<![:\w]):as_of(?!\w) )
    | (?P<word> \w+ )
    """,
    re.VERBOSE | re.DOTALL,
)
FIRST_WORDS = ("select", "with", "values", "table", "from")  # DuckDB's queries may begin with FROM


@dataclass(frozen=True)
class Query:
    """One query. pieces: its text before, between and after the places of :as_of."""

    pieces: tuple[str, ...]

    @property
    def has_as_of(self) -> bool:
        return len(self.pieces) > 1

    @property
    def casts_as_of_to_a_date(self) -> bool:
        return any(re.match(r"(?i)\s+as\s+(date|time)", piece) for piece in self.pieces[1:])

    def render(self, paramstyle: str, as_of: object) -> tuple[str, dict[str, object] | tuple[object, ...]]:
        """Return the text and the parameters as a driver of this paramstyle (PEP 249) takes them.

        >>> parse("SELECT '50 %' WHERE :as_of > 0").render("pyformat", 1)
        ("SELECT '50 %%' WHERE %(as_of)s > 0", {'as_of': 1})
        """
        if not self.has_as_of:
            return self.pieces[0], ()
        pieces = [piece.replace("%", "%%") if "format" in paramstyle else piece for piece in self.pieces]
        mark = {"qmark": "?", "format": "%s", "pyformat": "%(as_of)s", "named": ":as_of", "numeric": ":1"}
        text = mark.get(paramstyle, "$1").join(pieces)
        if paramstyle in ("pyformat", "named"):
            return text, {"as_of": as_of}
        return text, (as_of,) * (len(pieces) - 1 if paramstyle in ("qmark", "format") else 1)


def parse(text: str) -> Query:
    """Return the query that a text has.

    >>> parse("SELECT a::date, '12:30' FROM b WHERE a <= :as_of;").pieces
    ("SELECT a::date, '12:30' FROM b WHERE a <= ", '')

    Raises:
        DataError: the text has no statement, several, or one that is no query. The message is the rest of a sentence
            that begins with the file.
    """
    pieces, first_word = [""], ""
    has_code, is_over = False, False
    for kind, part in tokens(text):
        if kind == "end":
            is_over = has_code
        elif is_no_code(kind, part):
            pieces[-1] += part
        elif is_over:
            raise DataError("has several statements: write one SELECT, and no semicolon but at its end")
        elif kind == "parameter":
            pieces.append("")
        else:
            has_code = True
            pieces[-1] += part
            first_word = first_word or part.strip("(")
    if not has_code:
        raise DataError("has no statement: write one SELECT")
    if first_word.lower() not in FIRST_WORDS:
        raise DataError(f"is not a query that returns rows, as it begins with {first_word}: write one SELECT")
    return Query(tuple(pieces))


def has_statement(text: str) -> bool:
    """Return whether a text has more than comments, blanks and semicolons.

    >>> has_statement("-- not needed /* here */;"), has_statement("/* a */ SELECT 1")
    (False, True)
    """
    return any(kind != "end" and not is_no_code(kind, part) for kind, part in tokens(text))


def tokens(text: str) -> Iterator[tuple[str | None, str]]:
    """Yield the parts of a text, each with its kind: a group of TOKEN, or None."""
    place = 0
    while place < len(text):
        token = TOKEN.match(text, place)
        kind = token.lastgroup if token else None
        stop = block_end(text, place) if kind == "block" else token.end() if token else place + 1
        yield kind, text[place:stop]
        place = stop


def is_no_code(kind: str | None, part: str) -> bool:
    return kind in ("comment", "block") or part.isspace()


def block_end(text: str, start: int) -> int:
    """Return where the comment at start ends. PostgreSQL nests comments; others end at the first */."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text[start:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return start + mark.end()
    first = text.find("*/", start)
    return len(text) if first < 0 else first + 2
