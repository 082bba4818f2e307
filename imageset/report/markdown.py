"""Text in Markdown that cannot act as markup."""

import re

# What GitHub shows other than as text: emphasis, code, HTML, links, images, @mentions, #12, GH-12, :emoji:, $formulas$.
MARKUP = re.compile(r"[\\`*~<@$]|&[\w#]|#\d|(?<!\w)_|_(?!\w)|\]\(|:[\w+-]|://|www\.|\bGH-\d", re.IGNORECASE)
# Characters that no font shows, and those that turn the text after them round, such as the right-to-left override; and
# `##[`, which GitHub's logs take for a command.
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|#(?=#\[)")
LONGEST = 200  # characters that are shown


def escape(text: str) -> str:
    """Return text on one line, cut where it is long, as code if any of it could act as markup.

    A backslash would not do: GitHub links names after an @ and numbers after a # in what the Markdown says, escaped or
    not. It leaves code alone.

    >>> escape("shoes (1201)")
    'shoes (1201)'
    >>> escape("![photo](http://photos.example/1.png)")
    '`![photo](http://photos.example/1.png)`'
    >>> escape("hat\\u202e\\0")
    '`hat\\\\u202e\\\\u0000`'
    """
    line = " ".join(text[:LONGEST].split()) + ("…" if len(text) > LONGEST else "")
    line = UNSEEN.sub(lambda unseen: f"\\u{ord(unseen[0]):04x}", line)
    if not MARKUP.search(line):
        return line
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    blank = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{blank}{line}{blank}{fence}"


def escape_cell(text: str) -> str:
    """Return text for a cell of a table.

    >>> escape_cell("shoes | boots")
    'shoes \\\\| boots'
    """
    return escape(text).replace("|", r"\|")
