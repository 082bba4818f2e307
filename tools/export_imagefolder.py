"""An image file a photo, in a folder a class: <subset>/<class>/<key>.png, as torchvision's ImageFolder reads it.

Every class has its folder in every subset, so that the folders' order is the labels' in each.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from tools.export_names import class_folders
from tools.export_parts import Part, Photo
from tools.export_source import WITHOUT_SUBSETS, Classes, Source

ENCODED = True
EXTRA_BYTES = 2048  # half a block of the file system's
VERSIONS: dict[str, str] = {}


def subset_folder(folder: Path, subset: str) -> Path:
    return folder if subset == WITHOUT_SUBSETS else folder / subset


def prepare(folder: Path, source: Source) -> None:
    for subset in source.subsets:
        for name in class_folders(source.classes.names, source.classes.catalog_ids):
            (subset_folder(folder, subset.name) / name).mkdir(parents=True)


def write_part(folder: Path, part: Part, classes: Classes, photos: Iterator[Photo], suffix: str) -> None:
    inside = subset_folder(folder, part.subset.name)
    folders = [inside / name for name in class_folders(classes.names, classes.catalog_ids)]
    for photo in photos:
        (folders[photo.label] / f"{photo.key}.{suffix}").write_bytes(photo.content)
    os.sync()  # once for all: thousands of small files, each by itself, take longer than making them
