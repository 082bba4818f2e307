"""Pixels, catalog and split -> data/dataset.h5: augmented training rows and plain test rows, in a fixed mixed order."""

import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.dataset.augment import copies_of
from imageset.dataset.channel_stats import Moments
from imageset.dataset.render import RenderRecipe, SourceRows, render
from imageset.errors import DataError, ImagesetError
from imageset.formats import hdf5, stable_hash, tables
from imageset.formats.hdf5 import Pixels
from imageset.runtime import files, params, progress, settings, stage
from imageset.runtime.sections import AugmentParams
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import Lost, ordered_map

BATCH_BYTES = 1 << 20  # of pixels, made and handed over at a time


def arrange(photos: pd.DataFrame, copies: Mapping[int, int], seed: int) -> SourceRows:
    """Return the rows of a subset, of each photo as many copies as its label gets, mixed by their ranks."""
    wanted = photos["label"].map(copies).to_numpy(np.int64)
    ids, positions, labels, sources = (
        np.repeat(photos[name].to_numpy(), wanted) for name in ("product_id", "position", "label", "row")
    )
    numbers = np.arange(len(ids)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    ranks = np.fromiter(
        (stable_hash.rank(seed, *key) for key in zip(ids.tolist(), positions.tolist(), numbers.tolist(), strict=True)),
        np.uint64,
        len(ids),
    )
    rows = SourceRows(ids, positions.astype(np.int16), numbers.astype(np.int16), labels, sources)
    return rows.take(np.argsort(ranks, kind="stable"))


def copies(subset: str, labels: pd.Series, chosen: AugmentParams) -> dict[int, int]:
    """Return how many copies of each photo of a label a subset holds."""
    photos = labels.value_counts().to_dict()
    return copies_of(photos, chosen) if subset == "train" else dict.fromkeys(photos, 1)


def batches(rows: SourceRows, batch_rows: int) -> Iterator[SourceRows]:
    for start in range(0, rows.total, batch_rows):
        yield rows.take(slice(start, start + batch_rows))


def write_columns(file: h5py.File, subset: str, rows: SourceRows) -> None:
    """Write what a subset's rows are: labels, ids, positions, and of training rows which copy."""
    columns: dict[str, NDArray[Any]] = {"labels": rows.labels, "ids": rows.ids, "positions": rows.positions}
    if subset == "train":
        columns["copies"] = rows.copies
    for name, values in columns.items():
        hdf5.add(file, f"{subset}_{name}", values.astype(hdf5.ROW_DTYPES[name]))


def write_images(
    images: h5py.Dataset, batched: Iterator[SourceRows], rendered: Iterator[list[Pixels | Lost]], plain: Moments
) -> None:
    """Write the batches of pixels as they are rendered; copies 0 are summed up in `plain`."""
    start = 0
    with progress.bar(None, "build", len(images), unit="row") as bar:
        # `rendered` goes on with the next subset: zip ends at the last batch of this one and takes nothing more of it.
        for batch, (pixels,) in zip(batched, rendered, strict=False):
            if isinstance(pixels, Lost):
                raise ImagesetError(
                    "a worker process died twice over the same rows, most often for want of memory: "
                    "see the system's log, or set IMAGESET_WORKERS lower"
                )
            images[start : start + batch.total] = pixels
            plain.add(pixels[batch.copies == 0])
            start += batch.total
            bar.update(batch.total)
    assert start == len(images)


def write_dataset(
    path: Path,
    subsets: dict[str, SourceRows],
    label_map: pd.DataFrame,
    image_shape: tuple[int, ...],
    recipe: RenderRecipe,
    compression: hdf5.Compression,
    attributes: dict[str, Any],
) -> None:
    """Write the dataset file, atomically."""
    rows = sum(subset_rows.total for subset_rows in subsets.values())
    files.require_space(path, rows * math.prod(image_shape))
    batch_rows = max(1, BATCH_BYTES // math.prod(image_shape))
    work = chain.from_iterable(batches(subset_rows, batch_rows) for subset_rows in subsets.values())
    moments = {subset: Moments(image_shape[-1]) for subset in subsets}
    with (
        LocalWorkers(settings.workers(), import_main=False) as engine,
        files.atomic(path) as temporary,
        hdf5.create(temporary, hdf5.DATASET) as file,
    ):
        rendered = ordered_map(engine, partial(render, recipe=recipe), ([batch] for batch in work))
        for subset, subset_rows in subsets.items():
            write_columns(file, subset, subset_rows)
            images = hdf5.add_images(file, f"{subset}_images", (subset_rows.total, *image_shape), compression)
            write_images(images, batches(subset_rows, batch_rows), rendered, moments[subset])
        pairs = [
            f"{label},{catalog_id}"
            for label, catalog_id in zip(label_map["label"], label_map["catalog_id"], strict=True)
        ]
        hdf5.add(file, "label_map", np.array([pair.encode("ascii") for pair in pairs]))
        hdf5.add_text(file, "class_names", label_map["name"].tolist())
        hdf5.finish(
            file,
            content_digest=hdf5.content_digest(file),
            mean=moments["train"].mean(),
            std=moments["train"].std(),
            **attributes,
        )


def main(processed_h5: Path, catalog_csv: Path, label_map_csv: Path, split_csv: Path, dataset_h5: Path) -> None:
    """Augment the training photos and write the dataset file.

    Args:
        processed_h5: the pixels of every photo.
        catalog_csv: the class of each photo.
        label_map_csv: the label, the catalog_id and the name of each class.
        split_csv: the subset of each photo.
        dataset_h5: the dataset.
    """
    chosen = params.load().build
    chosen_augment = params.load().augment
    catalog = tables.read(catalog_csv, tables.CATALOG)
    split = tables.read(split_csv, tables.SPLIT)
    photos = catalog.merge(split, on=["product_id", "position"], validate="one_to_one")
    if not len(photos) == len(catalog) == len(split):
        raise DataError(f"{split_csv} and {catalog_csv} do not name the same photos: run `dvc repro`")
    with hdf5.open_file(processed_h5, hdf5.PROCESSED) as file:
        image_shape = file["images"].shape[1:]
        hdf5.require_photos(file, *(photos[name].to_numpy() for name in ("row", "product_id", "position")))
    subsets = {
        subset: arrange(chosen_photos, copies(subset, chosen_photos["label"], chosen_augment), chosen.seed)
        for subset in hdf5.SUBSETS
        if len(chosen_photos := photos[photos["subset"] == subset]) or subset != "validation"
    }
    if not subsets["train"].total:
        raise DataError(f"{split_csv} has no photo to train on")
    sections = json.dumps({"augment": chosen_augment.model_dump(), "build": chosen.model_dump()}, sort_keys=True)
    recipe = RenderRecipe(processed_h5, chosen_augment)
    label_map = tables.read(label_map_csv, tables.LABEL_MAP).sort_values("label")
    write_dataset(dataset_h5, subsets, label_map, image_shape, recipe, chosen.compression, {"params": sections})
    counts = ", ".join(f"{rows.total} {subset}" for subset, rows in subsets.items())
    print(f"build: {counts} rows, {dataset_h5.stat().st_size / 1e6:,.1f} MB")


if __name__ == "__main__":
    stage.run("build", main)
