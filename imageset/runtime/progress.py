"""Progress: a bar on a terminal, a plain line every ten seconds elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0
PLAIN_FORMAT = "{desc}: {n_fmt} of {total_fmt}, {rate_noinv_fmt}, {remaining} left{postfix}"
PLAIN_FORMAT_WITHOUT_TOTAL = "{desc}: {n_fmt}, {rate_noinv_fmt}{postfix}"

Item = TypeVar("Item")

hidden = 0  # how many blocks hide the bars that are made in them


class PlainLines(tqdm):  # type: ignore[type-arg]  # generic in its stubs, not when it runs
    """A tqdm that writes whole lines, for logs."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        def print_line(text: str) -> None:
            if text.strip():
                print(text.strip(), file=file, flush=True)

        return print_line

    def moveto(self, n: int) -> None:
        """Stay: tqdm goes down to the line of a bar within a bar and up again, by escape codes."""


def bar(items: Iterable[Item] | None, description: str, total: int | None, unit: str = "photo", done: int = 0) -> Any:
    """Return a tqdm that shows progress on stderr.

    Without a terminal it prints a line every ten seconds and one at the end.

    Args:
        items: what to iterate over; None to call `update` by hand.
        description: the stage, or what it is doing.
        total: how many items there are; None when it is not known.
        unit: what an item is.
        done: how many items an earlier run has done.
    """
    unit = f" {unit}"
    if hidden:
        return tqdm(items, total=total, disable=True)
    if sys.stderr.isatty():
        return tqdm(items, desc=description, total=total, unit=unit, initial=done)
    return PlainLines(
        items,
        desc=description,
        total=total,
        unit=unit,
        initial=done,
        ascii=True,
        mininterval=SECONDS_BETWEEN_LINES,
        maxinterval=SECONDS_BETWEEN_LINES,
        bar_format=PLAIN_FORMAT if total is not None else PLAIN_FORMAT_WITHOUT_TOTAL,
    )


@contextmanager
def hiding() -> Iterator[None]:
    """Show no bar that is made in the block: it is of a step that another bar counts."""
    global hidden
    hidden += 1
    try:
        yield
    finally:
        hidden -= 1


@contextmanager
def reporting(describe: Callable[[float], str]) -> Iterator[None]:
    """Print a line on stderr every ten seconds while the block runs, from another thread.

    Args:
        describe: returns the line. It gets the seconds since the block began.
    """
    started, ended = time.monotonic(), threading.Event()

    def report() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            print(describe(time.monotonic() - started), file=sys.stderr, flush=True)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
