"""How many planted copies are found, how many other photos are taken for copies: python -m benchmarks.near_duplicates

Of each photo one copy of every kind of tests/planted.py is made; README.md says what is measured and how.
With --million: time and memory of the search for candidates as photos grow in number.
"""

import argparse
from functools import partial
from pathlib import Path

from benchmarks.near_duplicates.photos import drawn_photo, gather, masked, with_copies
from benchmarks.near_duplicates.quality import hard_negatives, name_pairs, report
from benchmarks.near_duplicates.search import grow
from benchmarks.shared.tables import circumstances, options, origin
from imageset.formats.stable_hash import rank
from imageset.runtime.params import load
from tests import planted

SIZES = (100_000, 1_000_000)


def parse() -> argparse.Namespace:
    parser = options("near_duplicates", __doc__, 1, 713)
    parser.add_argument("--masked", type=int, default=100, metavar="N", help="photos to remove backgrounds of (100)")
    parser.add_argument(
        "--drawn", type=int, default=700, metavar="N", help="drawn photos of each of three garments (700)"
    )
    parser.add_argument("--weights", type=Path, default=Path("models/background.onnx"), help="of u2netp")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw the originals that agree most there")
    parser.add_argument("--million", type=int, nargs="*", metavar="N", help="the search among so many photos, alone")
    return parser.parse_args()


def main() -> None:
    chosen, shipped = parse(), load().duplicates
    paths = sorted(chosen.folder.glob("*/*.jp*g"), key=lambda path: rank(*path.name.encode()))[: chosen.photos]
    bodies = [path.read_bytes() for path in paths] or [drawn_photo(number) for number in range(chosen.photos)]
    circumstances(chosen, f"{len(bodies)} {origin(chosen.folder)}", "numpy", "pillow", "imagehash")
    if chosen.million is not None:
        grow(
            gather([planted.prepared(body) for body in bodies], range(len(bodies)), [0] * len(bodies)),
            chosen.million or SIZES,
            shipped.distance,
        )
        return
    photos = with_copies(bodies, planted.prepared)
    candidates = report(photos, shipped)
    if paths:
        name_pairs(photos, candidates, paths, shipped.likeness, chosen.sheet)
    if chosen.drawn:
        hard_negatives(chosen.drawn, shipped)
    if chosen.masked:
        print(f"Without their backgrounds, {min(chosen.masked, len(bodies))} photos:\n")
        report(with_copies(bodies[: chosen.masked], partial(masked, weights=chosen.weights)), shipped)


if __name__ == "__main__":
    main()
