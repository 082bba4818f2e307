"""How fast is build, beside whom, and in how much memory? Tables: python -m benchmarks.build [--help]

The stage, a simple loop, OpenCV and albumentations in processes on the same photos; the stage as photos
grow in number, and in less memory than processed.h5 has bytes. README.md says what is measured and how.
"""

import resource
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.build.workload import COPIES, HELD_OUT, SIDE, Workload, install_peers, set_up
from benchmarks.shared.measure import ROOT, Run
from benchmarks.shared.memory import forget, megabytes, memory_limit
from benchmarks.shared.tables import add_only, circumstances, options, origin, ratio, rounds, spread, table

STAGE, LOOP, LOOP_ON_WHOLE = "stage", "simple loop", "simple loop, whole photos"
START_PHOTOS = 10
SIZES = (5_000, 50_000)
MOST_BYTES = 400_000_000  # the goal: of anonymous memory, all processes together

Contender = Callable[[int], Run]  # of a number of photos


def contenders(here: Workload, against: Path | None) -> dict[str, Contender]:
    """Return all contenders, the loops first."""
    found: dict[str, Contender] = {
        LOOP: partial(here.peer, "simple", "small"),
        LOOP_ON_WHOLE: partial(here.peer, "simple", "whole"),
        "OpenCV, two processes": partial(here.peer, "opencv", "small"),
        "OpenCV, two processes, whole photos": partial(here.peer, "opencv", "whole"),
        "OpenCV, two processes, processed.h5": partial(here.peer, "opencv", "h5"),
        "albumentations, two processes": partial(here.peer, "albumentations", "small"),
        STAGE: here.stage,
    }
    if against:
        found[f"stage of {against}"] = partial(here.stage, checkout=against)
    return found


def comparison(here: Workload, count: int, turns: int, against: Path | None, only: list[str]) -> None:
    """Print all contenders' time and memory for so many photos, and beyond their start."""
    chosen = {
        name: run for name, run in contenders(here, against).items() if not only or any(part in name for part in only)
    }
    starts = rounds({name: partial(run, START_PHOTOS) for name, run in chosen.items()}, turns)
    results = rounds({name: partial(run, count) for name, run in chosen.items()}, turns)
    print_time(starts, results, count)
    print_memory(results)
    if against:
        same = here.digest(count, ROOT) == here.digest(count, against)
        print(f"dataset.h5 of both stages: {'the same bytes' if same else 'DIFFERENT BYTES'}\n")


def print_time(starts: dict[str, list[Run]], results: dict[str, list[Run]], count: int) -> None:
    bases = [base for base in (LOOP, LOOP_ON_WHOLE) if base in results]

    def walls(name: str) -> list[float]:
        return [run.wall for run in results[name]]

    def beyond(name: str) -> list[float]:
        start = statistics.median(run.wall for run in starts[name])
        return [wall - start for wall in walls(name)]

    def line(name: str) -> tuple[str, ...]:
        return (
            name,
            spread(walls(name), 2),
            f"{count / statistics.median(walls(name)):.0f}",
            *(ratio(walls(base), walls(name)) for base in bases),
            f"{statistics.median(run.wall for run in starts[name]):.1f}",
            f"{(count - START_PHOTOS) / statistics.median(beyond(name)):.0f}",
            *(ratio(beyond(base), beyond(name)) for base in bases),
        )

    times = [f"times {base}" for base in bases]
    beyond_start = (f"s for {START_PHOTOS} photos", "photos/s beyond it", *times)
    table(("contender", "wall s (least to most)", "photos/s", *times, *beyond_start), map(line, results))


def print_memory(results: dict[str, list[Run]]) -> None:
    def line(name: str, runs: list[Run]) -> tuple[str, ...]:
        return (
            name,
            spread([run.cpu for run in runs]),
            f"{statistics.median(run.cpu / run.wall for run in runs):.2f}",
            megabytes(max(run.main.anonymous for run in runs)),
            megabytes(max(run.everybody.anonymous for run in runs)),
        )

    memory = ("main process, anonymous MB", "all processes, anonymous MB")
    table(
        ("contender", "processor s (least to most)", "cores used", *memory), (line(*each) for each in results.items())
    )


def growth(here: Workload, sizes: tuple[int, ...], turns: int) -> None:
    """Print the stage's time for a row and its memory as photos grow in number."""
    start = statistics.median(here.stage(START_PHOTOS).wall for _ in range(turns))
    print(f"Start, a run on {START_PHOTOS} photos: {start:.1f} s\n")

    def lines() -> Iterator[tuple[str, ...]]:
        for size in sizes:
            runs = [here.stage(size) for _ in range(turns)]
            milliseconds = 1e3 * (statistics.median(run.wall for run in runs) - start) / rows(size)
            everybody = max(run.everybody.anonymous for run in runs)
            yield (
                f"{size:,}",
                f"{rows(size):,}",
                f"{here.dataset(size).stat().st_size / 1e6:,.0f}",
                spread([run.wall for run in runs]),
                f"{milliseconds:.3f}",
                f"{statistics.median(run.cpu / run.wall for run in runs):.2f}",
                megabytes(max(run.main.anonymous for run in runs)),
                megabytes(everybody),
                megabytes(max(run.everybody.rss for run in runs)),
                "yes" if everybody < MOST_BYTES else "no",
            )
            here.dataset(size).unlink()

    table(
        (
            "photos",
            "rows",
            "dataset.h5 MB",
            "wall s (least to most)",
            "ms a row beyond the start",
            "cores used",
            "main process, anonymous MB",
            "all processes, anonymous MB",
            "all processes, resident MB",
            f"below {megabytes(MOST_BYTES)} MB",
        ),
        lines(),
    )


def rows(photos: int) -> int:
    """Return how many rows a dataset of so many photos has, of a workload's split."""
    held_out = -(-photos // HELD_OUT)
    return held_out + COPIES * (photos - held_out)


class Limited(NamedTuple):
    """A run, the bytes that it read from the disk, and its page faults that waited for the disk."""

    run: Run
    read_bytes: int
    faults: int


def limit(here: Workload, count: int, turns: int, limit_bytes: int, checkouts: list[Path]) -> None:
    """Print the stage with limited memory, page cache included, beside the stage without a limit."""
    processed = count * SIDE * SIDE
    print(
        f"processed.h5 of {megabytes(processed)} MB, {processed / limit_bytes:.1f} times the limit of "
        f"{megabytes(limit_bytes)} MB; dataset.h5 of {megabytes(rows(count) * SIDE * SIDE)} MB\n"
    )

    def run(checkout: Path, prefix: list[str]) -> Limited:
        forget(here.project(count) / "data/processed.h5")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = here.stage(count, checkout, prefix)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Limited(done, 512 * (after.ru_inblock - before.ru_inblock), after.ru_majflt - before.ru_majflt)

    with memory_limit(limit_bytes) as prefix:
        cases = {
            f"{checkout.name}, {case}": partial(run, checkout, beginning)
            for checkout in checkouts
            for case, beginning in (("no limit", []), (f"{megabytes(limit_bytes)} MB", prefix))
        }
        results = rounds(cases, turns)
    table(
        (
            "stage of",
            "wall s (least to most)",
            "processor s",
            "MB read from the disk",
            "faults that waited for it",
            "all processes, anonymous MB",
        ),
        (
            (
                name,
                spread([each.run.wall for each in limited]),
                f"{statistics.median(each.run.cpu for each in limited):.1f}",
                megabytes(statistics.median(each.read_bytes for each in limited)),
                f"{statistics.median(each.faults for each in limited):,.0f}",
                megabytes(max(each.run.everybody.anonymous for each in limited)),
            )
            for name, limited in results.items()
        ),
    )


def main() -> None:
    parser = options("build", __doc__, photos=5000, turns=5)
    parser.add_argument("--runs", type=int, dest="turns", metavar="N", help="the same as --turns")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="another checkout, whose stage takes part; the bytes that both make are compared",
    )
    add_only(parser)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--growth",
        type=int,
        nargs="*",
        metavar="N",
        help=f"the stage alone, at these numbers of photos ({' '.join(map(str, SIZES))})",
    )
    kinds.add_argument(
        "--limit",
        type=int,
        metavar="MB",
        help="the stage alone, with so much memory for it and for the pages of its files",
    )
    chosen = parser.parse_args()
    sizes = tuple(chosen.growth or SIZES) if chosen.growth is not None else (chosen.photos,)
    counts = ", ".join(f"{size:,}" for size in sizes)
    circumstances(
        chosen, f"{counts} photos of {SIDE} x {SIDE} made of {origin(chosen.folder)}", "h5py", "numpy", "pillow"
    )
    with set_up(chosen.folder, sum(sizes)) as here:
        if chosen.growth is not None:
            growth(here, sizes, chosen.turns)
        elif chosen.limit:
            limit(
                here,
                chosen.photos,
                chosen.turns,
                chosen.limit * 1_000_000,
                [ROOT, *([chosen.against.resolve()] if chosen.against else [])],
            )
        else:
            install_peers()
            comparison(here, chosen.photos, chosen.turns, chosen.against and chosen.against.resolve(), chosen.only)


if __name__ == "__main__":
    main()
