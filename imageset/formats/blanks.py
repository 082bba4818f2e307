"""Blanks around texts of the database, those included that nobody sees."""

import re

# Byte order marks and blanks of no width come from files that were pasted or exported.
BLANKS = r"[\s\u200b-\u200d\u2060\ufeff]+"
AROUND = re.compile(rf"^{BLANKS}|{BLANKS}\Z")


def strip(text: str) -> str:
    """Return a text without the blanks around it.

    >>> strip("\\ufeff a b.jpg\\u200b ")
    'a b.jpg'
    """
    return AROUND.sub("", text)
