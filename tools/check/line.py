"""What the check says: a line for each thing that it tried."""

from typing import Literal, NamedTuple

from imageset.runtime.command import show_line
from imageset.runtime.secret_text import hide_urls

Mark = Literal["ok", "--", "??"]
EXAMPLES = 3


class Line(NamedTuple):
    """A result: ok, wrong (--), or not known (??). text: what; if wrong, also where and what to do about it."""

    mark: Mark
    text: str

    def __str__(self) -> str:
        return f"{self.mark}  {show_line(hide_urls(' '.join(self.text.split())))}"


def ok(text: str) -> Line:
    """Return the line of what is as it has to be."""
    return Line("ok", text)


def wrong(text: str) -> Line:
    """Return the line of what will fail: what is wrong, where, and what to do."""
    return Line("--", text)


def untried(what: str, why: str) -> Line:
    """Return the line of what could not be tried."""
    return Line("??", f"{what}: not tried: {why}")


def unsure(text: str) -> Line:
    """Return the line of what may be wrong: a person has to look."""
    return Line("??", text)


def show(values: list[object]) -> str:
    """Return the first values for a message, shortened.

    >>> show([1, "a", None, 4])
    "1, 'a', None"
    """
    texts = [repr(value) for value in values[:EXAMPLES]]
    return ", ".join(text if len(text) <= 80 else f"{text[:80]}..." for text in texts)
