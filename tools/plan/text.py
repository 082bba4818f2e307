"""The plan as a screen of plain text."""

import textwrap
from typing import NamedTuple

from tools.plan.outlook import Outlook
from tools.plan.shipped import DVC_START

WIDTH = 118  # of a line


class Line(NamedTuple):
    """What the plan says of a stage. seconds: None where nobody has measured them. made: of how many photos."""

    name: str
    outlook: Outlook
    made: str
    seconds: float | None
    bytes: float


def write_text(title: str, lines: list[Line], notes: list[str]) -> str:
    """Return the plan: a line for each stage, the total, then notes."""
    rows = [("stage", "", "photos", "time", "why")]
    for line in lines:
        works = line.outlook.status in ("runs", "perhaps")
        time = ("not known" if line.seconds is None else format_seconds(line.seconds)) if works else ""
        rows.append((line.name, line.outlook.status, line.made if works else "", time, line.outlook.why))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].rjust(widths[2]), row[3].rjust(widths[3])]
        table.append(shorten("  ".join([*cells, row[4]]).rstrip(), WIDTH))
    return "\n".join([title, "", *table, "", *(textwrap.fill(note, WIDTH) for note in (format_total(lines), *notes))])


def format_total(lines: list[Line]) -> str:
    """Return the sums: of what runs, and of that and what perhaps runs."""
    works = [line for line in lines if line.outlook.status != "unchanged"]
    if not works:
        return "Total: nothing to do."
    sure = [line for line in works if line.outlook.status != "perhaps"]
    least, most = (DVC_START + sum(line.seconds or 0.0 for line in chosen) for chosen in (sure, works))
    smallest, largest = (sum(line.bytes for line in chosen) for chosen in (sure, works))
    unmeasured = ", ".join(line.name for line in works if line.seconds is None)
    total = f"Total: about {format_range(format_seconds(least), format_seconds(most))}, "
    total += f"{format_range(format_bytes(smallest), format_bytes(largest))} of outputs"
    return total + (f", without the time of {unmeasured}." if unmeasured else ".")


def format_range(least: str, most: str) -> str:
    """Return one text, or two where they differ."""
    return least if least == most else f"{least} to {most}"


def format_seconds(seconds: float) -> str:
    """Return a time in one or two units.

    >>> format_seconds(7), format_seconds(100), format_seconds(12_000)
    ('7 s', '1 min 40 s', '3 h 20 min')
    """
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def format_bytes(size: float) -> str:
    """Return a size with its unit.

    >>> format_bytes(900), format_bytes(49_172_904), format_bytes(3e9)
    ('1 kB', '49.2 MB', '3.0 GB')
    """
    if size < 1e6:
        return f"{max(round(size / 1e3), 1)} kB"
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def shorten(text: str, width: int) -> str:
    """Return a text that is no longer than a line."""
    return text if len(text) <= width else f"{text[: width - 3]}..."
