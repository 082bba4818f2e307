"""How long stages take where no run on this machine has been recorded: figures of two cores of an AMD EPYC.

benchmarks/ has them: ingest, inventory, background (masks), embed, incremental (preprocess), near_duplicates, build,
baseline, audit and page. Those of the other stages, and all bytes, are of one run on 713 photos, as docs/plan.md says.
"""

from typing import NamedTuple

WORKERS = 2
PIXELS = 128 * 128


class Shipped(NamedTuple):
    """What a stage takes.

    start: seconds, whatever the photos. each: seconds for each photo, or row, that it makes. bytes: of its outputs, for
    each photo or row of all. per_row: it works on rows of the dataset, copies included. parallel: by worker processes.
    most: photos, or more than it works on.
    """

    start: float
    each: float
    bytes: float
    per_row: bool = False
    parallel: bool = False
    most: int | None = None


SHIPPED = {
    "listings": Shipped(0.8, 3e-5, 45),
    "labels": Shipped(0.8, 3e-5, 43),
    "ingest": Shipped(1.0, 1.5e-3, 29),
    "inventory": Shipped(0.9, 4.5e-5, 63),
    "model": Shipped(5.0, 0.0, 0),
    "masks": Shipped(9.0, 0.104, 9_413, parallel=True),
    "embed": Shipped(1.2, 4.3e-3, 5_182, parallel=True),
    "preprocess": Shipped(1.4, 1.8e-3, 22_944, parallel=True),
    "duplicates": Shipped(1.0, 8.5e-4, 27),
    "leakage": Shipped(1.5, 0.2, 0, most=200),
    "catalog": Shipped(0.8, 5e-5, 33),
    "split": Shipped(0.7, 5e-5, 16),
    "build": Shipped(0.8, 1.5e-4, 16_419, per_row=True, parallel=True),
    "validate": Shipped(0.8, 1.0e-4, 1, per_row=True),
    "baseline": Shipped(3.6, 2.0e-4, 5, per_row=True),
    "audit": Shipped(1.0, 1.2e-3, 146),
    "report": Shipped(2.0, 1e-4, 0),
    "page": Shipped(2.0, 4.0e-3, 10_058, most=10_000),
}
OTHER = Shipped(1.0, 1e-3, 100)  # a stage that nobody has measured
IDLE = 1.0  # seconds of a stage that finds all photos in a cache, beside writing them
DVC_START = 1.0  # seconds of `dvc repro`
DVC_STAGE = 0.6  # seconds that DVC takes for each stage that runs: it hashes what the stage read and wrote
DVC_RESTORE = 0.3

# Photos a second of stage masks, by benchmarks/background.
PRECISIONS = {"float32": 9.6, "int8": 26.2, "bfloat16": 16.4}
SIDES = {320: 9.6, 256: 14.6, 224: 18.4, 192: 24.5, 160: 33.9}


def compare_speed(how: str) -> float | None:
    """Return how much longer a photo takes than with u2netp, 320, float32, cpu; None where nobody has measured it.

    >>> compare_speed("u2netp 160 float32 cpu") < 0.3
    True
    """
    if not how:
        return 1.0
    network, side, precision, device = how.split()
    if network != "u2netp" or device != "cpu":
        return None
    by_side = SIDES[320] / SIDES[int(side)] if int(side) in SIDES else (int(side) / 320) ** 2
    return by_side * PRECISIONS["float32"] / PRECISIONS[precision]
