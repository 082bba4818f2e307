"""What preprocess takes of time and memory as photos grow in number. Table, plot: python -m benchmarks.growth [--help]

Small photos with backgrounds kept, where the stage has the least to do for each; README.md says what is measured and
how.
"""

import io
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.shared.measure import Memory, Run
from benchmarks.shared.tables import circumstances, options, rounds, spread, table
from benchmarks.shared.workload import DRAWN_PHOTOS, Workload, drawn, set_up
from imageset.runtime import files

SIZES = (1_000, 10_000, 100_000)
MILLION = 1_000_000
SIDES = range(64, 161)
FLAT = 1.3
FIELDS = {"main process": "main", "all processes": "everybody"}  # of Run


class Grown(NamedTuple):
    """A run, and the bytes of processed.h5 and of the cache that it left."""

    run: Run
    processed: int
    cache: int


def small_photos() -> list[bytes]:
    """Return drawn JPEGs with sides of 64 to 160 pixels."""
    return [
        drawn(number, (SIDES[number * 37 % len(SIDES)], SIDES[number * 53 % len(SIDES)]))
        for number in range(DRAWN_PHOTOS)
    ]


def grow(here: Workload, count: int) -> Grown:
    """Run the stage on so many photos with an empty cache."""
    cache = here.home / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    run = here.keep(here.rows[:count], cache)
    return Grown(run, (here.project / "data/processed.h5").stat().st_size, (cache / "pixels.sqlite").stat().st_size)


class Curve:
    """Medians over the turns for each number of photos. start: seconds of a run on one photo."""

    def __init__(self, results: dict[int, list[Grown]], start: float) -> None:
        self.results, self.start = results, start
        self.sizes = list(results)

    def walls(self, size: int) -> list[float]:
        return [grown.run.wall for grown in self.results[size]]

    def milliseconds(self, size: int) -> float:
        """Return the time for each photo beyond the start."""
        return 1e3 * (median(self.walls(size)) - self.start) / size

    def memory(self, size: int, whose: str) -> Memory:
        peaks = [getattr(grown.run, FIELDS[whose]) for grown in self.results[size]]
        return Memory(int(median(peak.rss for peak in peaks)), int(median(peak.anonymous for peak in peaks)))

    def lines(self) -> Iterator[tuple[str, ...]]:
        for size in self.sizes:
            memories = [self.memory(size, whose) for whose in FIELDS]
            yield (
                f"{size:,}",
                spread(self.walls(size)),
                f"{size / median(self.walls(size)):.0f}",
                f"{self.milliseconds(size):.2f}",
                *(f"{amount / 1e6:.0f}" for memory in memories for amount in memory),
            )

    def growths(self) -> Iterator[tuple[str, ...]]:
        """Yield how many times as much the largest run takes as the smallest, and whether that is flat."""
        least, most = self.sizes[0], self.sizes[-1]
        factors = {"time for each photo": self.milliseconds(most) / self.milliseconds(least)}
        for whose in FIELDS:
            for field in Memory._fields:
                factors[f"{field} of {whose}"] = getattr(self.memory(most, whose), field) / getattr(
                    self.memory(least, whose), field
                )
        for name, factor in factors.items():
            yield name, f"{factor:.2f}", "yes" if factor <= FLAT else "no"

    def million(self) -> str:
        """Say what a million would take, by the pace and the sizes of the largest run."""
        size = self.sizes[-1]
        seconds = self.start + self.milliseconds(size) * MILLION / 1e3
        cache, processed = (
            median(getattr(grown, field) for grown in self.results[size]) * MILLION / size / 1e9
            for field in ("cache", "processed")
        )
        return (
            f"A million by the pace of {size:,}: {seconds / 60:.0f} minutes, a cache of {cache:.1f} GB, "
            f"processed.h5 of {processed:.1f} GB and as much again while it is written"
        )


def draw_plot(curve: Curve) -> bytes:
    """Return time and memory over the number of photos as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    times, memories = figure.subplots(1, 2)
    times.plot(curve.sizes, [curve.milliseconds(size) for size in curve.sizes], "o-", color="#3b6ea5")
    times.set_title("time for each photo beyond the start, ms")
    for whose, color in zip(FIELDS, ("#3b6ea5", "#e08e45"), strict=True):
        peaks = [curve.memory(size, whose) for size in curve.sizes]
        memories.plot(curve.sizes, [peak.rss / 1e6 for peak in peaks], "o-", color=color, label=f"{whose}, resident")
        memories.plot(
            curve.sizes, [peak.anonymous / 1e6 for peak in peaks], "o:", color=color, label=f"{whose}, anonymous"
        )
    memories.set_title("peak memory, MB")
    memories.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    for axes in (times, memories):
        axes.set_xscale("log")
        axes.set_xticks(curve.sizes, [f"{size:,}" for size in curve.sizes])
        axes.minorticks_off()
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
        axes.set_xlabel("photos")
        axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, metadata={"Software": None})
    return file.getvalue()


def main() -> None:
    parser = options("growth", __doc__, turns=3)
    parser.add_argument(
        "--photos",
        type=int,
        nargs="+",
        default=SIZES,
        metavar="N",
        help=f"numbers of photos, the least first ({' '.join(map(str, SIZES))})",
    )
    parser.add_argument("--plot", type=Path, metavar="OUT.png", default=Path(__file__).with_name("growth.png"))
    chosen = parser.parse_args()
    circumstances(chosen, f"drawn photos of {SIDES[0]} to {SIDES[-1]} pixels", "obstore", "pillow")
    with set_up(small_photos(), chosen.photos[-1]) as here:
        results = rounds({str(size): partial(grow, here, size) for size in (1, *chosen.photos)}, chosen.turns)
    curve = Curve({size: results[str(size)] for size in chosen.photos}, median(each.run.wall for each in results["1"]))
    print(f"Start, a run on one photo: {curve.start:.1f} s\n")
    table(
        (
            "photos",
            "wall s (least to most)",
            "photos/s",
            "ms each beyond the start",
            *(f"{whose}, {kind} MB" for whose in FIELDS for kind in ("resident", "anonymous")),
        ),
        curve.lines(),
    )
    table((f"{curve.sizes[-1]:,} against {curve.sizes[0]:,} photos", "times", f"within {FLAT}"), curve.growths())
    print(curve.million())
    files.write_bytes(chosen.plot, draw_plot(curve))


if __name__ == "__main__":
    main()
