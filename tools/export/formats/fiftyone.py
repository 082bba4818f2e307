"""FiftyOne's own format: data/<subset>/<key>.png, samples.json with a sample each, and metadata.json with the fields.

It has no "version", so FiftyOne reads it as it did before it wrote its database's documents there: a sample is what
`fiftyone.Sample.from_dict` takes, and ids, dates and sizes are FiftyOne's to add.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imageset.formats import hdf5
from tools.export.format import Photo
from tools.export.source import WITHOUT_SUBSETS, Classes, Subset

ENCODED = True
HAS_CARD = False
EXTRA_BYTES = 2048 + 512  # half a block of the file system, and a line of samples.json
VERSIONS: dict[str, str] = {}

TYPES = "fiftyone.core.fields."
LABEL = "ground_truth"
NUMBERS = ("label", "catalog_id", "product_id", "position", "copy", "group")
KNOWN = ("source_id", "group")  # of Subset.further. The others are the query's columns.
COLUMN = "column_"  # before the name of such a column: FiftyOne has names of its own, such as id, tags and metadata
HEAD, TAIL = b'{"samples": [', b"\n]}\n"


def write_subset(folder: Path, subset: Subset, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    """Write one file per photo, and a line of samples.json. It is whole JSON after each subset."""
    names = hdf5.unique_names(classes.names, classes.ids)
    inside = Path("data") if subset.name == WITHOUT_SUBSETS else Path("data", subset.name)
    (folder / inside).mkdir(parents=True)
    (folder / "metadata.json").write_text(
        json.dumps(describe_fields(subset, names), ensure_ascii=False) + "\n", "utf-8"
    )
    with (folder / "samples.json").open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        # An array of JSON has an end, which is written anew after each subset.
        file.truncate(size and size - len(TAIL))
        separator = b"," if size > len(HEAD + TAIL) else b""
        file.write(b"" if size else HEAD)
        for photo in photos:
            path = inside / f"{photo.key}.{encoding}"
            (folder / path).write_bytes(photo.content)
            sample = {"filepath": path.as_posix(), "tags": list(inside.parts[1:])}
            sample |= describe(photo, classes, names[photo.label])
            file.write(separator + b"\n" + json.dumps(sample, ensure_ascii=False).encode())
            separator = b","
        file.write(TAIL)


def describe(photo: Photo, classes: Classes, name: str) -> dict[str, Any]:
    """Return a sample's fields but for its file and tags."""
    return {
        LABEL: {"_cls": "Classification", "tags": [], "label": name},
        "label": photo.label,
        "catalog_id": classes.catalog_ids[photo.label],
        "class_id": classes.ids[photo.label],
        "product_id": photo.product_id,
        "position": photo.position,
        "copy": photo.copy,
        **{field_of(column): value for column, value in photo.further.items()},
    }


def describe_fields(subset: Subset, names: list[str]) -> dict[str, Any]:
    """Return metadata.json: the type of each field, and the classes in the order of their labels."""
    texts = ("filepath", "class_id", *map(field_of, subset.further))
    fields = dict.fromkeys(texts, f"{TYPES}StringField")
    fields |= {field: f"{TYPES}IntField" for field in NUMBERS if field != "group" or field in subset.further}
    fields["tags"] = f"{TYPES}ListField({TYPES}StringField)"
    fields[LABEL] = f"{TYPES}EmbeddedDocumentField(fiftyone.core.labels.Classification)"
    return {"media_type": "image", "sample_fields": fields, "info": {"default_classes": names}}


def field_of(column: str) -> str:
    """Return what FiftyOne calls one of Subset.further."""
    return column if column in KNOWN else COLUMN + column
