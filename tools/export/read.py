"""Read what to export: the photos of dataset.h5 by subset, or those of processed.h5 that a catalog names."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5, row_checksums, source_ids, tables
from imageset.formats.hdf5 import RowColumns
from imageset.formats.images import open_images
from imageset.formats.tables import Table
from imageset.runtime import progress
from tools.export.source import WITHOUT_SUBSETS, Classes, Source, Subset


@contextmanager
def open_source(path: Path) -> Iterator[h5py.File]:
    """Open dataset.h5 or processed.h5. Raises DataError for any other file, and for a damaged one."""
    try:
        with hdf5.open_locked(path) as file:
            kind = file.attrs.get("format")
    except (*hdf5.HDF5_ERRORS, DataError):  # open_file says what is wrong
        kind = None
    is_processed = kind == hdf5.PROCESSED
    with row_checksums.open_file(path, kind) if is_processed else hdf5.open_file(path, hdf5.DATASET) as file:
        yield file


def read_dataset(file: h5py.File, wanted: str | None, with_copies: bool) -> Source:
    """Read the photos of dataset.h5.

    Args:
        file: The open file.
        wanted: The one subset to read; None for all.
        with_copies: Whether augmented copies are read, too.

    Raises:
        DataError: The file is damaged, or lacks the subset.
    """
    held = hdf5.subsets(file)
    if wanted is not None and wanted not in held:
        raise DataError(f"{file.filename} has no {wanted} subset, but {', '.join(held)}")
    with hdf5.reading(file.filename):
        hdf5.require_equal_lengths(file)
        subsets = [read_subset(file, name, with_copies) for name in held if wanted in (None, name)]
        names = file["class_names"].asstr()[:].tolist()
        classes = Classes(hdf5.catalog_ids(file), names, list(map(str, hdf5.class_ids(file))))
        require_whole(file, classes, subsets)
        content = hdf5.require_digest(file)
    return Source(f"{content} {digest(classes, subsets)}", classes, subsets)


def read_subset(file: h5py.File, name: str, with_copies: bool) -> Subset:
    """Read the photos of a subset, with their augmented copies or without."""
    rows, images = hdf5.read_rows(file, name), open_images(file, f"{name}_images")
    further = read_further(file, name, rows)
    if {len(values) for values in (*vars(rows).values(), *further.values())} != {images.shape[0]}:
        raise DamagedFile(file.filename, f"is damaged (arrays of {name} differ in length)")
    places = np.arange(rows.total) if with_copies else np.flatnonzero(rows.copies == 0)
    return Subset(
        name, images, places, rows.take(places), {column: values[places] for column, values in further.items()}
    )


def read_further(file: h5py.File, name: str, rows: RowColumns) -> dict[str, NDArray[Any]]:
    """Return what a subset's rows have besides RowColumns, as Subset.further. A file of version 1 has no groups."""
    of_text, of_group = f"{name}_source_ids", f"{name}_groups"
    further = {"source_id": hdf5.read_text(file, of_text) if of_text in file else rows.ids.astype(str).astype(object)}
    if of_group in file:
        further["group"] = file[of_group][:]
    columns = hdf5.column_names(file)
    return further | {column: hdf5.read_text(file, f"{name}{hdf5.COLUMN}{column}") for column in columns}


def require_whole(file: h5py.File, classes: Classes, subsets: list[Subset]) -> None:
    """Raise DamagedFile if a label has no class, a photo comes twice, or images are neither grayscale nor RGB."""
    labels = np.concatenate([subset.rows.labels for subset in subsets])
    count = len(classes.names)
    problem = ""
    if not len(classes.catalog_ids) == len(classes.ids) == count or ((labels < 0) | (labels >= count)).any():
        problem = "labels without a class"
    for subset in subsets:
        key = {"product_id": subset.rows.ids, "position": subset.rows.positions, "copy": subset.rows.copies}
        if pd.DataFrame(key).duplicated().any():
            problem = f"a photo of {subset.name} comes twice"
        if subset.image_shape[-1] not in (1, 3) or 0 in subset.image_shape:
            problem = f"images of {subset.name} are {subset.image_shape}, neither grayscale nor rgb"
    if problem:
        raise DamagedFile(file.filename, f"is damaged ({problem})")


def read_processed(file: h5py.File, catalog_csv: Path, label_map_csv: Path) -> Source:
    """Read the photos of processed.h5 that a catalog names, as one subset.

    Raises:
        DataError: A table is missing, the tables do not fit each other or the file, or the file is damaged.
    """
    catalog = read_table(catalog_csv, tables.CATALOG).sort_values("row")
    label_map = read_table(label_map_csv, tables.LABEL_MAP)
    class_ids = source_ids.texts(label_map["catalog_id"]).tolist()
    classes = Classes(label_map["catalog_id"].tolist(), label_map["name"].tolist(), class_ids)
    known = dict(enumerate(classes.catalog_ids))
    if label_map["label"].tolist() != list(known) or (catalog["label"].map(known) != catalog["catalog_id"]).any():
        raise DataError(f"{catalog_csv} and {label_map_csv} have different classes: run `dvc repro`")
    places, ids, positions, labels = (catalog[name].to_numpy() for name in ("row", "product_id", "position", "label"))
    with hdf5.reading(file.filename):
        hdf5.require_photos(file, places, ids, positions)
        rows = RowColumns(ids, positions, np.zeros(len(places), np.int16), labels)
        further = {
            "source_id": source_ids.texts(catalog["product_id"]).to_numpy(object),
            "group": catalog["group"].to_numpy(),
        }
        subset = Subset(WITHOUT_SUBSETS, open_images(file, "images"), places, rows, further)
        require_whole(file, classes, [subset])
        left_out = len(file["ids"]) - len(places)
        content = content_digest(file, row_checksums.Rows(file))
    return Source(f"{content} {digest(classes, [subset])}", classes, [subset], left_out)


def read_table(path: Path, table: Table) -> pd.DataFrame:
    """Read a table. Raises DataError when it is missing."""
    try:
        return tables.read(path, table)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: run `dvc repro`, or name another") from None


def content_digest(file: h5py.File, checked: row_checksums.Rows | None = None) -> str:
    """Return hdf5.content_digest of a file, with a progress line.

    checked: the images, if they have checksums; these are compared. Raises DamagedFile.
    """
    found = hashlib.sha256()
    images = {name: len(file[name]) for name in file if name.endswith("images")}
    with progress.bar(None, "check", sum(images.values()), unit="row") as bar:
        for name, block, values in hdf5.digested(file, found):
            if checked and name == checked.array.name.removeprefix("/"):
                checked.require(block, values)
            bar.update(len(values) if name in images else 0)
    return found.hexdigest()


def digest(classes: Classes, subsets: list[Subset]) -> str:
    """Return a sha256 over the chosen classes and rows, without their pixels."""
    found = hashlib.sha256(repr(classes).encode())
    for subset in subsets:
        rows = subset.rows
        found.update(repr((subset.name, subset.image_shape, rows.total)).encode())
        for values in (subset.places, rows.labels, rows.ids, rows.positions, rows.copies):
            found.update(np.ascontiguousarray(values, np.int64).tobytes())
        for name, values in subset.further.items():
            found.update(f"{name} {json.dumps(values.tolist())}".encode())
    return found.hexdigest()
