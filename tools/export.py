"""`python -m tools.export --to imagefolder DEST`: dataset.h5's photos, without augmented copies, in another format."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imageset import keys, layout, progress, stage
from imageset.errors import DataError, ImagesetError
from imageset.layout import Pixels

JPEG_QUALITY = 95
JPEG_SUBSAMPLING = "4:4:4"  # colours as sharp as shapes; the usual 4:2:0 halves their resolution


class Photo(NamedTuple):
    """One photo of the dataset: its class, its key, its pixels, uint8 (S, S, C)."""

    catalog_id: int
    product_id: int
    position: int
    pixels: Pixels


def choose_subsets(file: h5py.File, wanted: str) -> list[str]:
    """Return the subsets to export. Raises DataError when the file has not the wanted one."""
    held = layout.subsets(file)
    if wanted not in ("all", *held):
        raise DataError(f"{file.filename} has no {wanted} subset, but {', '.join(held)}")
    return held if wanted == "all" else [wanted]


def plain_rows(file: h5py.File, subset: str) -> NDArray[np.bool_]:
    """Return which rows are photos themselves, bool (N,)."""
    copies = f"{subset}_copies"
    return file[copies][:] == 0 if copies in file else np.ones(len(file[f"{subset}_images"]), bool)


def read_photos(file: h5py.File, subsets: list[str]) -> Iterator[Photo]:
    """Yield the photos in the file's order, a block of rows in memory at a time."""
    catalog_ids = [int(pair.decode("ascii").partition(",")[2]) for pair in file["label_map"][:]]
    for subset in subsets:
        plain = plain_rows(file, subset)
        images, labels, ids, positions = (file[f"{subset}_{name}"] for name in ("images", "labels", "ids", "positions"))
        for block in layout.blocks(images):
            rows = zip(labels[block].tolist(), ids[block].tolist(), positions[block].tolist(), images[block],
                       strict=True)
            for (label, product_id, position, pixels), is_plain in zip(rows, plain[block], strict=True):
                if is_plain:
                    yield Photo(catalog_ids[label], product_id, position, pixels)


def write_imagefolder(photos: Iterator[Photo], folder: Path) -> None:
    """Write a folder per class, named for its catalog_id, of JPEG files named as in the bucket."""
    for photo in photos:
        path = folder / str(photo.catalog_id) / keys.object_key(photo.product_id, photo.position)
        path.parent.mkdir(exist_ok=True)
        grayscale = photo.pixels.shape[-1] == 1
        image = Image.fromarray(photo.pixels[..., 0] if grayscale else photo.pixels)
        image.save(path, "JPEG", quality=JPEG_QUALITY, subsampling=JPEG_SUBSAMPLING)


# What --to may name; each writes all photos into an empty folder.
FORMATS: dict[str, Callable[[Iterator[Photo], Path], None]] = {"imagefolder": write_imagefolder}


def export(dataset_h5: Path, subset: str, write: Callable[[Iterator[Photo], Path], None], destination: Path) -> int:
    """Write a dataset's photos to a folder that does not exist yet or is empty; return how many.

    The folder appears when it is whole. Raises DataError when it holds anything, or the file is no dataset.
    """
    destination = destination.resolve()
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise DataError(f"{destination} is not an empty folder: name a new one")
    with layout.open_file(dataset_h5, layout.DATASET) as file:
        subsets = choose_subsets(file, subset)
        total = sum(int(plain_rows(file, name).sum()) for name in subsets)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}.",
                                         suffix=".tmp") as temporary:
            folder = Path(temporary) / destination.name
            folder.mkdir()
            write(progress.bar(read_photos(file, subsets), "export", total), folder)
            folder.replace(destination)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.export", description=__doc__)
    parser.add_argument("destination", metavar="DEST", type=Path, help="a folder that does not exist yet, or is empty")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format to write")
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.h5"), help="default: %(default)s")
    parser.add_argument("--subset", choices=(*layout.SUBSETS, "all"), default="all", help="default: %(default)s")
    arguments = parser.parse_args()
    # By way of the finally blocks, which remove what is half-written.
    signal.signal(signal.SIGTERM, stage.exit_cleanly)
    try:
        count = export(arguments.dataset, arguments.subset, FORMATS[arguments.to], arguments.destination)
    except (ImagesetError, OSError) as error:
        sys.exit(f"export: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"export: {count} photos in {arguments.destination}")
    if arguments.subset == "all":
        print("export: these are the photos of all subsets together; to train on them, take --subset train")


if __name__ == "__main__":
    main()
