"""Write dataset.h5: render the rows in worker processes, and store them in order."""

import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.dataset.arrange import batches
from imageset.dataset.render import RenderRecipe, SourceRows, render
from imageset.errors import ImagesetError
from imageset.formats import hdf5, source_ids
from imageset.formats.channel_stats import ChannelStats
from imageset.formats.hdf5 import Pixels
from imageset.runtime import files, progress, settings
from imageset.runtime.sections import BuildParams
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import Lost, ordered_map

BATCH_BYTES = 1 << 20  # of pixels: a worker renders and returns so many at a time


class Plan(NamedTuple):
    """What dataset.h5 is to hold.

    subsets: the rows of each subset. photos: row (in processed.h5), product_id and group of each photo, and a column of
    text for each name of `columns`. label_map: the table, sorted by label. image_shape: (S, S, C).
    """

    subsets: dict[str, SourceRows]
    photos: pd.DataFrame
    columns: list[str]
    label_map: pd.DataFrame
    image_shape: tuple[int, ...]
    recipe: RenderRecipe
    build: BuildParams

    @property
    def image_bytes(self) -> int:
        return math.prod(self.image_shape)

    @property
    def total(self) -> int:
        return sum(rows.total for rows in self.subsets.values())


def write_dataset(path: Path, plan: Plan) -> None:
    """Write the dataset file, atomically.

    Raises:
        ImagesetError: a worker process died twice over the same rows, or the disk has too little space.
    """
    files.require_space(path, plan.total * (plan.image_bytes + count_column_bytes(plan)))
    batch_rows = max(1, BATCH_BYTES // plan.image_bytes)
    order = sorted(plan.subsets)  # that of the digest, for which the images are not read again
    work = ([batch] for subset in order for batch in batches(plan.subsets[subset], batch_rows))
    stats = {subset: ChannelStats(plan.image_shape[-1]) for subset in plan.subsets}
    with (
        LocalWorkers(settings.workers(), import_main=False) as workers,
        files.atomic(path) as temporary,
        hdf5.create(temporary, hdf5.DATASET) as file,
    ):
        rendered = ordered_map(workers, partial(render, recipe=plan.recipe), work)
        written = dict[str, hdf5.Blocks]()
        for subset, rows in plan.subsets.items():
            write_columns(file, subset, rows)
            write_further(file, subset, rows, plan)
            name, shape = f"{subset}_images", (rows.total, *plan.image_shape)
            images = hdf5.add_images(file, name, shape, plan.build.compression)
            written[name] = write_images(images, batches(rows, batch_rows), rendered, stats[subset])
        write_classes(file, plan.label_map)
        content_digest = hdf5.content_digest(file, written)
        sections = {"augment": plan.recipe.augment.model_dump(), "build": plan.build.model_dump()}
        hdf5.finish(
            file,
            content_digest=content_digest,
            mean=stats["train"].mean(),
            std=stats["train"].std(),
            params=json.dumps(sections, sort_keys=True),
        )


def count_column_bytes(plan: Plan) -> int:
    """Return how many bytes a row has besides its image: numbers, and texts of the width of the longest."""
    texts = [plan.photos[name] for name in plan.columns]
    if source_ids.has_text(plan.photos["product_id"]):
        texts.append(source_ids.texts(plan.photos["product_id"]))
    widths = [max((len(text.encode()) for text in column), default=0) for column in texts]
    numbers = [np.dtype(dtype).itemsize for dtype in (*hdf5.ROW_DTYPES.values(), "int64")]  # and the group
    return sum(widths) + sum(numbers)


def write_columns(file: h5py.File, subset: str, rows: SourceRows) -> None:
    """Write the labels, ids and positions of a subset's rows, and of training rows the copies."""
    columns: dict[str, NDArray[Any]] = {"labels": rows.labels, "ids": rows.ids, "positions": rows.positions}
    if subset == "train":
        columns["copies"] = rows.copies
    for name, values in columns.items():
        hdf5.add(file, f"{subset}_{name}", values.astype(hdf5.ROW_DTYPES[name]))


def write_further(file: h5py.File, subset: str, rows: SourceRows, plan: Plan) -> None:
    """Write the groups of a subset's rows, the source's ids where one is text, and the further columns."""
    places = pd.Index(plan.photos["row"]).get_indexer(pd.Index(rows.sources))
    hdf5.add(file, f"{subset}_groups", plan.photos["group"].to_numpy(np.int64)[places])
    if source_ids.has_text(plan.photos["product_id"]):
        hdf5.add_text(file, f"{subset}_source_ids", source_ids.texts(plan.photos["product_id"].iloc[places]).tolist())
    for name in plan.columns:
        hdf5.add_text(file, f"{subset}{hdf5.COLUMN}{name}", plan.photos[name].iloc[places].tolist())


def write_images(
    images: h5py.Dataset, batched: Iterator[SourceRows], rendered: Iterator[list[Pixels | Lost]], stats: ChannelStats
) -> hdf5.Blocks:
    """Write the batches of a subset as they are rendered, and yield them; add photos, without copies, to `stats`."""
    start = 0
    with progress.bar(None, "build", len(images), unit="row") as bar:
        # `rendered` goes on with the next subset: zip ends at the last batch of this one and takes nothing more of it.
        for batch, (pixels,) in zip(batched, rendered, strict=False):
            if isinstance(pixels, Lost):
                raise ImagesetError(
                    "a worker process died twice over the same rows, most often because memory ran out: "
                    "see the system's log, or set IMAGESET_WORKERS lower"
                )
            block = slice(start, start + batch.total)
            images[block] = pixels
            stats.add(pixels[batch.copies == 0])
            yield block, pixels
            start += batch.total
            bar.update(batch.total)
    assert start == len(images)


def write_classes(file: h5py.File, label_map: pd.DataFrame) -> None:
    pairs = [
        f"{label},{catalog_id}" for label, catalog_id in zip(label_map["label"], label_map["catalog_id"], strict=True)
    ]
    hdf5.add(file, "label_map", np.array([pair.encode("ascii") for pair in pairs]))
    hdf5.add_text(file, "class_names", label_map["name"].tolist())
    if source_ids.has_text(label_map["catalog_id"]):
        hdf5.add_text(file, "class_ids", source_ids.texts(label_map["catalog_id"]).tolist())
