"""Pixels, catalog and split -> data/dataset.h5: augmented training rows and plain test rows, in a fixed mixed order."""

import json
import math
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd

from imageset import files, keys, layout, params, pool, progress, settings, stage, tables
from imageset.augment import AugmentParams, augment
from imageset.errors import DataError, ImagesetError
from imageset.layout import Pixels
from imageset.params import Section
from imageset.processes import Processes


class BuildParams(Section):
    """Section `build`."""

    seed: int


class Row(NamedTuple):
    """One row of a subset: which copy of which photo, its label, and its row in processed.h5."""

    product_id: int
    position: int
    copy: int
    label: int
    source: int


class Source(NamedTuple):
    """What processed.h5 holds: the photos' pixels, uint8 (N, S, S, C), and the colour behind the garments."""

    images: Pixels
    fill: tuple[int, int, int]


class Recipe(NamedTuple):
    """All that decides the pixels of a row."""

    processed_h5: Path
    augment: AugmentParams


def arrange(photos: pd.DataFrame, copies: int, seed: int) -> list[Row]:
    """Return the rows of a subset, `copies` of each photo, in the order of their ranks: mixed, and always the same."""
    rows = [Row(product_id, position, copy, label, source)
            for product_id, position, label, source
            in photos[["product_id", "position", "label", "row"]].itertuples(index=False, name=None)
            for copy in range(copies)]
    return sorted(rows, key=lambda row: keys.rank(seed, row.product_id, row.position, row.copy))


def render(batches: list[list[Row]], recipe: Recipe) -> list[Pixels]:
    """Return the pixels of batches of rows, each uint8 (N, S, S, C); runs in a worker process."""
    source = open_source(recipe.processed_h5)
    return [np.stack([augment(source.images[row.source], row.product_id, row.position, row.copy, recipe.augment,
                              source.fill) for row in rows]) for rows in batches]


@lru_cache(maxsize=1)
def open_source(path: Path) -> Source:
    with layout.open_file(path, layout.PROCESSED) as file:
        red, green, blue = file.attrs["fill"].tolist()
        return Source(layout.mapped(file, "images"), (red, green, blue))


def batches(rows: list[Row], batch_rows: int) -> Iterator[list[Row]]:
    for start in range(0, len(rows), batch_rows):
        yield rows[start:start + batch_rows]


class Moments:
    """Exact sums of pixel values and their squares, per channel."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.sums = [0] * channels
        self.squares = [0] * channels

    def add(self, images: Pixels) -> None:
        """Take in images, uint8 (N, S, S, C)."""
        self.count += images[..., 0].size
        for channel in range(len(self.sums)):
            values = images[..., channel].astype(np.uint64)
            self.sums[channel] += int(values.sum())
            self.squares[channel] += int((values * values).sum())

    def mean(self) -> list[float]:
        return [total / self.count for total in self.sums]

    def std(self) -> list[float]:
        """Return the population standard deviations; integers up to the last step, so that order never matters."""
        return [math.sqrt(self.count * square - total * total) / self.count
                for square, total in zip(self.squares, self.sums, strict=True)]


def write_columns(file: h5py.File, subset: str, rows: list[Row]) -> None:
    """Write what a subset's rows are: labels, ids, positions, and of training rows which copy."""
    columns: dict[str, list[int]] = {"labels": [row.label for row in rows], "ids": [row.product_id for row in rows],
                                     "positions": [row.position for row in rows]}
    if subset == "train":
        columns["copies"] = [row.copy for row in rows]
    for name, values in columns.items():
        layout.add(file, f"{subset}_{name}", np.array(values).astype(layout.ROW_DTYPES[name]))


def write_images(images: h5py.Dataset, batched: Iterator[list[Row]], rendered: Iterator[list[Pixels | pool.Lost]],
                 plain: Moments) -> None:
    """Write the batches of pixels as they are rendered; copies 0 are summed up in `plain`."""
    start = 0
    with progress.bar(None, "build", len(images), unit="row") as bar:
        # `rendered` goes on with the next subset: zip ends at the last batch of this one and takes nothing more of it.
        for batch, (pixels,) in zip(batched, rendered, strict=False):
            if isinstance(pixels, pool.Lost):
                raise ImagesetError("a worker process died twice over the same rows, most often for want of memory: "
                                    "see the system's log, or set IMAGESET_WORKERS lower")
            images[start:start + len(batch)] = pixels
            plain.add(pixels[[row.copy == 0 for row in batch]])
            start += len(batch)
            bar.update(len(batch))
    assert start == len(images)


def write_dataset(path: Path, subsets: dict[str, list[Row]], label_map: pd.DataFrame, recipe: Recipe,
                  attributes: dict[str, Any]) -> None:
    """Write the dataset file, atomically."""
    image_shape = open_source(recipe.processed_h5).images.shape[1:]
    rows = sum(map(len, subsets.values()))
    files.require_space(path, rows * math.prod(image_shape))
    batch_rows = layout.block_rows(math.prod(image_shape))
    work = chain.from_iterable(batches(subset_rows, batch_rows) for subset_rows in subsets.values())
    moments = {subset: Moments(image_shape[-1]) for subset in subsets}
    with (Processes(settings.workers()) as engine, files.atomic(path) as temporary,
          layout.create(temporary, layout.DATASET) as file):
        rendered = pool.ordered_map(engine, partial(render, recipe=recipe), ([batch] for batch in work))
        for subset, subset_rows in subsets.items():
            write_columns(file, subset, subset_rows)
            images = layout.add_images(file, f"{subset}_images", (len(subset_rows), *image_shape))
            write_images(images, batches(subset_rows, batch_rows), rendered, moments[subset])
        pairs = [f"{label},{catalog_id}" for label, catalog_id in zip(label_map["label"], label_map["catalog_id"],
                                                                      strict=True)]
        layout.add(file, "label_map", np.array([pair.encode("ascii") for pair in pairs]))
        layout.add_text(file, "class_names", label_map["name"].tolist())
        layout.finish(file, content_digest=layout.content_digest(file), mean=moments["train"].mean(),
                      std=moments["train"].std(), **attributes)


def main(processed_h5: Path, catalog_csv: Path, label_map_csv: Path, split_csv: Path, dataset_h5: Path) -> None:
    chosen = params.load("build", BuildParams)
    chosen_augment = params.load("augment", AugmentParams)
    catalog = tables.read(catalog_csv, tables.CATALOG)
    split = tables.read(split_csv, tables.SPLIT)
    photos = catalog.merge(split, on=["product_id", "position"], validate="one_to_one")
    if not len(photos) == len(catalog) == len(split):
        raise DataError(f"{split_csv} and {catalog_csv} do not name the same photos: run `dvc repro`")
    subsets = {subset: arrange(photos[photos["subset"] == subset], chosen_augment.copies if subset == "train" else 1,
                               chosen.seed)
               for subset in layout.SUBSETS if subset != "validation" or (photos["subset"] == subset).any()}
    if not subsets["train"]:
        raise DataError(f"{split_csv} has no photo to train on")
    sections = json.dumps({"augment": chosen_augment.model_dump(), "build": chosen.model_dump()}, sort_keys=True)
    recipe = Recipe(processed_h5, chosen_augment)
    label_map = tables.read(label_map_csv, tables.LABEL_MAP).sort_values("label")
    write_dataset(dataset_h5, subsets, label_map, recipe, {"params": sections})
    counts = ", ".join(f"{len(rows)} {subset}" for subset, rows in subsets.items())
    print(f"build: {counts} rows, {dataset_h5.stat().st_size / 1e6:,.1f} MB")


if __name__ == "__main__":
    stage.run("build", main)
