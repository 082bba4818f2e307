"""Parquet files, data/<subset>-00000-of-00003.parquet, as on the Hugging Face Hub. Needs pyarrow.

The schema has the features, so `datasets` shows images, and classes by their names.
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
from tools.export.format import Photo
from tools.export.shards import shards
from tools.export.source import Classes, Subset

ENCODED = True
HAS_CARD = True
EXTRA_BYTES = 64
VERSIONS = {"pyarrow": pa.__version__}

GROUP_BYTES = 32 << 20  # of raw pixels; a streaming reader holds one group in memory, encoded
FIELDS = {
    "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    "label": pa.int64(),
    "catalog_id": pa.int64(),
    "class_id": pa.string(),
    "product_id": pa.int64(),
    "position": pa.int16(),
    "copy": pa.int16(),
}
REPEATED = ["label", "catalog_id", "class_id", "position", "copy"]


def schema(subset: Subset, classes: Classes) -> pa.Schema:
    """Return the columns with their `datasets` features."""
    further = {name: pa.int64() if values.dtype.kind == "i" else pa.string() for name, values in subset.further.items()}
    fields = FIELDS | further
    names = hdf5.unique_names(classes.names, classes.ids)
    features: dict[str, Any] = {name: {"dtype": str(field), "_type": "Value"} for name, field in fields.items()}
    features |= {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def columns_of(photos: list[Photo], classes: Classes, encoding: str) -> dict[str, list[Any]]:
    """Return the values of each column."""
    return {
        "image": [{"bytes": photo.content, "path": f"{photo.key}.{encoding}"} for photo in photos],
        "label": [photo.label for photo in photos],
        "catalog_id": [classes.catalog_ids[photo.label] for photo in photos],
        "class_id": [classes.ids[photo.label] for photo in photos],
        "product_id": [photo.product_id for photo in photos],
        "position": [photo.position for photo in photos],
        "copy": [photo.copy for photo in photos],
        **{name: [photo.further[name] for photo in photos] for name in photos[0].further},
    }


def write_subset(folder: Path, subset: Subset, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    """Write one Parquet file per shard. Images are stored as they are: they are compressed already."""
    group_photos = max(1, GROUP_BYTES // math.prod(subset.image_shape))
    columns = schema(subset, classes)
    for path, count in shards(folder, subset, "parquet"):
        shard = islice(photos, count)
        with pq.ParquetWriter(
            path, columns, compression="NONE", use_dictionary=REPEATED, write_statistics=[*REPEATED, "product_id"]
        ) as writer:
            while group := list(islice(shard, group_photos)):
                writer.write_table(pa.table(columns_of(group, classes, encoding), schema=columns))
