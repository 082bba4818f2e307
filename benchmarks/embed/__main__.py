"""How fast are embeddings, and what changes them? Tables: python -m benchmarks.embed [--help]

The stage and the engines alone on the same photos; which bits depend on the processor and on threads; what borders and
sizes do. README.md says what is measured and how.
"""

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.embed.engines import Setup, infer
from benchmarks.embed.quality import quality_table
from benchmarks.shared.measure import measure
from benchmarks.shared.tables import circumstances, options, origin, ratio, rounds, spread, table
from benchmarks.shared.workload import Workload, distinct, read_photos, set_up
from imageset.photos.hardware import read_instructions

CORES = os.cpu_count() or 1
STAGE, ALONE, PEER = "stage", f"OpenVINO alone, {CORES} processes", f"onnxruntime alone, {CORES} processes"
ISAS = ("", "AVX512_CORE", "AVX2_VNNI", "AVX2")


def run_stage(workload: Workload, weights: Path, count: int) -> float:
    """Return the seconds of stage embed on the first photos, its caches empty."""
    workload.make_project(workload.rows[:count])
    command = ["-m", "stages.embed", "data/inventory.csv", str(weights), "data/embeddings.h5"]
    settings = {"IMAGESET_CACHE": str(workload.project / "cache"), "IMAGESET_WORKERS": str(CORES)}
    return measure([sys.executable, *command], workload.project, settings).wall


def time_stage(workload: Workload, weights: Path) -> tuple[float, float]:
    """Return the photos a second of the stage beyond its start, and with it."""
    count = len(workload.rows)
    start, wall = run_stage(workload, weights, 1), run_stage(workload, weights, count)
    return (count - 1) / (wall - start), count / wall


def time_alone(setup: Setup, weights: Path, photos: list[Path]) -> tuple[float, float]:
    """Return the photos a second of an engine alone, twice."""
    pace, _ = infer(setup, weights, photos, CORES)
    return pace, pace


def speed_lines(results: dict[str, list[tuple[float, float]]]) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table of speeds."""
    beyond = {name: [pace for pace, _ in paces] for name, paces in results.items()}
    for name, paces in results.items():
        whole = spread([pace for _, pace in paces]) if name == STAGE else ""
        yield name, spread(beyond[name]), ratio(beyond[name], beyond[ALONE]), ratio(beyond[name], beyond[PEER]), whole


def equality_lines(weights: Path, photos: list[Path]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each set of instructions and number of threads, held against the first of the same engine."""
    firsts: dict[str, np.ndarray] = {}
    setups = [Setup("openvino", threads, isa) for isa in ISAS for threads in (1, 2)]
    setups += [Setup("onnxruntime", threads) for threads in (1, 2)]
    for setup in setups:
        pace, found = infer(setup, weights, photos)
        first = firsts.setdefault(setup.engine, found)
        yield setup.engine, setup.isa or "all", str(setup.threads), f"{pace:.0f}", *describe_difference(found, first)
    yield (
        "onnxruntime against openvino",
        "all",
        "1",
        "",
        *describe_difference(firsts["onnxruntime"], firsts["openvino"]),
    )


def describe_difference(found: np.ndarray, first: np.ndarray) -> tuple[str, str]:
    """Return the share of values that differ, and by at most how much."""
    differ = int((found != first).sum())
    return f"{differ:,} of {found.size:,}", f"{np.abs(found - first).max():.1e}" if differ else "0"


def main() -> None:
    parser = options("embed", __doc__, photos=713, turns=3)
    parser.add_argument(
        "--only", choices=("speed", "equality", "quality"), help="one of the three tables, instead of all"
    )
    chosen = parser.parse_args()
    photos = read_photos(chosen.folder)
    circumstances(chosen, f"{chosen.photos} {origin(chosen.folder)}", "openvino", "onnxruntime", "pillow")
    has = ", ".join(name for name in ("avx2", "avx512f", "avx_vnni", "amx_bf16") if name in read_instructions())
    print(f"the processor has {has}\n")
    with set_up(photos, chosen.photos) as here:
        weights = here.fetch_embedding_weights()
        files = [here.home / f"{number}.jpeg" for number in range(chosen.photos)]
        for file, body in zip(files, distinct(photos, len(files)), strict=True):
            file.write_bytes(body)
        if chosen.only in (None, "speed"):
            contenders = {
                STAGE: partial(time_stage, here, weights),
                ALONE: partial(time_alone, Setup("openvino"), weights, files),
                PEER: partial(time_alone, Setup("onnxruntime"), weights, files),
            }
            head = ("contender", "photos/s beyond the start", "times OpenVINO alone", "times onnxruntime alone")
            table((*head, "photos/s with the start"), speed_lines(rounds(contenders, chosen.turns)))
        if chosen.only in (None, "equality"):
            head = ("engine", "instructions", "threads", "photos/s")
            table((*head, "values that differ", "by at most"), equality_lines(weights, files))
        if chosen.only in (None, "quality") and chosen.folder.is_dir():
            quality_table(chosen.folder, weights)


if __name__ == "__main__":
    main()
