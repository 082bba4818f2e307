"""How fast is background removal, beside whom, and at what price? Tables: python -m benchmarks.background [--help]

The stage, rembg's command line, rembg.remove in a loop and the engines alone on the same photos; what mask_side costs;
what in a mask depends on the processor. README.md says what is measured and how.
"""

import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.background.engines import SIDE, Setup, infer
from benchmarks.background.masks import EMULATOR, processors_table, sides_table
from benchmarks.ingest.contenders import BENCH, install_peers
from benchmarks.shared.measure import measure
from benchmarks.shared.tables import circumstances, options, origin, ratio, rounds, spread, table
from benchmarks.shared.workload import Workload, distinct, read_photos, set_up

CORES = os.cpu_count() or 1
REMBG_LOOP, REMBG_P, STAGE = "rembg.remove in a loop", "rembg p", "stage"
STAGES = {SIDE: STAGE, **{side: f"{STAGE}, mask_side {side}" for side in (256, 224, 192, 160)}}
ONE_PROCESS, PROCESSES = f"OpenVINO alone, {CORES} threads", f"OpenVINO alone, {CORES} processes"


class Pace(NamedTuple):
    """Photos a second: from the start of a program to its end (where it is one), and beyond its start."""

    whole: float | None
    beyond: float


def alone(setup: Setup, weights: Path, photos: list[Path], processes: int = 1) -> Pace:
    return Pace(None, infer(setup, weights, photos, processes)[0])


def program(run: Callable[[int], float], count: int) -> Pace:
    """Run a program on one photo, which is its start, and on all."""
    start, wall = run(1), run(count)
    return Pace(count / wall, (count - 1) / (wall - start))


def stage(workload: Workload, side: int, count: int) -> float:
    mask_side = None if side == SIDE else side
    return workload.stage(workload.rows[:count], preprocess={"background": "remove", "mask_side": mask_side}).wall


def rembg_p(workload: Workload, weights: Path, photos: list[Path], count: int) -> float:
    """Run rembg's command on a folder of the photos."""
    workload.make_project([])
    folder = workload.project / "in"
    folder.mkdir()
    for photo in photos[:count]:
        shutil.copy(photo, folder)
    run = measure(
        [str(BENCH / "bin/rembg"), "p", "-m", "u2netp", "in", "out"],
        workload.project,
        {"U2NET_HOME": str(weights.parent)},
    )
    made = sum(1 for _ in (workload.project / "out").iterdir())
    if made != count:  # it goes on after errors
        raise SystemExit(f"rembg p made {made} of {count}: {run.said}")
    return run.wall


def paces(workload: Workload, weights: Path, photos: list[Path], turns: int) -> dict[str, list[Pace]]:
    """Run all contenders in turn."""
    count = len(photos)
    contenders = {
        ONE_PROCESS: partial(alone, Setup("openvino", CORES), weights, photos),
        PROCESSES: partial(alone, Setup("openvino", 1), weights, photos, CORES),
        f"onnxruntime alone, {CORES} threads": partial(alone, Setup("onnxruntime", CORES), weights, photos),
        REMBG_LOOP: partial(alone, Setup("rembg", CORES), weights, photos),
        REMBG_P: partial(program, partial(rembg_p, workload, weights, photos), count),
    }
    contenders |= {name: partial(program, partial(stage, workload, side), count) for side, name in STAGES.items()}
    return rounds(contenders, turns)


def comparison(results: dict[str, list[Pace]]) -> Iterator[tuple[str, ...]]:
    """Yield the lines of a table of medians."""

    def beyond(name: str) -> list[float]:
        return [pace.beyond for pace in results[name]]

    def whole(name: str) -> list[float]:
        return [pace.whole for pace in results[name] if pace.whole]

    engine = [max(both) for both in zip(beyond(ONE_PROCESS), beyond(PROCESSES), strict=True)]
    for name in [name for name in results if name == STAGE or name not in STAGES.values()]:
        yield (
            name,
            spread(beyond(name), 2),
            ratio(beyond(name), engine),
            ratio(beyond(name), beyond(REMBG_LOOP)),
            ratio(beyond(name), beyond(REMBG_P)),
            *((spread(whole(name), 2), ratio(whole(name), whole(REMBG_P))) if whole(name) else ("", "")),
        )


def speeds(results: dict[str, list[Pace]]) -> dict[int, tuple[str, ...]]:
    """Return what the table of sides says of the speed of each."""
    loop = [pace.beyond for pace in results[REMBG_LOOP]]
    of_sides = {side: [pace.beyond for pace in results[name]] for side, name in STAGES.items()}
    return {side: (f"{statistics.median(own):.1f}", ratio(own, loop)) for side, own in of_sides.items()}


def main() -> None:
    parser = options("background", __doc__, photos=48, turns=3)
    parser.add_argument("--masks", type=int, default=200, metavar="N", help="photos to compare sides by (200)")
    parser.add_argument("--exact", type=int, default=24, metavar="N", help="photos to compare processors by (24)")
    parser.add_argument(
        "--emulate",
        action="store_true",
        help=f"compare with an emulated processor, too: {' '.join(EMULATOR)}, some minutes a photo",
    )
    parser.add_argument("--processors", action="store_true", help="compare processors alone, not speeds and sides")
    chosen = parser.parse_args()
    if chosen.emulate and not shutil.which(EMULATOR[0]):
        parser.error(f"{EMULATOR[0]} is not there: it is in Debian's package qemu-user")
    install_peers()
    photos = read_photos(chosen.folder)
    circumstances(chosen, f"{chosen.photos} {origin(chosen.folder)}", "openvino", "onnxruntime", "rembg", "pillow")
    versions = "from importlib.metadata import version; print(*map(version, ('rembg', 'onnxruntime', 'pillow')))"
    peer = subprocess.run([BENCH / "bin/python", "-c", versions], check=True, capture_output=True, text=True).stdout
    print("rembg p: rembg {}, onnxruntime {}, pillow {}".format(*peer.split()))
    with set_up(photos, chosen.photos) as here:
        weights = here.home / "u2netp.onnx"  # as rembg names it
        shutil.copy(here.weights, weights)
        files = [here.home / f"{number}.jpeg" for number in range(max(chosen.photos, chosen.exact))]
        for file, body in zip(files, distinct(photos, len(files)), strict=True):
            file.write_bytes(body)
        if not chosen.processors:
            results = paces(here, weights, files[: chosen.photos], chosen.turns)
            table(
                (
                    "contender",
                    "photos/s beyond the start",
                    "times the engine alone",
                    "times rembg.remove",
                    "times rembg p",
                    "photos/s with the start",
                    "times rembg p with its start",
                ),
                comparison(results),
            )
            sides_table(photos[: chosen.masks], weights, speeds(results))
        processors_table(files[: chosen.exact], weights, chosen.emulate)


if __name__ == "__main__":
    main()
