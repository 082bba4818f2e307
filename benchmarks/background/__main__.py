"""How fast is background removal, beside whom, and at what price? Tables: python -m benchmarks.background [--help]

The stage, rembg's command line, rembg.remove in a loop and the engines alone on the same photos; what masks.side and
masks.precision cost; what in a mask depends on the processor. README.md says what is measured and how.
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
from benchmarks.background.masks import EMULATOR, processors_table, variants_table
from benchmarks.ingest.contenders import BENCH, install_peers
from benchmarks.shared.measure import ROOT, measure
from benchmarks.shared.tables import circumstances, options, origin, ratio, rounds, spread, table
from benchmarks.shared.workload import Workload, distinct, read_photos, set_up
from imageset.errors import ImagesetError
from imageset.photos.engines import Network
from imageset.photos.hardware import name_engine
from imageset.runtime.sections import Precision

CORES = os.cpu_count() or 1
REMBG_LOOP, REMBG_P, STAGE = "rembg.remove in a loop", "rembg p", "stage"
SIDES = (256, 224, 192, 160)
PRECISIONS: tuple[Precision, ...] = ("bfloat16", "int8")
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


def find_variants(weights: Path) -> dict[str, Network]:
    """Return the networks that stage masks is run with, the shipped one first; those that this processor can run."""
    networks = {STAGE: Network("u2netp", weights, SIDE)}
    for precision in PRECISIONS:
        try:
            name_engine(precision, "cpu")
        except ImagesetError as error:
            print(f"Left out: {error}")
            continue
        used = ROOT / "models/u2netp-int8.zip" if precision == "int8" else weights
        networks[f"{STAGE}, {precision}"] = Network("u2netp", used, SIDE, precision)
    return networks | {f"{STAGE}, side {side}": Network("u2netp", weights, side) for side in SIDES}


def stage(workload: Workload, network: Network, count: int) -> float:
    chosen = {"side": None if network.side == SIDE else network.side, "precision": network.precision}
    return workload.mask(workload.rows[:count], masks=chosen).wall


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


def paces(
    workload: Workload, weights: Path, photos: list[Path], turns: int, variants: dict[str, Network]
) -> dict[str, list[Pace]]:
    """Run all contenders in turn."""
    count = len(photos)
    contenders = {
        ONE_PROCESS: partial(alone, Setup("openvino", CORES), weights, photos),
        PROCESSES: partial(alone, Setup("openvino", 1), weights, photos, CORES),
        f"onnxruntime alone, {CORES} threads": partial(alone, Setup("onnxruntime", CORES), weights, photos),
        REMBG_LOOP: partial(alone, Setup("rembg", CORES), weights, photos),
        REMBG_P: partial(program, partial(rembg_p, workload, weights, photos), count),
    }
    contenders |= {
        name: partial(program, partial(stage, workload, network), count) for name, network in variants.items()
    }
    return rounds(contenders, turns)


def comparison(results: dict[str, list[Pace]]) -> Iterator[tuple[str, ...]]:
    """Yield the lines of a table of medians."""

    def beyond(name: str) -> list[float]:
        return [pace.beyond for pace in results[name]]

    def whole(name: str) -> list[float]:
        return [pace.whole for pace in results[name] if pace.whole]

    engine = [max(both) for both in zip(beyond(ONE_PROCESS), beyond(PROCESSES), strict=True)]
    for name in [name for name in results if ", side " not in name]:
        yield (
            name,
            spread(beyond(name), 2),
            ratio(beyond(name), engine),
            ratio(beyond(name), beyond(REMBG_LOOP)),
            ratio(beyond(name), beyond(REMBG_P)),
            *((spread(whole(name), 2), ratio(whole(name), whole(REMBG_P))) if whole(name) else ("", "")),
        )


def speeds(results: dict[str, list[Pace]], variants: dict[str, Network]) -> dict[Network, tuple[str, ...]]:
    """Return what the table of sides and precisions says of the speed of each."""
    loop, shipped = ([pace.beyond for pace in results[name]] for name in (REMBG_LOOP, STAGE))
    own = {network: [pace.beyond for pace in results[name]] for name, network in variants.items()}
    return {
        network: (f"{statistics.median(paces):.1f}", ratio(paces, loop), ratio(paces, shipped))
        for network, paces in own.items()
    }


def main() -> None:
    parser = options("background", __doc__, photos=48, turns=3)
    parser.add_argument("--masks", type=int, default=200, metavar="N", help="photos to compare masks by (200)")
    parser.add_argument("--exact", type=int, default=24, metavar="N", help="photos to compare processors by (24)")
    parser.add_argument(
        "--emulate",
        action="store_true",
        help=f"compare with an emulated processor, too: {' '.join(EMULATOR)}, some minutes a photo",
    )
    parser.add_argument("--processors", action="store_true", help="compare processors alone, not speeds and prices")
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
            variants = find_variants(weights)
            results = paces(here, weights, files[: chosen.photos], chosen.turns, variants)
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
            variants_table(photos[: chosen.masks], speeds(results, variants))
        processors_table(files[: chosen.exact], weights, chosen.emulate)


if __name__ == "__main__":
    main()
