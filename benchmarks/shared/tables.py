"""What benchmarks print and how: options, turns, tables of medians, what the figures depend on."""

import argparse
import datetime
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from benchmarks.shared.measure import ROOT

REAL_PHOTOS = ROOT.parent / "shared/photos"

Result = TypeVar("Result")


def options(name: str, documentation: str | None, turns: int, photos: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with the common options, and let SIGTERM end what a benchmark starts.

    photos: how many are used by default; None: the benchmark has photos of its own.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of the contexts
    parser = argparse.ArgumentParser(
        f"python -m benchmarks.{name}", description=(documentation or "").partition("\n")[0]
    )
    parser.add_argument("--turns", type=int, default=turns, metavar="N", help=f"runs of each, in turn ({turns})")
    if photos:
        parser.add_argument(
            "folder",
            type=Path,
            nargs="?",
            default=REAL_PHOTOS,
            metavar="PHOTOS",
            help="a folder of JPEGs; drawn ones where it is missing (../shared/photos)",
        )
        parser.add_argument("--photos", type=int, default=photos, metavar="N", help=f"how many of them ({photos})")
    return parser


def add_only(parser: argparse.ArgumentParser) -> None:
    """Add the option that names some of the contenders."""
    parser.add_argument(
        "--only",
        type=lambda names: names.split(";"),
        default=[],
        metavar="A;B",
        help="contenders with one of these in their names",
    )


def circumstances(chosen: argparse.Namespace, photos: str, *packages: str) -> None:
    """Print what the figures depend on."""
    cpu = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores of {cpu}, load {os.getloadavg()[0]:.1f} before; {photos}, "
        f"medians of {chosen.turns}"
    )
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    print(f"stage at {commit}, Python {platform.python_version()}, {versions}\n", flush=True)


def origin(folder: Path) -> str:
    """Say where the photos are from."""
    return f"photos of {folder}" if folder.is_dir() else "drawn photos"


def rounds(contenders: Mapping[str, Callable[[], Result]], turns: int) -> dict[str, list[Result]]:
    """Run every contender `turns` times, in turn, so that other work on the machine affects all alike."""
    results: dict[str, list[Result]] = {name: [] for name in contenders}
    for turn in range(1, turns + 1):
        for name, run in contenders.items():
            begin = time.monotonic()
            results[name].append(run())
            print(f"turn {turn}, {name}: {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
    return results


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median, the least and the most."""
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratio(over: Sequence[float], under: Sequence[float]) -> str:
    """Return the median over the turns of the ratio in each."""
    return f"{statistics.median(one / other for one, other in zip(over, under, strict=True)):.2f}"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, each row as soon as it is known."""
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|", flush=True)
    for cells in rows:
        print(f"| {' | '.join(cells)} |", flush=True)
    print(flush=True)
