"""Narrow photos that bars make square: how many are found, and how many different ones are joined."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from benchmarks.near_duplicates.joining import Likeness, find_candidates, likeness_of_copies, spell_likeness
from benchmarks.near_duplicates.photos import LIMITS, NUMBERS, Originals, gather
from benchmarks.near_duplicates.quality import negatives
from benchmarks.shared.tables import table
from imageset.leakage import copies
from imageset.photos import decode
from imageset.runtime.sections import DuplicatesParams
from tests import planted

RATIOS = (2.3, 3.0, 3.8)  # of the sides


def report_bars(originals: Originals, duplicates: DuplicatesParams) -> None:
    """Print, of the middle of each photo, how many padded copies are found, and how many false pairs are joined when
    all have white bars."""
    images = [decode.decode(body, LIMITS) for body in originals.bodies]

    def found() -> Iterator[tuple[str, ...]]:
        for ratio in RATIOS:
            likeness = pad_and_search(images, ratio, duplicates)
            yield f"{ratio} : 1", f"{np.count_nonzero(likeness >= duplicates.likeness)} of {len(likeness)}"

    def joined() -> Iterator[tuple[str, ...]]:
        for ratio in RATIOS:
            for is_wide in (False, True):
                padded = [planted.prepared(add_bars(cut_middle(image, ratio, is_wide))) for image in images]
                of_pairs = negatives(
                    gather(padded, range(len(padded)), [0] * len(padded)), duplicates
                ).candidates.likeness
                counts = f"{len(of_pairs):,}", spell_likeness(of_pairs.max(initial=-1))
                yield (
                    f"{ratio} : 1, {'wide' if is_wide else 'tall'}",
                    *counts,
                    f"{(of_pairs >= duplicates.likeness).sum()}",
                )

    table(("sides", "padded copies found"), found())
    table((f"{len(images)} photos in white bars", "candidates", "their greatest likeness", "joined"), joined())


def pad_and_search(images: list[Image.Image], ratio: float, duplicates: DuplicatesParams) -> Likeness:
    """Return the likeness of narrow photos and their padded copies, -1 where the search does not look at the pair."""
    made = []
    for number, image in enumerate(images):
        middle = cut_middle(image, ratio, number % 2 == 1)
        made += [planted.encode(middle), copies.make_copy(middle, middle, "padded", number)]
    sources, kinds = [number // 2 for number in range(len(made))], [0, NUMBERS["padded"]] * len(images)
    photos = gather([planted.prepared(body) for body in made], sources, kinds)
    return likeness_of_copies(photos, find_candidates(photos, duplicates))


def cut_middle(image: Image.Image, ratio: float, is_wide: bool) -> Image.Image:
    """Return the middle of a photo, as wide as it is and `ratio` times as wide as high, or the other way round."""
    width, height = image.size
    if is_wide:
        return image.crop((0, int(height / 2 - width / ratio / 2), width, int(height / 2 + width / ratio / 2)))
    return image.crop((int(width / 2 - height / ratio / 2), 0, int(width / 2 + height / ratio / 2), height))


def add_bars(image: Image.Image) -> bytes:
    side = max(image.size)
    return planted.encode(ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, color="white"))
