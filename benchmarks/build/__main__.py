"""How fast is build, beside whom, and in how much memory? Tables: python -m benchmarks.build [--help]

The stage, the article's loop repaired, OpenCV and albumentations in processes on the same photos; the stage as photos
grow in number, and in less memory than processed.h5 has bytes. benchmarks/README.md says what is measured and how.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.build.workload import COPIES, HELD_OUT, SIDE, Course, course, install_peers
from benchmarks.ingest.measure import ROOT
from benchmarks.shared.measure import Run
from benchmarks.shared.tables import circumstances, options, origin, ratio, rounds, spread, table

STAGE, LOOP, LOOP_ON_WHOLE = "stage", "article's loop", "article's loop, whole photos"
START_PHOTOS = 10
SIZES = (5_000, 50_000)
MOST_BYTES = 400_000_000  # the goal: of anonymous memory, all processes together
SECONDS_TO_END = 10
CGROUP = Path("/sys/fs/cgroup/memory")

Contestant = Callable[[int], Run]  # of a number of photos


def contestants(here: Course, against: Path | None) -> dict[str, Contestant]:
    """Return all, the loops first."""
    found: dict[str, Contestant] = {
        LOOP: partial(here.peer, "article", "small"),
        LOOP_ON_WHOLE: partial(here.peer, "article", "whole"),
        "OpenCV, two processes": partial(here.peer, "opencv", "small"),
        "OpenCV, two processes, whole photos": partial(here.peer, "opencv", "whole"),
        "OpenCV, two processes, processed.h5": partial(here.peer, "opencv", "h5"),
        "albumentations, two processes": partial(here.peer, "albumentations", "small"),
        STAGE: here.stage,
    }
    if against:
        found[f"stage of {against}"] = partial(here.stage, checkout=against)
    return found


def comparison(here: Course, count: int, turns: int, against: Path | None, only: list[str]) -> None:
    """Print all contestants' time and memory for so many photos, and beyond their start."""
    chosen = {
        name: run for name, run in contestants(here, against).items() if not only or any(part in name for part in only)
    }
    starts = rounds({name: partial(run, START_PHOTOS) for name, run in chosen.items()}, turns)
    results = rounds({name: partial(run, count) for name, run in chosen.items()}, turns)
    bases = [base for base in (LOOP, LOOP_ON_WHOLE) if base in results]

    def walls(name: str) -> list[float]:
        return [run.wall for run in results[name]]

    def beyond(name: str) -> list[float]:
        start = statistics.median(run.wall for run in starts[name])
        return [wall - start for wall in walls(name)]

    table(
        (
            "contestant",
            "wall s (least to most)",
            "photos/s",
            *(f"times {base}" for base in bases),
            f"s for {START_PHOTOS} photos",
            "photos/s beyond it",
            *(f"times {base}" for base in bases),
        ),
        (
            (
                name,
                spread(walls(name), 2),
                f"{count / statistics.median(walls(name)):.0f}",
                *(ratio(walls(base), walls(name)) for base in bases),
                f"{statistics.median(run.wall for run in starts[name]):.1f}",
                f"{(count - START_PHOTOS) / statistics.median(beyond(name)):.0f}",
                *(ratio(beyond(base), beyond(name)) for base in bases),
            )
            for name in results
        ),
    )
    table(
        (
            "contestant",
            "processor s (least to most)",
            "cores used",
            "main process, anonymous MB",
            "all processes, anonymous MB",
        ),
        (
            (
                name,
                spread([run.cpu for run in runs]),
                f"{statistics.median(run.cpu / run.wall for run in runs):.2f}",
                megabytes(max(run.main.anonymous for run in runs)),
                megabytes(max(run.everybody.anonymous for run in runs)),
            )
            for name, runs in results.items()
        ),
    )
    if against:
        same = here.digest(count, ROOT) == here.digest(count, against)
        print(f"dataset.h5 of both stages: {'the same bytes' if same else 'DIFFERENT BYTES'}\n")


def growth(here: Course, sizes: tuple[int, ...], turns: int) -> None:
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
    """Return how many rows a dataset of so many photos has, of a course's split."""
    held_out = -(-photos // HELD_OUT)
    return held_out + COPIES * (photos - held_out)


def megabytes(amount: float) -> str:
    return f"{amount / 1e6:.0f}"


class Limited(NamedTuple):
    """A run, and what it had from the disk: bytes, and faults that waited for it."""

    run: Run
    read_bytes: int
    faults: int


def limit(here: Course, count: int, turns: int, limit_bytes: int, checkouts: list[Path]) -> None:
    """Print the stage with its memory, page cache included, limited, beside the stage that may have all."""
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


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[list[str]]:
    """Yield what to write before a command so that it has so many bytes of memory, its page cache included.

    By a cgroup (v1, memory controller); ends the benchmark where none can be made.
    """
    group = CGROUP / f"imageset-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        raise SystemExit(f"memory cannot be limited here, by cgroup v1: {error}") from None
    try:
        yield ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
    finally:
        deadline = time.monotonic() + SECONDS_TO_END
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:  # killed just now
            time.sleep(0.1)
        group.rmdir()


def forget(path: Path) -> None:
    """Have a file's pages leave memory: those that are there already would count against nobody's limit."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def main() -> None:
    parser = options("build", __doc__, photos=5000, turns=5)
    parser.add_argument("--runs", type=int, dest="turns", metavar="N", help="the same as --turns")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="another checkout, whose stage takes part; the bytes that both make are compared",
    )
    parser.add_argument(
        "--only",
        type=lambda names: names.split(";"),
        default=[],
        metavar="A;B",
        help="contestants with one of these in their names",
    )
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
    with course(chosen.folder, sum(sizes)) as here:
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
