"""One image file per photo, in one folder per class: <subset>/<class>/<key>.png, as torchvision's ImageFolder reads it.

Every class has a folder in every subset, so the order of the folders is the order of the labels.
"""

from collections.abc import Iterator
from pathlib import Path

from tools.export.format import Photo
from tools.export.source import WITHOUT_SUBSETS, Classes, Subset

ENCODED = True
HAS_CARD = False
EXTRA_BYTES = 2048  # half a block of the file system
VERSIONS: dict[str, str] = {}


def class_folders(folder: Path, subset: str, classes: Classes) -> list[Path]:
    """Return the folder of each class in a subset, <label>_<catalog_id>. Their order by name is that of the labels.

    The class's name is left out: `datasets` takes words such as test or dev in a folder's name for a split.
    """
    inside = folder if subset == WITHOUT_SUBSETS else folder / subset
    width = len(str(len(classes.catalog_ids) - 1))
    return [inside / f"{label:0{width}}_{catalog_id}" for label, catalog_id in enumerate(classes.catalog_ids)]


def write_subset(folder: Path, subset: Subset, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    """Write one file per photo."""
    folders = class_folders(folder, subset.name, classes)
    for path in folders:
        path.mkdir(parents=True)
    for photo in photos:
        (folders[photo.label] / f"{photo.key}.{encoding}").write_bytes(photo.content)
