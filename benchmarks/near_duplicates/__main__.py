"""How many planted copies are found, how many other photos are taken for copies: python -m benchmarks.near_duplicates

Of each photo one copy of every kind of imageset/leakage/copies.py and tests/planted.py is made; README.md says what is
measured and how. With --million: time and memory of the search for candidates as photos grow in number.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.near_duplicates.bars import report_bars
from benchmarks.near_duplicates.doubts import doubtful_copies, doubtful_originals, draw_doubts, report_doubts
from benchmarks.near_duplicates.embeddings import report_embeddings
from benchmarks.near_duplicates.half_limit import report_half_limit
from benchmarks.near_duplicates.others import compare, compare_hashing
from benchmarks.near_duplicates.parts import report_parts
from benchmarks.near_duplicates.photos import BEYOND, KINDS, Originals, gather, masked, read_originals, with_copies
from benchmarks.near_duplicates.quality import (
    find_copies,
    find_negatives,
    report_copies,
    report_negatives,
    report_thresholds,
)
from benchmarks.near_duplicates.search import grow
from benchmarks.shared.tables import circumstances, options, origin
from imageset.runtime.params import load
from imageset.runtime.sections import DuplicatesParams
from tests import planted

SIZES = (100_000, 1_000_000)
TURNS = 3  # of each of the other programs


def parse() -> argparse.Namespace:
    parser = options("near_duplicates", __doc__, 1, 713)
    parser.add_argument(
        "--drawn", type=int, default=250, metavar="N", help="photos of each of 3 garments to draw (250)"
    )
    parser.add_argument("--held-out", type=int, default=120, metavar="N", help="and of each of 6 others (120)")
    parser.add_argument("--no-parts", action="store_true", help="do not search without each part of the search")
    parser.add_argument("--bars", action="store_true", help="narrow photos that bars make square, alone")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw the pairs most in doubt there")
    parser.add_argument("--masked", type=int, default=0, metavar="N", help="photos to remove backgrounds of (0)")
    parser.add_argument("--weights", type=Path, default=Path("models/background.onnx"), help="of u2netp, for --masked")
    parser.add_argument("--embeddings", type=Path, metavar="PTH", help="weights: are missed copies near by embedding?")
    parser.add_argument("--others", type=int, metavar="N", help="pairs of near hashes, beside other programs, alone")
    parser.add_argument("--million", type=int, nargs="*", metavar="N", help="the search among so many photos, alone")
    return parser.parse_args()


def main() -> None:
    chosen, shipped = parse(), load().duplicates
    originals = read_originals(chosen.folder, chosen.photos)
    count = len(originals.bodies)
    circumstances(chosen, f"{count} {origin(chosen.folder)}", "numpy", "pillow", "imagehash")
    if chosen.bars:
        report_bars(originals, shipped)
        return
    if chosen.million is not None or chosen.others:
        prepared = [planted.prepared(body) for body in originals.bodies]
    if chosen.others:
        compare_hashing(originals.bodies, TURNS)
        compare(np.stack([photo.thumbnail[..., 0] for photo in prepared]), chosen.others, TURNS)
        return
    if chosen.million is not None:
        grow(gather(prepared, range(count), [0] * count), chosen.million or SIZES, shipped.distance)
        return
    report(originals, chosen, shipped)
    if chosen.masked:
        some = read_originals(chosen.folder, chosen.masked)
        print(f"Without their backgrounds, {len(some.bodies)} photos:\n")
        photos = with_copies(some, partial(masked, weights=chosen.weights))
        report_copies(find_copies(photos, tuple(KINDS), shipped), some.places % 2 == 0, shipped)
        report_negatives(dict(find_negatives(photos, 0, 0, shipped)), shipped)


def report(originals: Originals, chosen: argparse.Namespace, shipped: DuplicatesParams) -> None:
    """Print all tables of the photos with their backgrounds."""
    photos = with_copies(originals, planted.prepared)
    found = find_copies(photos, tuple(KINDS), shipped)
    report_copies(found, originals.places % 2 == 0, shipped)
    beyond = find_copies(with_copies(originals, planted.prepared, BEYOND), tuple(BEYOND), shipped)
    report_copies(beyond, originals.places % 2 == 0, shipped)
    drawn, held_out = (
        min(count, chosen.photos) for count in (chosen.drawn, chosen.held_out)
    )  # few photos: a short run
    negatives = dict(find_negatives(photos, drawn, held_out, shipped))
    report_negatives(negatives, shipped)
    report_thresholds(found, negatives)
    if not chosen.no_parts:
        report_parts(photos, found, negatives["originals"], shipped)
        report_half_limit(photos, originals.places % 2 == 0, shipped)
    if chosen.embeddings:
        report_embeddings(originals, found, shipped, chosen.embeddings)
    doubts = {
        "originals that agree most": doubtful_originals(originals, negatives["originals"]),
        "copies least like their originals": doubtful_copies(originals, found),
    }
    for heading, pairs in doubts.items():
        report_doubts(heading, pairs)
    if chosen.sheet:
        draw_doubts(chosen.sheet, doubts)


if __name__ == "__main__":
    main()
