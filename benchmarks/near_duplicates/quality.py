"""Tables of how many copies are found, and of how many other photos are joined."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.near_duplicates.joining import (
    Joined,
    among_originals,
    by_hash,
    by_views,
    false_pairs,
    ours,
    recall,
    true_pairs,
)
from benchmarks.near_duplicates.photos import Photos, gather
from benchmarks.shared.tables import table
from imageset.photos import pixels
from imageset.report import plots
from imageset.runtime import files, progress
from imageset.runtime.sections import DuplicatesParams
from sandbox import draw
from tests import planted

WIDER = 10  # bits
PAIRS_NAMED = 30
DRAWN = ("t-shirt", "pants", "dress")
THRESHOLDS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def report(photos: Photos, duplicates: DuplicatesParams) -> Joined:
    """Print how well each way finds the copies, and return ours, the candidates with their likeness."""
    distance, least = duplicates.distance, duplicates.likeness
    candidates = by_views(photos, distance)
    ways = {
        f"hash and mirrored hash, {distance} bits": by_hash(photos, distance),
        f"the same, {WIDER} bits": by_hash(photos, WIDER),
        f"candidates: views, {distance} bits": candidates,
        f"ours: candidates of likeness {least}": ours(photos, candidates, least),
    }

    def lines() -> Iterator[tuple[str, ...]]:
        for kind, name in enumerate(planted.KINDS, 1):
            agreed = candidates.likeness[true_pairs(photos, candidates, kind)]
            shares = [f"{100 * recall(photos, joined, kind):.1f} %" for joined in ways.values()]
            yield (name, *shares, *(f"{np.quantile(agreed, share):.2f}" for share in (0, 0.01, 0.5)))

    table(("copies found", *ways, "likeness: least", "1 %", "median"), lines())
    table(
        ("pairs joined", "among the originals, all false", "among all", "of these false", "precision"),
        (counted(name, photos, joined) for name, joined in ways.items()),
    )
    of_photo = candidates.likeness[
        np.concatenate([true_pairs(photos, candidates, kind) for kind in range(1, 1 + len(planted.KINDS))])
    ]
    copies = np.count_nonzero(photos.kinds)
    false = candidates.likeness[false_pairs(photos, candidates)]
    table(
        ("likeness", "copies found", "of", "false pairs among all"),
        (
            (
                f"{least}",
                *(
                    f"{number:,}"
                    for number in (np.count_nonzero(of_photo >= least), copies, np.count_nonzero(false >= least))
                ),
            )
            for least in THRESHOLDS
        ),
    )
    wrong = np.sort(false)
    print(f"Greatest likeness of false candidates: {', '.join(f'{value:.3f}' for value in wrong[:-6:-1]) or 'none'}\n")
    return candidates


def counted(name: str, photos: Photos, joined: Joined) -> tuple[str, ...]:
    false, everything = len(false_pairs(photos, joined)), len(joined.pairs)
    return (
        name,
        f"{len(among_originals(photos, joined).pairs):,}",
        f"{everything:,}",
        f"{false:,}",
        f"{1 - false / max(1, everything):.4f}",
    )


def name_pairs(photos: Photos, candidates: Joined, paths: Sequence[Path], least: float, sheet: Path | None) -> None:
    """Print the originals that agree most, and draw them in pairs for a person to judge."""
    pairs, likeness = among_originals(photos, candidates)
    best = np.argsort(-likeness, kind="stable")[:PAIRS_NAMED]
    named = [[paths[photos.sources[row]] for row in pairs[number]] for number in best]
    table(
        ("likeness", "joined", "photo", "other photo"),
        (
            (
                f"{likeness[number]:.3f}",
                "yes" if likeness[number] >= least else "no",
                *(f"{path.parent.name}/{path.name}" for path in both),
            )
            for number, both in zip(best, named, strict=True)
        ),
    )
    if sheet:
        images = [
            np.asarray(pixels.fit(Image.open(path).convert("RGB"), plots.CELL, "pad", (255, 255, 255)))
            for both in named
            for path in both
        ]
        captions = [
            text
            for number, both in zip(best, named, strict=True)
            for text in (f"{likeness[number]:.3f}\n{both[0].name}", f"\n{both[1].name}")
        ]
        files.write_bytes(sheet, plots.sheet(images, captions, 6))


def hard_negatives(count: int, duplicates: DuplicatesParams) -> None:
    """Print how many drawn photos of one garment are joined: all have its outline, and no two are of one garment."""

    def lines() -> Iterator[tuple[str, ...]]:
        for garment in DRAWN:
            prepared = [
                planted.prepared(planted.encode(draw.draw(garment, seed)))
                for seed in progress.bar(range(count), f"draw {garment}", count)
            ]
            photos = gather(prepared, range(count), [0] * count)
            candidates = by_views(photos, duplicates.distance)
            joined = ours(photos, candidates, duplicates.likeness)
            likeness = candidates.likeness
            yield (
                garment,
                f"{count:,}",
                f"{count * (count - 1) // 2:,}",
                *(f"{len(by_hash(photos, bits).pairs):,}" for bits in (duplicates.distance, WIDER)),
                f"{len(candidates.pairs):,}",
                f"{len(joined.pairs):,}",
                *(f"{np.count_nonzero(likeness >= least):,}" for least in THRESHOLDS),
                f"{likeness.max(initial=-1):.3f}",
            )

    table(
        (
            "drawn",
            "photos",
            "pairs",
            f"hashes, {duplicates.distance} bits",
            f"hashes, {WIDER} bits",
            "candidates",
            "ours",
            *(f"likeness {least} and more" for least in THRESHOLDS),
            "greatest likeness",
        ),
        lines(),
    )
