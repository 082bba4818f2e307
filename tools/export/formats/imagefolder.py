"""An image file a photo, in a folder a class: <subset>/<class>/<key>.png, as torchvision's ImageFolder reads it.

Every class has its folder in every subset, so that the folders' order is the labels' in each.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from imageset.runtime import files
from tools.export.parts import Part, Photo
from tools.export.source import WITHOUT_SUBSETS, Classes, Source

ENCODED = True
EXTRA_BYTES = 2048  # half a block of the file system's
VERSIONS: dict[str, str] = {}
SYNCS = 16  # files at a time: each waits for the disk, not for a core


def class_folders(folder: Path, subset: str, classes: Classes) -> list[Path]:
    """Return each class's folder in a subset, <label>_<catalog_id>: in the order of labels, by name as well.

    Without the class's name: by words such as test or dev in a folder's name `datasets` divides photos into splits.
    """
    inside = folder if subset == WITHOUT_SUBSETS else folder / subset
    width = len(str(len(classes.catalog_ids) - 1))
    return [inside / f"{label:0{width}}_{catalog_id}" for label, catalog_id in enumerate(classes.catalog_ids)]


def prepare(folder: Path, source: Source) -> None:
    for subset in source.subsets:
        for path in class_folders(folder, subset.name, source.classes):
            path.mkdir(parents=True)


def write_part(folder: Path, part: Part, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    folders = class_folders(folder, part.subset.name, classes)
    paths = []
    for photo in photos:
        paths.append(folders[photo.label] / f"{photo.key}.{encoding}")
        paths[-1].write_bytes(photo.content)
    os.sync()  # once for all: thousands of small files, each by itself, take longer than making them
    with ThreadPoolExecutor(SYNCS) as threads:
        list(threads.map(files.sync, paths))  # nothing is left to write, but os.sync() does not tell of what failed
