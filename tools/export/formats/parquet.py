"""Parquet files, data/<subset>-00000-of-00003.parquet, as the Hub of Hugging Face has them; needs pyarrow.

The features stand in the schema: `datasets` shows images, and classes by their names.
"""

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imageset.formats import hdf5
from imageset.runtime import files
from tools.export.parts import Part, Photo
from tools.export.source import Classes, Source

ENCODED = True
EXTRA_BYTES = 64
VERSIONS = {"pyarrow": pa.__version__}

GROUP_BYTES = 32 << 20  # of pixels; what a reader that streams has in memory at a time, encoded
FIELDS = {
    "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    "label": pa.int64(),
    "catalog_id": pa.int64(),
    "product_id": pa.int64(),
    "position": pa.int16(),
    "copy": pa.int16(),
}
REPEATED = ["label", "catalog_id", "position", "copy"]


def prepare(folder: Path, source: Source) -> None:
    (folder / "data").mkdir()


def schema(classes: Classes) -> pa.Schema:
    """Return the columns, with what they mean to `datasets`."""
    names = hdf5.unique_names(classes.names, classes.catalog_ids)
    features: dict[str, Any] = {name: {"dtype": str(field), "_type": "Value"} for name, field in FIELDS.items()}
    features |= {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return pa.schema(FIELDS, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def rows(photos: list[Photo], classes: Classes, encoding: str) -> dict[str, list[Any]]:
    """Return photos by column."""
    return {
        "image": [{"bytes": photo.content, "path": f"{photo.key}.{encoding}"} for photo in photos],
        "label": [photo.label for photo in photos],
        "catalog_id": [classes.catalog_ids[photo.label] for photo in photos],
        "product_id": [photo.product_id for photo in photos],
        "position": [photo.position for photo in photos],
        "copy": [photo.copy for photo in photos],
    }


def write_part(folder: Path, part: Part, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    path = part.path(folder, "parquet")
    group_photos = max(1, GROUP_BYTES // math.prod(part.subset.image_shape))
    columns = schema(classes)
    # Images are compressed as they are.
    with pq.ParquetWriter(
        path, columns, compression="NONE", use_dictionary=REPEATED, write_statistics=[*REPEATED, "product_id"]
    ) as writer:
        while group := list(islice(photos, group_photos)):
            writer.write_table(pa.table(rows(group, classes, encoding), schema=columns))
    files.sync(path)
    files.sync(path.parent)
