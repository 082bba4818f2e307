"""The worst masks of int8, or of bfloat16: python -m benchmarks.background.worst_masks PHOTOS WEIGHTS PRECISION OUT.png

Compares the masks of 200 photos with those of float32, and draws the 20 worst, worst first: the photo, what float32
keeps of it, what the precision keeps, with the overlap (IoU). PHOTOS is a folder per class, WEIGHTS is u2netp.onnx.
"""

import sys
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from benchmarks.background.masks import Mask, agreement, masks
from benchmarks.shared.measure import ROOT
from benchmarks.shared.workload import read_photos
from imageset.formats.hdf5 import Pixels
from imageset.photos import decode, pixels
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.report import plots
from imageset.runtime import files
from imageset.runtime.sections import Precision

PHOTOS = 200
WORST = 20
COLUMNS = 12
SIDE = 128  # of the pictures that are drawn
NETWORK_SIDE = 320
LIMITS = PhotoLimits(50_000_000)
MAGENTA = (255, 0, 255)


def cut_out(photo: Image.Image, mask: Mask) -> Pixels:
    """Return what a mask keeps of a photo on magenta, uint8 (SIDE, SIDE, 3)."""
    kept = pixels.composite(photo, Image.fromarray(mask), MAGENTA)
    return pixels.to_array(pixels.fit(kept, SIDE, "pad", (255, 255, 255)))


def main(folder: Path, weights: Path, precision: Precision, sheet: Path) -> None:
    photos = read_photos(folder)[:PHOTOS]
    reference = Network("u2netp", weights, NETWORK_SIDE)
    network = reference._replace(precision=precision)
    if precision == "int8":
        network = network._replace(weights=ROOT / "models/u2netp-int8.zip")
    predicted = masks(photos, [reference, network])
    compared = map(partial(agreement, side=NETWORK_SIDE), predicted[network], predicted[reference])
    overlaps = np.array([overlap for _, overlap in compared])
    worst = np.argsort(overlaps, kind="stable")[:WORST]
    pictures, captions = [], []
    for number in worst:
        photo = decode.decode(photos[number], LIMITS)
        kept = [cut_out(photo, predicted[which][number]) for which in (reference, network)]
        pictures += [pixels.to_array(pixels.fit(photo, SIDE, "pad", (255, 255, 255))), *kept]
        captions += ["photo", "float32", f"{precision}: {overlaps[number]:.3f}"]
    files.write_bytes(sheet, plots.sheet(pictures, captions, COLUMNS))
    tenth = np.sort(overlaps)[: len(photos) // 10]
    print(f"{precision}, {len(photos)} photos: mean {overlaps.mean():.4f}, worst tenth {tenth.mean():.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), cast(Precision, sys.argv[3]), Path(sys.argv[4]))
