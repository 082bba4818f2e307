"""What a second run of preprocess takes after each kind of change. Table: python -m benchmarks.incremental [--help]

Every case begins with the cache as the first run left it; README.md says what is measured and how.
"""

import argparse
import shutil
import sqlite3
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from benchmarks.shared.tables import circumstances, options, origin, rounds, spread, table
from benchmarks.shared.workload import Row, Workload, read_photos, set_up

TABLES = ("pixels", "masks")
NOBODY_THERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}  # the discard port: whoever asks for a photo there fails


class Case(NamedTuple):
    """A change and what it may take. without_bucket: the run is to make no request at all."""

    name: str
    goal: str = ""
    more_listings: bool = False
    without_bucket: bool = False
    changes: Mapping[str, dict[str, Any]] = MappingProxyType({})


class Taken(NamedTuple):
    """Seconds, and how many photos were got and masks predicted: each leaves a row in the cache."""

    wall: float
    got: int
    masked: int


CASES = (
    Case("nothing changed", without_bucket=True),
    Case(
        "split and augmentation changed (DVC would not run it)",
        "no GET",
        without_bucket=True,
        changes={"split": {"seed": 2, "test_share": 0.3}, "augment": {"copies": 2, "seed": 2}},
    ),
    Case("1 % more listings", "5 %", more_listings=True),
    Case("fill changed", "10 %", changes={"preprocess": {"fill": [0, 0, 0]}}),
    Case("color changed to rgb", "10 %", changes={"preprocess": {"color": "rgb"}}),
    Case("fit changed to crop", "10 %", changes={"preprocess": {"fit": "crop"}}),
    Case("image_side changed to 160", "10 %", changes={"preprocess": {"image_side": 160}}),
)


class Incremental:
    """The bucket, which of its photos the first run had, and the cache that it left."""

    def __init__(self, here: Workload, photos: int, mask_side: int | None) -> None:
        self.workload = here
        self.preprocess = {"background": "remove", "mask_side": mask_side}
        # The photos that come later lie among the others, as they do where ids are not given in order.
        step = len(here.rows) // (len(here.rows) - photos)
        later = set(here.rows[step // 2 :: step][: len(here.rows) - photos])
        self.first = [row for row in here.rows if row not in later]
        self.cache, self.copy = here.home / "cache", here.home / "copy"

    def cold(self) -> Taken:
        """Run on an empty cache."""
        shutil.rmtree(self.cache, ignore_errors=True)
        return self.run(self.first, self.cache, Case("cold"))

    def again(self, case: Case) -> Taken:
        """Run on a copy of the cache that the cold run left."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.cache, self.copy)
        return self.run(self.workload.rows if case.more_listings else self.first, self.copy, case)

    def run(self, rows: Sequence[Row], cache: Path, case: Case) -> Taken:
        before = count(cache)
        changes = {**case.changes, "preprocess": self.preprocess | case.changes.get("preprocess", {})}
        run = self.workload.stage(rows, cache, NOBODY_THERE if case.without_bucket else None, **changes)
        got, masked = (after - earlier for after, earlier in zip(count(cache), before, strict=True))
        return Taken(run.wall, got, masked)


def count(cache: Path) -> tuple[int, ...]:
    """Return how many rows the tables of a cache have."""
    if not (cache / "photos.sqlite").exists():
        return (0,) * len(TABLES)
    with closing(sqlite3.connect(cache / "photos.sqlite")) as database:
        return tuple(database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES)


def lines(incremental: Incremental, turns: int) -> Iterator[tuple[str, ...]]:
    """Yield the table's lines, first that of the run that all others are shares of."""
    cold = incremental.cold()
    yield "cold", f"{cold.wall:.1f}", "100 %", "", str(cold.got), str(cold.masked)
    results = rounds({case.name: partial(incremental.again, case) for case in CASES}, turns)
    for case in CASES:
        taken = results[case.name]
        walls = [each.wall for each in taken]
        yield (
            case.name,
            spread(walls),
            f"{100 * statistics.median(walls) / cold.wall:.1f} %",
            case.goal,
            same(each.got for each in taken),
            same(each.masked for each in taken),
        )


def same(counts: Iterator[int]) -> str:
    return " or ".join(sorted({str(number) for number in counts}))


def arguments() -> argparse.Namespace:
    parser = options("incremental", __doc__, photos=2000, turns=3)
    parser.add_argument("--mask-side", type=int, metavar="PIXELS", help="preprocess.mask_side (null)")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    circumstances(
        chosen,
        f"{chosen.photos} photos made of {origin(chosen.folder)}, mask_side "
        f"{chosen.mask_side or 'null'}, the cold run once",
        "openvino",
        "obstore",
        "pillow",
    )
    more = max(1, chosen.photos // 100)
    with set_up(read_photos(chosen.folder), chosen.photos + more) as here:
        table(
            ("run", "wall s (least to most)", "of the cold run", "goal", "GETs", "masks predicted"),
            lines(Incremental(here, chosen.photos, chosen.mask_side), chosen.turns),
        )


if __name__ == "__main__":
    main()
