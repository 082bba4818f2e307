"""Tar files, data/<subset>-00000-of-00003.tar. Each photo has an image, a label and a description under one key."""

import io
import json
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tools.export.format import Photo
from tools.export.shards import shards
from tools.export.source import Classes, Subset

ENCODED = True
HAS_CARD = False
EXTRA_BYTES = 3 * 512 + 3 * 512  # three headers, and the padding after three files
VERSIONS: dict[str, str] = {}


def write_subset(folder: Path, subset: Subset, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    """Write one tar file per shard."""
    for path, count in shards(folder, subset, "tar"):
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for photo in islice(photos, count):
                add(tar, f"{photo.key}.{encoding}", photo.content)
                add(tar, f"{photo.key}.cls", str(photo.label).encode())
                add(tar, f"{photo.key}.json", describe(photo, classes))


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without owner and time, which are the defaults of tarfile: its bytes depend on the content alone."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def describe(photo: Photo, classes: Classes) -> bytes:
    """Return the JSON that says which photo it is, and its class."""
    return json.dumps(
        {
            "product_id": photo.product_id,
            "position": photo.position,
            "copy": photo.copy,
            "catalog_id": classes.catalog_ids[photo.label],
            "class_id": classes.ids[photo.label],
            "class_name": classes.names[photo.label],
            **photo.further,
        },
        ensure_ascii=False,
    ).encode()
