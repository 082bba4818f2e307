"""Write an export: its photos by a format, its classes, and what it was made from."""

import json
import math
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from imageset.errors import ImagesetError
from imageset.formats import hand_edited, tables
from imageset.formats.tables import Table
from imageset.runtime import files, progress
from imageset.runtime.sections import CardParams
from tools.export.card import write_card
from tools.export.destination import finish, is_there, temporary_folder
from tools.export.encode import SHARES, VERSIONS, encode_all
from tools.export.format import Format, Photo, load_format
from tools.export.shards import shard_photos
from tools.export.source import Classes, Source, Subset, pixel_batches

CLASSES = Table({"label": "int64", "catalog_id": "int64", "class_id": "string", "name": "string"}, ("label",))
EXPORT_VERSION = 3  # raise it with every change of an export's bytes


def export(source: Source, format_name: str, encoding: str, destination: Path, workers: int, card: CardParams) -> None:
    """Write an export to a new folder, which appears when it is complete. Leave the same export as it is.

    Args:
        source: The photos and classes to write.
        format_name: A module of tools/export/formats.
        encoding: `png` or `jpeg`; ignored by a format that takes raw pixels.
        destination: A folder that does not exist yet.
        workers: How many threads encode images.
        card: What the card says, in a format that has one.

    Raises:
        DataError: Anything else than this export is at the destination.
        ImagesetError: The disk is too full, writing failed, or another run writes to the destination.
    """
    writer = load_format(format_name)
    encoding = encoding if writer.ENCODED else "raw"
    if not destination.is_symlink():  # links are not followed: a broken link is in the way as well
        destination = Path(os.path.realpath(destination))
    identity = identify(source, format_name, encoding, writer)
    if writer.HAS_CARD:
        identity["card"] = card.model_dump()
    is_there(destination, identity)  # before anything is written beside it
    try:
        with temporary_folder(destination) as folder:
            if is_there(destination, identity):
                print(f"export: {destination} is there already")
            else:
                files.require_space(destination, needed_bytes(source, encoding, writer))
                write(folder, source, writer, encoding, workers)
                if writer.HAS_CARD:
                    write_card(folder, source, card)
                files.write_text(folder / "export.json", json.dumps(identity, indent=2, sort_keys=True) + "\n")
                finish(folder, destination)
    except OSError as error:
        raise ImagesetError(f"{destination} cannot be written ({error}); nothing is left of it") from None


def identify(source: Source, format_name: str, encoding: str, writer: Format) -> dict[str, Any]:
    """Return everything that decides the bytes of an export, as export.json has it."""
    return {
        "source": source.digest,
        "format": format_name,
        "encoding": encoding,
        "export_version": EXPORT_VERSION,
        "part_photos": shard_photos(source.subsets[0].image_shape),
        "versions": writer.VERSIONS | VERSIONS | {"processor": platform.machine()},
    }


def needed_bytes(source: Source, encoding: str, writer: Format) -> int:
    """Return an estimate of the disk space that an export takes."""
    return math.ceil(
        sum(
            subset.rows.total * (math.prod(subset.image_shape) * SHARES[encoding] + writer.EXTRA_BYTES)
            for subset in source.subsets
        )
    )


def write(folder: Path, source: Source, writer: Format, encoding: str, workers: int) -> None:
    """Write all subsets and the classes."""
    write_classes(folder / "classes.csv", source.classes)
    with progress.bar(None, "export", source.total) as bar:
        for subset in source.subsets:
            with closing(encode_all(pixel_batches(subset), encoding, workers)) as contents:
                photos = photos_of(subset, contents, bar.update)
                writer.write_subset(folder, subset, source.classes, photos, encoding)


def write_classes(path: Path, classes: Classes) -> None:
    """Write label, catalog_id, class_id and name of each class, for people: no cell is a formula."""
    ids, names = map(hand_edited.cell_of_text, classes.ids), map(hand_edited.cell_of_text, classes.names)
    columns = {"catalog_id": classes.catalog_ids, "class_id": list(ids), "name": list(names)}
    tables.write(path, CLASSES, pd.DataFrame({"label": range(len(classes.names)), **columns}))


def photos_of(subset: Subset, contents: Iterator[bytes], advance: Callable[[int], object]) -> Iterator[Photo]:
    """Yield the photos of a subset with their contents. Call `advance(1)` for each."""
    rows = subset.rows
    columns = [values.tolist() for values in (rows.labels, rows.ids, rows.positions, rows.copies)]
    further = zip(*(values.tolist() for values in subset.further.values()), strict=True)
    for label, product_id, position, copy, its, content in zip(*columns, further, contents, strict=True):
        advance(1)
        yield Photo(label, product_id, position, copy, dict(zip(subset.further, its, strict=True)), content)
