"""Squeeze a long photo to the network's square, or put borders around it? python -m benchmarks.background.aspect_ratios
PHOTOS WEIGHTS OUT.png

Photos are made long in ways whose masks are known from the photo as it was: by repeating the rows at its edges, the
same with a quarter of the light, and by cutting a strip out of it. PHOTOS is a folder per class, WEIGHTS is
u2netp.onnx. Prints a table of the overlap (mean IoU) with the known masks, and draws the first photos: the photo,
squeezed, ours, borders up to a square.
"""

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from benchmarks.background.masks import THRESHOLD
from benchmarks.shared.tables import table
from imageset.formats import stable_hash
from imageset.photos import background, decode, networks, pixels
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.report import plots
from imageset.runtime import files, progress

PHOTOS = 48
SHOWN = 12
SIDE = 128  # of the pictures that are drawn
ASPECTS = (2.5, 3, 4, 6)
SQUEEZED, OURS, SQUARE = "squeezed", f"borders to {background.MAX_ASPECT}:1", "borders to a square"
MAX_ASPECTS = {SQUEEZED: 1000.0, OURS: background.MAX_ASPECT, SQUARE: 1.0}
MAGENTA = (255, 0, 255)

Known = tuple[Image.Image, Image.Image]  # a photo and its mask, of one size


def mask_like(image: Image.Image, network: Network) -> Image.Image:
    return background.predict_mask(image, network).resize(image.size, Image.Resampling.LANCZOS)


def lengthen(photo: Image.Image, mask: Image.Image, aspect: float) -> Known:
    """Return a photo made taller by repeating its first and last rows, and its mask."""
    added = max(0, round(aspect * photo.width) - photo.height)
    rows = (added // 2, added - added // 2)
    taller = np.pad(np.asarray(photo), (rows, (0, 0), (0, 0)), mode="edge")
    return Image.fromarray(taller), Image.fromarray(np.pad(np.asarray(mask), (rows, (0, 0))))


def cut(photo: Image.Image, mask: Image.Image, aspect: float) -> Known:
    """Return a strip of a photo, as wide as it, around the middle of its garment, and the strip's mask."""
    garment = np.nonzero((np.asarray(mask) > THRESHOLD).any(axis=1))[0]
    height = min(photo.height, round(photo.width / aspect))
    middle = int(garment.mean()) if len(garment) else photo.height // 2
    top = min(max(0, middle - height // 2), photo.height - height)
    box = (0, top, photo.width, top + height)
    return photo.crop(box), mask.crop(box)


def darken(photo: Image.Image, mask: Image.Image, aspect: float) -> Known:
    """Return a photo made longer, with a quarter of its light, and its mask."""
    longer, known = lengthen(photo, mask, aspect)
    return longer.point(lambda value: value // 4), known


WAYS = {"rows repeated": lengthen, "rows repeated, dark": darken, "strip": cut}


def overlap(one: Image.Image, other: Image.Image) -> float:
    kept, known = np.asarray(one) > THRESHOLD, np.asarray(other) > THRESHOLD
    union = (kept | known).sum()
    return float((kept & known).sum() / union) if union else 1.0


def predict_all(known: Known, network: Network) -> dict[str, Image.Image]:
    """Return a long photo's mask for each way to make it square."""
    masks = {}
    for name, most in MAX_ASPECTS.items():
        with patch.object(background, "MAX_ASPECT", most):
            masks[name] = mask_like(known[0], network)
    return masks


def lines(known: list[Known], network: Network) -> Iterator[tuple[str, ...]]:
    """Yield a line of the table for each aspect ratio and way to make photos long."""
    for aspect in ASPECTS:
        for name, make_long in WAYS.items():
            shares: dict[str, list[float]] = {way: [] for way in MAX_ASPECTS}
            for photo, mask in progress.bar(known, f"{aspect}:1, {name}", len(known)):
                long = make_long(photo, mask, aspect)
                for way, found in predict_all(long, network).items():
                    shares[way].append(overlap(found, long[1]))
            yield (f"{aspect}:1", name, *(f"{statistics.fmean(shares[way]):.3f}" for way in MAX_ASPECTS))


def draw(known: Known, network: Network) -> list[Image.Image]:
    """Return a long photo, and what each way keeps of it."""
    photo = known[0]
    ground = Image.new("RGB", photo.size, MAGENTA)
    kept = [Image.composite(photo, ground, mask) for mask in predict_all(known, network).values()]
    return [pixels.fit(image, SIDE, "pad", (255, 255, 255)) for image in (photo, *kept)]


def main(photos: Path, weights: Path, sheet: Path) -> None:
    paths = sorted(photos.glob("*/*.jp*g"), key=lambda path: stable_hash.rank(*path.name.encode()))[:PHOTOS]
    network = Network("u2netp", weights, networks.NETWORKS["u2netp"].side)
    whole = [decode.decode(path.read_bytes(), PhotoLimits(50_000_000)) for path in paths]
    known = [(photo, mask_like(photo, network)) for photo in progress.bar(whole, "masks", len(whole))]
    table(("aspect ratio", "made long by", *MAX_ASPECTS), lines(known, network))
    columns = [draw((lengthen, cut)[number % 2](*known[number], 4), network) for number in range(SHOWN)]
    captions = [name for name in ("4:1", *MAX_ASPECTS) for _ in columns]
    shown = [pixels.to_array(picture) for row in zip(*columns, strict=True) for picture in row]
    files.write_bytes(sheet, plots.sheet(shown, captions, len(columns)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
