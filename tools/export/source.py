"""What an export reads: the photos of dataset.h5 by subset, or those of processed.h5 that a catalog names."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5, tables
from imageset.formats.hdf5 import Indices, Pixels, RowColumns
from imageset.formats.images import Images, open_images
from imageset.formats.tables import Table
from imageset.runtime import progress

WITHOUT_SUBSETS = "photos"  # the name of what has no subsets
BATCH_BYTES = 1 << 20  # of pixels, read and encoded at a time


class Classes(NamedTuple):
    """Of each label, in order, the class's catalog_id and name."""

    catalog_ids: list[int]
    names: list[str]


class Subset(NamedTuple):
    """The photos of a subset; images: where their pixels are, (N, S, S, C); places: theirs in it, ascending."""

    name: str
    images: Images
    places: Indices
    rows: RowColumns

    @property
    def image_shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape[1:])

    def column(self, name: str) -> NDArray[Any]:
        """Return a column by its name in hdf5.ROW_DTYPES."""
        values: NDArray[Any] = getattr(self.rows, name)
        return values.astype(hdf5.ROW_DTYPES[name], copy=False)


class Source(NamedTuple):
    """What is exported; digest: of all of it, pixels too; left_out: how many photos of the file are not."""

    digest: str
    classes: Classes
    subsets: list[Subset]
    left_out: int = 0

    @property
    def total(self) -> int:
        return sum(subset.rows.total for subset in self.subsets)


@contextmanager
def open_source(path: Path) -> Iterator[h5py.File]:
    """Yield dataset.h5 or processed.h5, whichever it is. Raises DataError for all else, and for what is damaged."""
    try:
        with h5py.File(path, "r") as file:
            kind = file.attrs.get("format")
    except hdf5.HDF5_ERRORS:  # open_file says what is wrong
        kind = None
    with hdf5.open_file(path, hdf5.PROCESSED if kind == hdf5.PROCESSED else hdf5.DATASET) as file:
        yield file


def of_dataset(file: h5py.File, wanted: str | None, with_copies: bool) -> Source:
    """Return a dataset's photos, of all subsets or of the wanted one. Raises DataError when it has not that one."""
    held = hdf5.subsets(file)
    if wanted is not None and wanted not in held:
        raise DataError(f"{file.filename} has no {wanted} subset, but {', '.join(held)}")
    with hdf5.reading(file.filename):
        subsets = [dataset_subset(file, name, with_copies) for name in held if wanted in (None, name)]
        classes = Classes(hdf5.catalog_ids(file), file["class_names"].asstr()[:].tolist())
        require_whole(file, classes, subsets)
        content = content_digest(file)
        if content != file.attrs["content_digest"]:
            raise DamagedFile(file.filename, "does not hold what its content_digest says")
    return Source(f"{content} {digest(classes, subsets)}", classes, subsets)


def dataset_subset(file: h5py.File, name: str, with_copies: bool) -> Subset:
    """Return a subset's photos, with their augmented copies or without."""
    rows, images = hdf5.read_rows(file, name), open_images(file, f"{name}_images")
    if {len(values) for values in vars(rows).values()} != {images.shape[0]}:
        raise DamagedFile(file.filename, f"is damaged (arrays of {name} differ in length)")
    places = np.arange(rows.total) if with_copies else np.flatnonzero(rows.copies == 0)
    return Subset(name, images, places, rows.take(places))


def require_whole(file: h5py.File, classes: Classes, subsets: list[Subset]) -> None:
    """Raise DataError when a label is no class's, a photo comes twice, or images are neither grayscale nor rgb."""
    labels = np.concatenate([subset.rows.labels for subset in subsets])
    count = len(classes.names)
    problem = ""
    if len(classes.catalog_ids) != count or ((labels < 0) | (labels >= count)).any():
        problem = "labels without a class"
    for subset in subsets:
        key = {"product_id": subset.rows.ids, "position": subset.rows.positions, "copy": subset.rows.copies}
        if pd.DataFrame(key).duplicated().any():
            problem = f"a photo of {subset.name} comes twice"
        if subset.image_shape[-1] not in (1, 3) or 0 in subset.image_shape:
            problem = f"images of {subset.name} are {subset.image_shape}, neither grayscale nor rgb"
    if problem:
        raise DamagedFile(file.filename, f"is damaged ({problem})")


def of_processed(file: h5py.File, catalog_csv: Path, label_map_csv: Path) -> Source:
    """Return the photos that a catalog names, each once. Raises DataError when the tables are of other photos."""
    catalog = read_table(catalog_csv, tables.CATALOG).sort_values("row")
    label_map = read_table(label_map_csv, tables.LABEL_MAP)
    classes = Classes(label_map["catalog_id"].tolist(), label_map["name"].tolist())
    known = dict(enumerate(classes.catalog_ids))
    if label_map["label"].tolist() != list(known) or (catalog["label"].map(known) != catalog["catalog_id"]).any():
        raise DataError(f"{catalog_csv} and {label_map_csv} have other classes: run `dvc repro`")
    places, ids, positions, labels = (catalog[name].to_numpy() for name in ("row", "product_id", "position", "label"))
    with hdf5.reading(file.filename):
        hdf5.require_photos(file, places, ids, positions)
        rows = RowColumns(ids, positions, np.zeros(len(places), np.int16), labels)
        subset = Subset(WITHOUT_SUBSETS, open_images(file, "images"), places, rows)
        require_whole(file, classes, [subset])
        left_out = len(file["ids"]) - len(places)
        content = content_digest(file)
    return Source(f"{content} {digest(classes, [subset])}", classes, [subset], left_out)


def read_table(path: Path, table: Table) -> pd.DataFrame:
    try:
        return tables.read(path, table)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: run `dvc repro`, or name another") from None


def content_digest(file: h5py.File) -> str:
    """Return hdf5.content_digest of a file; says how far it is."""
    found = hashlib.sha256()
    images = {name: len(file[name]) for name in file if name.endswith("images")}
    with progress.bar(None, "check", sum(images.values()), unit="row") as bar:
        for name, _, values in hdf5.digested(file, found):
            bar.update(len(values) if name in images else 0)
    return found.hexdigest()


def digest(classes: Classes, subsets: list[Subset]) -> str:
    """Return a sha256 over what is chosen, all but the pixels."""
    found = hashlib.sha256(repr(classes).encode())
    for subset in subsets:
        rows = subset.rows
        found.update(repr((subset.name, subset.image_shape, rows.total)).encode())
        for values in (subset.places, rows.labels, rows.ids, rows.positions, rows.copies):
            found.update(np.ascontiguousarray(values, np.int64).tobytes())
    return found.hexdigest()


def pixel_batches(subset: Subset) -> Iterator[Pixels]:
    """Yield the pixels of a subset in order, uint8 (n, S, S, C), BATCH_BYTES or one photo at a time."""
    step = max(1, BATCH_BYTES // math.prod(subset.image_shape))
    for start in range(0, subset.rows.total, step):
        places = subset.places[start : start + step]
        pixels = np.empty((len(places), *subset.image_shape), np.uint8)
        subset.images.gather(places, pixels)
        yield pixels
