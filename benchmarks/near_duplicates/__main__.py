"""How many planted copies are found, how many other photos are taken for copies: python -m benchmarks.near_duplicates

Of each photo one copy of every kind of tests/planted.py is made; README.md says what is measured and how.
With --million: time and memory of the search for candidates as photos grow in number.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.shared.tables import circumstances, options, origin, table
from imageset.curation import crop_hashes as views
from imageset.curation import hamming, near_duplicates
from imageset.curation.crop_hashes import VIEWS, Hashes
from imageset.curation.near_duplicates import HASHES_AT_ONCE, PHOTOS_AT_ONCE
from imageset.formats.hdf5 import Pixels
from imageset.formats.stable_hash import rank
from imageset.photos import decode, networks, pixels
from imageset.photos.background import Network
from imageset.photos.preprocess import Made, Prepared, Recipe, preprocess_photo
from imageset.report import plots
from imageset.runtime import files, progress
from imageset.runtime.params import load
from imageset.runtime.sections import DuplicatesParams
from sandbox import draw
from sandbox.garments import GARMENTS
from tests import planted

MAX_PIXELS = 50_000_000
WIDER = 10  # bits
LARGEST_PARTS = 2048  # rows of a table of distances
FLIPPED = 0.25  # of a synthetic hash's bits
SIZES = (100_000, 1_000_000)
LOOKS = 1000
PAIRS_NAMED = 30
DRAWN = ("t-shirt", "pants", "dress")
THRESHOLDS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

Rows = NDArray[np.intp]
Pairs = NDArray[np.intp]  # (P, 2), the lower number first, sorted


class Photos(NamedTuple):
    """Originals and copies: what the stages know of each, from which original it is, and 0 or its kind's number."""

    thumbnails: Pixels
    hashes: Hashes
    mirrored: Hashes
    sources: Rows
    kinds: Rows

    @property
    def originals(self) -> "Photos":
        return Photos(*(values[self.kinds == 0] for values in self))


class Joined(NamedTuple):
    """Pairs that some way of looking joins, and by how much they agree (of ours), the best of both directions."""

    pairs: Pairs
    likeness: NDArray[np.float64]


def gather(prepared: Sequence[Prepared], sources: Sequence[int], kinds: Sequence[int]) -> Photos:
    plain, mirrored = (
        np.array([int(text, 16) for text in texts], np.uint64)
        for texts in zip(*((photo.phash, photo.phash_mirrored) for photo in prepared), strict=True)
    )
    return Photos(
        np.stack([photo.thumbnail for photo in prepared]), plain, mirrored, np.array(sources), np.array(kinds)
    )


def with_copies(bodies: Sequence[bytes], make: Callable[[bytes], Prepared | None]) -> Photos:
    """Return photos and one copy of each kind of each; make: None where a photo has no pixels, which leaves it out."""
    made = []
    for source, body in enumerate(progress.bar(bodies, "plant", len(bodies))):
        photo = decode.decode(body, MAX_PIXELS)
        everything = [body, *(planted.plant(photo, kind, source) for kind in planted.KINDS)]
        made += [(one, source, kind) for kind, one in enumerate(map(make, everything)) if one is not None]
    return gather(*zip(*made, strict=True))


def masked(body: bytes, weights: Path) -> Prepared | None:
    """Return a photo as near-duplicates would know it if they were told by what is left without its background."""
    network = Network("u2netp", weights, networks.MODELS["u2netp"].side)
    chosen = load().preprocess.model_copy(update={"background": "remove"})
    made: Made = preprocess_photo(body, Recipe(chosen, network))
    if not isinstance(made.outcome, Prepared):
        return None
    small = pixels.thumbnail(Image.fromarray(made.outcome.pixels[..., 0]))
    phash, phash_mirrored = pixels.perceptual_hashes(small)
    return made.outcome._replace(thumbnail=pixels.to_array(small), phash=phash, phash_mirrored=phash_mirrored)


def by_hash(photos: Photos, distance: int) -> Joined:
    """Join photos by the hashes of the photo and of its mirror image alone."""
    found = [np.empty((0, 2), np.intp)]
    for top in range(0, len(photos.hashes), LARGEST_PARTS):
        block = slice(top, top + LARGEST_PARTS)
        plain, mirrored = (
            np.bitwise_count(hashes[block, np.newaxis] ^ photos.hashes) for hashes in (photos.hashes, photos.mirrored)
        )
        left, right = np.nonzero(np.minimum(plain, mirrored) <= distance)
        found.append(np.column_stack([top + left, right]))
    pairs = ordered(np.concatenate(found))
    return Joined(pairs, np.zeros(len(pairs)))


def by_views(photos: Photos, distance: int) -> Joined:
    """Return the candidates of ours, all of them looked at, whatever they are known to belong to."""
    everything = np.arange(len(photos.hashes))
    asked = near_duplicates.Photos(everything, everything, photos.hashes, np.zeros(len(everything), bool))
    pairs = near_duplicates.candidates(everything, photos.thumbnails, asked, distance)
    likeness = np.concatenate(
        [
            np.empty(0),
            *(
                near_duplicates.compare(photos.thumbnails, *part.T)
                for part in progress.bar(in_parts(pairs), "look", None, "part")
            ),
        ]
    )
    both = ordered(pairs)
    best = np.full(len(both), -1.0)
    count = len(photos.hashes)
    place = np.searchsorted(both @ [count, 1], np.sort(pairs, axis=1) @ [count, 1])
    np.maximum.at(best, place, likeness)
    return Joined(both, best)


def in_parts(pairs: Pairs) -> Iterator[Pairs]:
    for start in range(0, len(pairs), near_duplicates.PAIRS_AT_ONCE):
        yield pairs[start : start + near_duplicates.PAIRS_AT_ONCE]


def ordered(pairs: Pairs) -> Pairs:
    apart = pairs[pairs[:, 0] != pairs[:, 1]]
    return np.unique(np.sort(apart, axis=1), axis=0).reshape(-1, 2)


def ours(photos: Photos, candidates: Joined, likeness: float) -> Joined:
    """Return what the stage joins: candidates that agree, and photos of one hash, which it joins without a look."""
    agreed = candidates.pairs[candidates.likeness >= likeness]
    return Joined(ordered(np.concatenate([agreed, by_hash(photos, 0).pairs])), np.empty(0))


def recall(photos: Photos, joined: Joined, kind: int) -> float:
    """Return the share of the copies of a kind that are joined with their photo directly."""
    return len(true_pairs(photos, joined, kind)) / np.count_nonzero(photos.kinds == kind)


def true_pairs(photos: Photos, joined: Joined, kind: int) -> Rows:
    """Return which pairs are of a photo and its copy of a kind."""
    left, right = joined.pairs.T
    kinds = np.sort(photos.kinds[joined.pairs], axis=1)
    return np.flatnonzero((photos.sources[left] == photos.sources[right]) & (kinds == [0, kind]).all(axis=1))


def false_pairs(photos: Photos, joined: Joined) -> Rows:
    left, right = photos.sources[joined.pairs].T
    return np.flatnonzero(left != right)


def among_originals(photos: Photos, joined: Joined) -> Joined:
    inside = (photos.kinds[joined.pairs] == 0).all(axis=1)
    return Joined(joined.pairs[inside], joined.likeness[inside] if len(joined.likeness) else joined.likeness)


def report(photos: Photos, chosen: DuplicatesParams) -> Joined:
    """Print how well each way finds the copies, and return ours, the candidates with their likeness."""
    distance, least = chosen.distance, chosen.likeness
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
    """Print the originals that agree most, and draw them two and two, so that a person can say what they are."""
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


def hard_negatives(count: int, chosen: DuplicatesParams) -> None:
    """Print how many drawn photos of one garment are joined: all have its outline, and no two are of one garment."""

    def lines() -> Iterator[tuple[str, ...]]:
        for garment in DRAWN:
            prepared = [
                planted.prepared(planted.encode(draw.draw(garment, seed)))
                for seed in progress.bar(range(count), f"draw {garment}", count)
            ]
            photos = gather(prepared, range(count), [0] * count)
            candidates = by_views(photos, chosen.distance)
            joined = ours(photos, candidates, chosen.likeness)
            likeness = candidates.likeness
            yield (
                garment,
                f"{count:,}",
                f"{count * (count - 1) // 2:,}",
                *(f"{len(by_hash(photos, bits).pairs):,}" for bits in (chosen.distance, WIDER)),
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
            f"hashes, {chosen.distance} bits",
            f"hashes, {WIDER} bits",
            "candidates",
            "ours",
            *(f"likeness {least} and more" for least in THRESHOLDS),
            "greatest likeness",
        ),
        lines(),
    )


def grow(photos: Photos, sizes: Sequence[int], distance: int) -> None:
    """Print time and memory of the search for candidates among so many photos."""

    def lines() -> Iterator[tuple[str, ...]]:
        for count in sizes:
            for name, chosen in {
                "all": np.arange(len(VIEWS)),
                "plain and mirrored": np.array([0, len(VIEWS) // 2]),
            }.items():
                reset_peak()
                before = resident("VmRSS")
                seconds, pairs = search(photos, count, chosen, distance)
                yield (
                    f"{count:,}",
                    name,
                    f"{seconds:.1f}",
                    f"{1e6 * seconds / count:.0f}",
                    f"{resident('VmHWM') - before:.0f}",
                    f"{pairs:,}",
                    f"{pairs / count:.2f}",
                )

    seconds = clock(
        lambda: [
            views.hashes(views.frequencies(photos.thumbnails[start : start + PHOTOS_AT_ONCE, ..., 0]))
            for start in range(0, len(photos.thumbnails), PHOTOS_AT_ONCE)
        ]
    )
    print(f"Hashes of all views: {1e6 * seconds / len(photos.thumbnails):.0f} us a photo")
    rows = np.random.default_rng(0).integers(0, len(photos.thumbnails), (2, LOOKS))
    seconds = clock(lambda: [near_duplicates.compare(photos.thumbnails, *part.T) for part in in_parts(rows.T)])
    print(f"A second look: {1e3 * seconds / LOOKS:.2f} ms\n")
    table(
        ("photos", "views asked with", "search s", "us a photo", "MB above the start", "candidates", "a photo"), lines()
    )


def search(photos: Photos, count: int, chosen: Rows, distance: int) -> tuple[float, int]:
    """Return the seconds that the search takes, and how many candidates it finds.

    A synthetic photo is a real one of whose hashes the same bits are flipped in all views: views stay as near to each
    other as they are.
    """
    rng = np.random.default_rng(0)
    flips = np.packbits(rng.random((count, 64)) < FLIPPED, axis=1).view(np.uint64)[:, 0]
    real = views.hashes(views.frequencies(photos.thumbnails[..., 0]))[:, chosen]
    sources = np.arange(count) % len(real)
    base = photos.hashes[sources] ^ flips
    seconds, pairs, step = 0.0, 0, HASHES_AT_ONCE // len(VIEWS)
    for start in progress.bar(range(0, count, step), "search", None, "part"):
        rows = np.arange(start, min(start + step, count))
        queries = (real[sources[rows]] ^ flips[rows, np.newaxis]).reshape(-1)
        begin = time.perf_counter()
        found = [
            np.column_stack([rows[left // len(chosen)], right]) for left, right in hamming.near(queries, base, distance)
        ]
        pairs += len(unique_pairs(found, count))
        seconds += time.perf_counter() - begin
    return seconds, pairs


def unique_pairs(found: Sequence[Pairs], count: int) -> Rows:
    pairs = np.concatenate([np.empty((0, 2), np.intp), *found])
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]] @ [count, 1])


def clock(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def reset_peak() -> None:
    """Let the kernel count this process's peak of memory from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> float:
    """Return megabytes: VmRSS now, VmHWM at the peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1000


def drawn_photo(number: int) -> bytes:
    file = io.BytesIO()
    draw.draw(GARMENTS[number % len(GARMENTS)], number).save(file, "JPEG", quality=90)
    return file.getvalue()


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
