"""What does it cost to find damage? A table: python -m benchmarks.damage.costs [PHOTOS] [--photos 357] [--turns 5]

Processor time of one photo, and what of it finds damage. No servers. README.md has the figures.
"""

import time
from collections.abc import Callable
from functools import partial

from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import circumstances, options, origin, rounds, spread, table
from benchmarks.shared.workload import read_photos
from imageset.photos import background, decode, jpeg_damage
from imageset.photos.decode import PhotoLimits
from imageset.photos.preprocess import preprocess_photo
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.runtime import params

LIMITS = PhotoLimits(50_000_000)


def main() -> None:
    chosen = options("damage.costs", __doc__, turns=5, photos=357).parse_args()
    photos = read_photos(chosen.folder)[: chosen.photos]
    circumstances(chosen, f"{len(photos)} {origin(chosen.folder)}", "pillow", "simplejpeg")
    section = params.load(ROOT / "params.yaml").preprocess
    sides = {body: decode.read_sides(body, LIMITS) for body in photos}
    steps: dict[str, Callable[[bytes], object]] = {
        "ingest's check": lambda body: decode.check(body, LIMITS),
        "a whole decode to RGB": lambda body: decode.decode(body, LIMITS),
        "the decode for masks": lambda body: ScaledDecodes(body, LIMITS).decode_reduced(
            background.choose_reduction, "RGB"
        ),
        "all of preprocess, its background kept": lambda body: preprocess_photo(body, section),
        "of each: finding damage": lambda body: jpeg_damage.find_damage(body, sides[body]),
        "of that: the strict decode": jpeg_damage.decode_strictly,
    }

    def timed(step: Callable[[bytes], object]) -> float:
        begin = time.process_time()
        for body in photos:
            step(body)
        return 1000 * (time.process_time() - begin) / len(photos)

    results = rounds({name: partial(timed, step) for name, step in steps.items()}, chosen.turns)
    table(
        ["processor ms a photo", "median (least to most)"], ([name, spread(each, 2)] for name, each in results.items())
    )


if __name__ == "__main__":
    main()
