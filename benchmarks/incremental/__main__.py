"""What a second run of masks and preprocess takes after a change. Table: python -m benchmarks.incremental [--help]

Every case begins with what the first run left: its cache, or its masks.h5 alone; README.md says what is measured and
how.
"""

import argparse
import hashlib
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from benchmarks.shared.tables import circumstances, options, origin, rounds, spread, table
from benchmarks.shared.workload import Row, Workload, count_predictions, count_requests, read_photos, set_up

BOTH, PREPROCESS = ("masks", "preprocess"), ("preprocess",)
NOBODY_THERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}  # the discard port: whoever asks for a photo there fails


class Case(NamedTuple):
    """A change, the stages that it runs, and what they may take.

    without_bucket: the run is to make no request at all. fresh: in a clone with an empty cache, on a machine whose DVC
    has masks.h5 of the first run.
    """

    name: str
    stages: tuple[str, ...]
    goal: str = ""
    more_listings: bool = False
    without_bucket: bool = False
    fresh: bool = False
    changes: Mapping[str, dict[str, Any]] = MappingProxyType({})


class Taken(NamedTuple):
    """Seconds, how many photos the bucket was asked for, and how many masks were predicted."""

    wall: float
    got: int
    masked: int


CASES = (
    Case("nothing changed (DVC would run neither)", BOTH, without_bucket=True),
    Case(
        "split and augmentation changed (DVC would run neither)",
        BOTH,
        "no GET",
        without_bucket=True,
        changes={"split": {"seed": 2, "test_share": 0.3}, "augment": {"copies": 2, "seed": 2}},
    ),
    Case("1 % more listings", BOTH, "5 %", more_listings=True),
    Case("1 % more listings, fresh clone", BOTH, more_listings=True, fresh=True),
    Case("fill changed", PREPROCESS, "10 %", changes={"preprocess": {"fill": [0, 0, 0]}}),
    Case("fill changed, fresh clone", PREPROCESS, fresh=True, changes={"preprocess": {"fill": [0, 0, 0]}}),
    Case("color changed to rgb", PREPROCESS, "10 %", changes={"preprocess": {"color": "rgb"}}),
    Case("fit changed to crop", PREPROCESS, "10 %", changes={"preprocess": {"fit": "crop"}}),
    Case("image_side changed to 160", PREPROCESS, "10 %", changes={"preprocess": {"image_side": 160}}),
)


class Incremental:
    """The bucket, which of its photos the first run had, and the cache and masks.h5 that it left."""

    def __init__(self, here: Workload, photos: int, side: int | None) -> None:
        self.workload = here
        self.side = side
        # The photos that come later lie among the others, as they do where ids are not given in order.
        step = len(here.rows) // (len(here.rows) - photos)
        later = set(here.rows[step // 2 :: step][: len(here.rows) - photos])
        self.first = [row for row in here.rows if row not in later]
        self.cache, self.copy = here.home / "cache", here.home / "copy"
        self.masks_h5 = here.home / "masks.h5"

    def cold(self) -> Taken:
        """Run on an empty cache."""
        shutil.rmtree(self.cache, ignore_errors=True)
        taken = self.run(self.first, self.cache, Case("cold", BOTH))
        shutil.copy(self.workload.project / "data/masks.h5", self.masks_h5)
        return taken

    def again(self, case: Case) -> Taken:
        """Run on a copy of the cache that the cold run left, on an empty one in a fresh clone."""
        shutil.rmtree(self.copy, ignore_errors=True)
        if not case.fresh:
            shutil.copytree(self.cache, self.copy)
        return self.run(self.workload.rows if case.more_listings else self.first, self.copy, case)

    def run(self, rows: Sequence[Row], cache: Path, case: Case) -> Taken:
        self.workload.make_project(rows, **case.changes, masks={"side": self.side})
        if "masks" not in case.stages:
            shutil.copy(self.masks_h5, self.workload.project / "data")
        elif case.fresh:
            give_to_dvc(self.masks_h5, self.workload.project)
        settings = NOBODY_THERE if case.without_bucket else None
        runs = {stage: self.workload.run(stage, cache, settings) for stage in case.stages}
        predicted = count_predictions(runs["masks"]) if "masks" in runs else 0
        return Taken(sum(run.wall for run in runs.values()), sum(map(count_requests, runs.values())), predicted)


def give_to_dvc(masks_h5: Path, project: Path) -> None:
    """Make a project DVC's, with a masks.h5 in DVC's cache and its md5 in dvc.lock, as after `dvc fetch`."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], cwd=project, check=True)
    md5 = hashlib.md5(masks_h5.read_bytes(), usedforsecurity=False).hexdigest()
    cached = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    shutil.copy(masks_h5, cached)
    lock = {"stages": {"masks": {"outs": [{"path": "data/masks.h5", "md5": md5}]}}}
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))


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
    parser.add_argument("--side", type=int, metavar="PIXELS", help="masks.side (null)")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    circumstances(
        chosen,
        f"{chosen.photos} photos made of {origin(chosen.folder)}, masks.side {chosen.side or 'null'}, the cold run "
        "once",
        "openvino",
        "obstore",
        "pillow",
    )
    more = max(1, chosen.photos // 100)
    with set_up(read_photos(chosen.folder), chosen.photos + more) as here:
        table(
            ("run", "wall s (least to most)", "of the cold run", "goal", "GETs", "masks predicted"),
            lines(Incremental(here, chosen.photos, chosen.side), chosen.turns),
        )


if __name__ == "__main__":
    main()
