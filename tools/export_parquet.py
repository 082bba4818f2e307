"""Parquet files, data/<subset>-00000-of-00003.parquet, as the Hub of Hugging Face has them; needs pyarrow.

The features stand in the schema: `datasets` shows images, and classes by their names. In a folder data, as then it
takes any subset's name, and no file beside that folder for data.
"""

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imageset import files, layout
from tools.export_parts import Part, Photo
from tools.export_source import Classes, Source

ENCODED = True
EXTRA_BYTES = 64
VERSIONS = {"pyarrow": pa.__version__}

GROUP_PHOTOS = 1000  # what a reader that streams has in memory at a time,
GROUP_BYTES = 32 << 20  # and at most so much of it, were it pixels
FIELDS = {"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64(),
          "catalog_id": pa.int64(), "product_id": pa.int64(), "position": pa.int16(), "copy": pa.int16()}
REPEATED = ["label", "catalog_id", "position", "copy"]


def prepare(folder: Path, source: Source) -> None:
    (folder / "data").mkdir()


def schema(classes: Classes) -> pa.Schema:
    """Return the columns, with what they mean to `datasets`."""
    names = layout.unique_names(classes.names, classes.catalog_ids)
    features: dict[str, Any] = {name: {"dtype": str(field), "_type": "Value"} for name, field in FIELDS.items()}
    features |= {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return pa.schema(FIELDS, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def rows(photos: list[Photo], classes: Classes, suffix: str) -> dict[str, list[Any]]:
    """Return photos by column."""
    return {"image": [{"bytes": photo.content, "path": f"{photo.key}.{suffix}"} for photo in photos],
            "label": [photo.label for photo in photos],
            "catalog_id": [classes.catalog_ids[photo.label] for photo in photos],
            "product_id": [photo.product_id for photo in photos],
            "position": [photo.position for photo in photos],
            "copy": [photo.copy for photo in photos]}


def write_part(folder: Path, part: Part, classes: Classes, photos: Iterator[Photo], suffix: str) -> None:
    path = folder / "data" / f"{part.subset.name}-{part.number:05}-of-{part.of:05}.parquet"
    group_photos = max(1, min(GROUP_PHOTOS, GROUP_BYTES // math.prod(part.subset.image_shape)))
    columns = schema(classes)
    # Images are compressed as they are.
    with pq.ParquetWriter(path, columns, compression="NONE", use_dictionary=REPEATED,
                          write_statistics=[*REPEATED, "product_id"]) as writer:
        while group := list(islice(photos, group_photos)):
            writer.write_table(pa.table(rows(group, classes, suffix), schema=columns))
    files.sync(path)
    files.sync(path.parent)
