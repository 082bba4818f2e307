"""Tar files, data/<subset>-00000-of-00003.tar: of each photo image, label and description in a row, by one key."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from imageset.runtime import files
from tools.export.parts import Part, Photo
from tools.export.source import Classes, Source

ENCODED = True
EXTRA_BYTES = 3 * 512 + 3 * 512  # headers, and what fills up to the next
VERSIONS: dict[str, str] = {}


def prepare(folder: Path, source: Source) -> None:
    (folder / "data").mkdir()


def write_part(folder: Path, part: Part, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    path = part.path(folder, "tar")
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for photo in photos:
            add(tar, f"{photo.key}.{encoding}", photo.content)
            add(tar, f"{photo.key}.cls", str(photo.label).encode())
            add(tar, f"{photo.key}.json", describe(photo, classes))
    files.sync(path)
    files.sync(path.parent)


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file of nobody's and of no time, tarfile's own defaults: its bytes depend on content alone."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def describe(photo: Photo, classes: Classes) -> bytes:
    return json.dumps(
        {
            "product_id": photo.product_id,
            "position": photo.position,
            "copy": photo.copy,
            "catalog_id": classes.catalog_ids[photo.label],
            "class_name": classes.names[photo.label],
        },
        ensure_ascii=False,
    ).encode()
