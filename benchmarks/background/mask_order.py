"""Shrink first or mask first? Both side by side: python -m benchmarks.background.mask_order PHOTOS WEIGHTS OUT.png

Rows: the photo; shrink to 128, mask the thumbnail, drop alpha to black; the same on white; ours (mask and composite at
working resolution, then shrink). PHOTOS is a folder per class, WEIGHTS is u2netp.onnx.
"""

import sys
from pathlib import Path

from PIL import Image

from imageset.formats import stable_hash
from imageset.formats.hdf5 import Pixels
from imageset.photos import background, decode, networks, pixels
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.report import plots
from imageset.runtime import files, progress

PHOTOS = 24
SIDE = 128
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def four_ways(photo: Image.Image, network: Network) -> list[Pixels]:
    """Return the photo and its three results, uint8 (S, S, 3) each."""
    thumbnail = pixels.fit(photo, SIDE, "stretch", WHITE)
    thumbnail_mask = background.predict_mask(thumbnail, network)
    ours = pixels.composite(photo, background.predict_mask(photo, network), WHITE)
    results = [
        thumbnail,
        pixels.composite(thumbnail, thumbnail_mask, BLACK),
        pixels.composite(thumbnail, thumbnail_mask, WHITE),
        pixels.fit(ours, SIDE, "stretch", WHITE),
    ]
    return [pixels.to_array(result) for result in results]


def main(photos: Path, weights: Path, sheet: Path) -> None:
    paths = sorted(photos.glob("*/*.jp*g"), key=lambda path: stable_hash.rank(*path.name.encode()))[:PHOTOS]
    network = Network("u2netp", weights, networks.NETWORKS["u2netp"].side)
    columns = [
        four_ways(decode.decode(path.read_bytes(), PhotoLimits(50_000_000)), network)
        for path in progress.bar(paths, "mask", len(paths))
    ]
    captions = [
        [path.parent.name for path in paths],
        ["shrink, mask, black"] * len(paths),
        ["shrink, mask, white"] * len(paths),
        ["mask, white, shrink"] * len(paths),
    ]
    rows = [picture for row in zip(*columns, strict=True) for picture in row]
    files.write_bytes(sheet, plots.sheet(rows, [caption for row in captions for caption in row], len(paths)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
