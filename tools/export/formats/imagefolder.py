"""One image file per photo, in one folder per class: <subset>/<class>/<key>.png, as torchvision's ImageFolder reads it.

Every class has a folder in every subset, so the order of the folders is the order of the labels. photos.csv says what
is known of each file.
"""

from collections.abc import Iterator
from pathlib import Path

from imageset.formats.hand_edited import cell_of_text, format_row
from tools.export.format import Photo
from tools.export.source import WITHOUT_SUBSETS, Classes, Subset
from tools.export.spelling import spell_safely

ENCODED = True
HAS_CARD = False
EXTRA_BYTES = 2048  # half a block of the file system
VERSIONS: dict[str, str] = {}
COLUMNS = ("label", "catalog_id", "class_id", "product_id", "position", "copy")  # of photos.csv; then Subset.further


def class_folders(folder: Path, subset: str, classes: Classes) -> list[Path]:
    """Return the folder of each class in a subset, <label>-<name>. Their order by name is that of the labels."""
    inside = folder if subset == WITHOUT_SUBSETS else folder / subset
    width = len(str(len(classes.names) - 1))
    names = [spell_safely(name) for name in classes.names]
    return [inside / (f"{label:0{width}}" + (f"-{name}" if name else "")) for label, name in enumerate(names)]


def write_subset(folder: Path, subset: Subset, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    """Write one file per photo, and a line of photos.csv."""
    folders = class_folders(folder, subset.name, classes)
    for path in folders:
        path.mkdir(parents=True)
    with (folder / "photos.csv").open("a", encoding="utf-8", newline="") as file:
        if not file.tell():
            file.write(format_row(["file_name", "subset", *COLUMNS, *subset.further]) + "\n")
        for photo in photos:
            path = folders[photo.label] / f"{photo.key}.{encoding}"
            path.write_bytes(photo.content)
            number, class_id = classes.catalog_ids[photo.label], classes.ids[photo.label]
            values = [photo.label, number, class_id, photo.product_id, photo.position, photo.copy]
            cells = [path.relative_to(folder).as_posix(), subset.name, *values, *photo.further.values()]
            file.write(format_row(cell_of_text(str(cell)) for cell in cells) + "\n")
