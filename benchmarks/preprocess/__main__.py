"""How fast is preprocess, and beside whom? Tables: python -m benchmarks.preprocess [--help]

The stage and a simple loop over the same bucket, obstore's GETs and boto3's, JPEGs decoded at reduced scale and
whole; README.md says what is measured and how.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

from benchmarks.shared.measure import Run, measure
from benchmarks.shared.tables import circumstances, options, origin, ratio, rounds, spread, table
from benchmarks.shared.workload import Row, Workload, read_photos, set_up
from imageset.photos import decode, pixels
from imageset.photos.decode import Mode, PhotoLimits
from imageset.report import plots
from imageset.runtime import files
from imageset.runtime.sections import Fit

SIDE = 128
FIT: Fit = "pad"
WHITE = (255, 255, 255)
LIMITS = PhotoLimits(50_000_000)
SHOWN = 12
AMPLIFIED = 8
GETS = {
    "obstore, 32 at once, checked (the stage's)": "obstore",
    "boto3, 32 at once, checked": "boto3_in_threads",
    "boto3, one by one": "boto3_one_by_one",
}


class Pair(NamedTuple):
    """A photo by way of the whole decoding and of the reduced one, mode L or RGB, SIDE x SIDE, and seconds for each."""

    factor: int
    whole: Image.Image
    reduced: Image.Image
    seconds_whole: float
    seconds_reduced: float

    def errors(self) -> tuple[float, float]:
        """Return the mean absolute difference, of 255, and the PSNR in dB."""
        differences = np.asarray(self.whole, float) - np.asarray(self.reduced, float)
        mean_square = float((differences**2).mean())
        psnr = 10 * np.log10(255**2 / mean_square) if mean_square else np.inf
        return float(np.abs(differences).mean()), float(psnr)


def peer(workload: Workload, name: str, rows: list[Row]) -> Run:
    workload.make_project(rows)
    return measure([sys.executable, "-m", "benchmarks.preprocess.peers", name], workload.project, {})


def whole_runs(workload: Workload, masks: Path, turns: int) -> None:
    """Print the stage beside a simple loop, each from the start of its process to its end."""
    contenders = {
        "simple loop": lambda: peer(workload, "simple", workload.rows),
        "stage, backgrounds kept": lambda: workload.keep(workload.rows),
        "stage, backgrounds removed by masks that are there": lambda: workload.remove(workload.rows, masks),
    }
    results = rounds(contenders, turns)
    base = [run.wall for run in results["simple loop"]]
    table(
        ("contender", "wall s (least to most)", "photos/s", "times the loop", "processor s"),
        (
            (
                name,
                spread([run.wall for run in runs]),
                f"{len(workload.rows) / statistics.median(run.wall for run in runs):.0f}",
                ratio(base, [run.wall for run in runs]),
                f"{statistics.median(run.cpu for run in runs):.1f}",
            )
            for name, runs in results.items()
        ),
    )


def steps(workload: Workload) -> None:
    """Print what each step of a photo takes of the processor's time."""
    workload.make_project(workload.rows, masks={"background": "keep"})
    settings = {"IMAGESET_CACHE": str(workload.project / "cache")}
    run = measure([sys.executable, "-m", "benchmarks.preprocess.steps"], workload.project, settings)
    spent: dict[str, float] = json.loads(run.said)
    whole = sum(spent.values())
    lines = ((step, f"{each:.0f}", f"{100 * each / whole:.0f} %") for step, each in spent.items())
    table(("step", "processor µs a photo", "share"), (*lines, ("all", f"{whole:.0f}", "100 %")))


def gets(workload: Workload, turns: int) -> None:
    """Print what GETs alone take, without anybody's imports."""

    def run(name: str) -> tuple[float, float]:
        wall, cpu = json.loads(peer(workload, name, workload.rows).said)
        return 1e3 * wall / len(workload.rows), 1e3 * cpu / len(workload.rows)

    results = rounds({label: partial(run, name) for label, name in GETS.items()}, turns)
    base = [cpu for _, cpu in next(iter(results.values()))]
    table(
        ("GETs by", "processor ms each (least to most)", "times obstore's", "wall ms each (least to most)"),
        (
            (
                label,
                spread([cpu for _, cpu in each], 2),
                ratio([cpu for _, cpu in each], base),
                spread([wall for wall, _ in each], 2),
            )
            for label, each in results.items()
        ),
    )


def compare(body: bytes, mode: Mode) -> Pair:
    """Decode a photo whole and at reduced scale, and make it square."""
    factor = pixels.choose_fit_reduction(*decode.read_sides(body, LIMITS), SIDE, FIT)
    begin = time.perf_counter()
    # In RGB, as the luma alone is part of what is compared.
    whole = pixels.fit(decode.decode(body, LIMITS).convert(mode), SIDE, FIT, WHITE)
    middle = time.perf_counter()
    reduced = pixels.fit(decode.decode(body, LIMITS, factor, mode), SIDE, FIT, WHITE)
    return Pair(factor, whole, reduced, middle - begin, time.perf_counter() - middle)


def reduced_decoding(photos: list[bytes], sheet: Path | None) -> None:
    """Print how far the pixels of reduced decoding are from those of whole decoding; draw the worst photos."""

    def lines() -> Iterator[tuple[str, ...]]:
        for color, mode in modes.items():
            pairs[mode] = [compare(body, mode) for body in photos]
            means, ratios = zip(*(pair.errors() for pair in pairs[mode]), strict=True)
            whole, reduced = (sum(each) for each in zip(*(pair[3:] for pair in pairs[mode]), strict=True))
            yield (
                color,
                f"{sum(pair.factor > 1 for pair in pairs[mode])} of {len(photos)}",
                f"{1e3 * whole / len(photos):.1f}",
                f"{1e3 * reduced / len(photos):.1f}",
                f"{whole / reduced:.2f}",
                f"{statistics.fmean(means):.2f}",
                f"{max(means):.2f}",
                f"{statistics.median(ratios):.1f}",
                f"{min(ratios):.1f}",
            )

    modes: dict[str, Mode] = {"grayscale": "L", "rgb": "RGB"}
    pairs: dict[Mode, list[Pair]] = {}
    table(
        (
            "color",
            "photos reduced",
            "ms whole",
            "ms reduced",
            "times as fast",
            "mean difference (of 255)",
            "of the worst photo",
            "PSNR dB, median",
            "least",
        ),
        lines(),
    )
    if sheet:
        worst = sorted(pairs["RGB"], key=lambda pair: pair.errors()[1])[:SHOWN]
        files.write_bytes(sheet, draw_sheet(worst))
        print(f"{sheet}: the {len(worst)} worst: whole, reduced, {AMPLIFIED} times the difference")


def draw_sheet(worst: list[Pair]) -> bytes:
    """Return the pairs and their differences as PNG, a column each."""
    differences = [
        ImageChops.difference(pair.whole, pair.reduced).point(lambda value: value * AMPLIFIED) for pair in worst
    ]
    rows = [[pair.whole for pair in worst], [pair.reduced for pair in worst], differences]
    captions = [
        [f"whole\n{pair.errors()[1]:.1f} dB" for pair in worst],
        [f"reduced by {pair.factor}" for pair in worst],
        [f"difference x {AMPLIFIED}"] * len(worst),
    ]
    return plots.sheet(
        [pixels.to_array(image) for row in rows for image in row],
        [caption for row in captions for caption in row],
        len(worst),
    )


def main() -> None:
    parser = options("preprocess", __doc__, photos=5000, turns=3)
    parser.add_argument(
        "--sheet", type=Path, metavar="OUT.png", help="draw the photos that reduced decoding changes most, in rgb"
    )
    parser.add_argument("--steps", action="store_true", help="print what each step of a photo takes, and nothing else")
    chosen = parser.parse_args()
    photos = read_photos(chosen.folder)
    circumstances(chosen, f"{chosen.photos} objects, {origin(chosen.folder)}", "boto3", "obstore", "pillow")
    with set_up(photos, chosen.photos) as here:
        if chosen.steps:
            steps(here)
            return
        whole_runs(here, here.make_masks(min(len(photos), chosen.photos)), chosen.turns)
        gets(here, chosen.turns)
    reduced_decoding(photos, chosen.sheet)


if __name__ == "__main__":
    main()
