"""Make a large project of a small one: each photo again and again, a little different, in many more classes.

What stage page reads is made. The photos, masks and pixels of copies are moved by some pixels, so that no two are
equal and all compress like real ones.
"""

import io
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from imageset.formats import hdf5, row_checksums, tables
from imageset.formats.mask_rows import MaskRows
from imageset.formats.preview_file import PreviewRows, writing_previews
from imageset.formats.tables import Table
from imageset.photos.mask_file import MEASURED, writing_masks
from imageset.photos.masks import describe_mask
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.photos.previews import make_preview
from imageset.report.figures import STAGE_TABLES
from imageset.storage.bucket import StoredObject
from stages.page import OF_SHOWN

MORE_TABLES = {"labels": tables.LABELS, "groups": tables.GROUPS, "suspects": tables.SUSPECTS}
MORE_TABLES |= {name: table for name, (table, _) in OF_SHOWN.items()}
TABLES: dict[str, Table] = {  # of photos and products, which are repeated; the other tables stay as they are
    name: table
    for name, table in (STAGE_TABLES | MORE_TABLES).items()
    if table.columns.get("product_id", "string") != "string"
}
STEP = 10**9  # between the product ids of a photo and its copy
COPIED_FILES = (
    *("params.yaml", "data/listings_rejects.csv", "data/validation.json"),
    *("reports/baseline.json", "reports/leakage.json"),
)
AUGMENTED = 8  # photos with copies in the training rows
SHIFT = 3  # pixels


class Repeated:
    """How photos and classes repeat."""

    def __init__(self, data: Path, photos: int, classes: int) -> None:
        names = tables.read(data / "inventory.csv", tables.INVENTORY)["product_id"].tolist()
        label_map = tables.read(data / "label_map.csv", tables.LABEL_MAP)
        self.turns = math.ceil(photos / len(names))
        self.of_class = max(1, round(classes / len(label_map)))
        self.known = set(names)
        self.left_out = set(sorted(names)[len(names) - (self.turns * len(names) - photos) :])

    def has(self, product_id: int, turn: int) -> bool:
        """Return whether the copy of a product is there: the last turn has fewer."""
        return turn + 1 < self.turns or product_id not in self.left_out

    def part(self, product_ids: pd.Series, turn: int) -> pd.Series:
        """Return which of the classes that come of one each product is in."""
        return (product_ids % 9973 + turn) % self.of_class

    def rows(self, frame: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
        """Yield the rows of each turn, with the product ids that they had."""
        for turn in range(self.turns):
            kept = [self.has(product_id, turn) for product_id in frame["product_id"]]
            yield turn, frame[np.array(kept, bool)]

    def table(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the rows of all copies."""
        if name == "suspects":
            frame = frame[frame["kind"] != "class"]
        made = []
        for turn, rows in self.rows(frame):
            part = self.part(rows["product_id"], turn)
            changed = {"product_id": rows["product_id"] + STEP * turn}
            for column in ("catalog_id", "suggestion", "other_class"):
                if column in rows:
                    changed[column] = rows[column] * self.of_class + part
            for column in ("label", "answer"):
                if column in rows:
                    changed[column] = rows[column] * self.of_class + part
            for column in ("other_product_id", "group"):
                if column in rows:
                    changed[column] = rows[column] + STEP * turn
            if "key" in rows:
                changed["key"] = f"{turn}/" + rows["key"]
            made.append(rows.assign(**changed))
        repeated = pd.concat(made, ignore_index=True)
        if name == "suspects":
            repeated["rank"] = repeated.sort_values("rank", kind="stable").groupby("kind").cumcount() + 1
        return repeated

    def classes(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a table of classes with the classes that come of each."""
        made = []
        for part in range(self.of_class):
            changed = {"catalog_id": frame["catalog_id"] * self.of_class + part, "name": frame["name"] + f" {part + 1}"}
            for column in ("label", "parent_id"):
                if column in frame:
                    changed[column] = frame[column] * self.of_class + part
            made.append(frame.assign(**changed))
        return pd.concat(made, ignore_index=True)


def repeat_project(project: Path, folder: Path, photos: int, classes: int) -> None:
    """Write what stage page reads.

    Args:
        project: in which `dvc repro` ran.
        folder: gets the larger project.
        photos: how many it has.
        classes: how many it has; a multiple of the project's, up to rounding.
    """
    source, target = project / "data", folder / "data"
    for name in ("data", "reports", "corrections"):
        (folder / name).mkdir(parents=True)
    for name in COPIED_FILES:
        shutil.copy(project / name, folder / name)
    for path in (project / "corrections").glob("*.csv"):
        shutil.copy(path, folder / "corrections")
    repeated = Repeated(source, photos, classes)
    for name, table in TABLES.items():
        tables.write(target / f"{name}.csv", table, repeated.table(name, tables.read(source / f"{name}.csv", table)))
    for name, table in {"label_map": tables.LABEL_MAP, "classes": tables.CLASSES}.items():
        tables.write(target / f"{name}.csv", table, repeated.classes(tables.read(source / f"{name}.csv", table)))
    repeat_previews(source / "previews.h5", target / "previews.h5", repeated)
    repeat_masks(source / "masks.h5", target / "masks.h5", repeated)
    repeat_arrays(source / "processed.h5", target / "processed.h5", hdf5.PROCESSED, "images", repeated)
    repeat_arrays(source / "components.h5", target / "components.h5", hdf5.COMPONENTS, "components", repeated)
    repeat_dataset(source / "dataset.h5", target, repeated)


def kept_rows(file: h5py.File, repeated: Repeated) -> Iterator[tuple[int, int, int, int]]:
    """Yield the turn, the row, the new product id and the position of each copy."""
    names = list(zip(file["ids"][:].tolist(), file["positions"][:].tolist(), strict=True))
    for turn in range(repeated.turns):
        for row, (product_id, position) in enumerate(names):
            if repeated.has(product_id, turn):
                yield turn, row, product_id + STEP * turn, position


def repeat_previews(source: Path, target: Path, repeated: Repeated) -> None:
    """Write previews.h5: those of copies are moved."""
    with row_checksums.open_file(source, hdf5.PREVIEWS) as file, writing_previews(target) as add:
        originals = PreviewRows(file)
        for turn, row, product_id, position in kept_rows(file, repeated):
            preview = originals.read(row)
            if turn:
                with Image.open(io.BytesIO(preview)) as photo:
                    preview = make_preview(Image.fromarray(moved(np.asarray(photo.convert("RGB")), turn)))
            add(product_id, position, preview)


def repeat_masks(source: Path, target: Path, repeated: Repeated) -> None:
    """Write masks.h5: those of copies are moved."""
    with row_checksums.open_file(source, hdf5.MASKS) as file:
        masks = MaskRows(file)
        rows = list(kept_rows(file, repeated))
        side = masks.shape[1]
        columns = {name: file[name][:] for name in (*MEASURED, "reasons")}
        with writing_masks(target, len(rows), side, str(file.attrs["recipe"])) as add:
            for turn, row, product_id, position in rows:
                stored = StoredObject(f"{turn}/{row}", "etag", 1, "")
                reason = columns["reasons"][row].decode()
                if reason:
                    add(product_id, position, stored, Rejected(reason))
                    continue
                found = describe_mask(Image.fromarray(moved(masks.read(row), turn)), int(columns["photo_pixels"][row]))
                add(product_id, position, stored, found if isinstance(found, PhotoMask) else Rejected("mask_empty"))


def repeat_arrays(source: Path, target: Path, kind: str, name: str, repeated: Repeated) -> None:
    """Write processed.h5 or components.h5: those of copies are moved."""
    with row_checksums.open_file(source, kind) as file, hdf5.create(target, kind) as made:
        rows = list(kept_rows(file, repeated))
        values = row_checksums.Rows(file)[:]
        array = np.stack([moved(values[row], turn) for turn, row, *_ in rows])
        hdf5.add(made, name, array)
        hdf5.add(made, "ids", np.array([product_id for *_, product_id, _ in rows], np.int64))
        hdf5.add(made, "positions", np.array([position for *_, position in rows], np.int16))
        row_checksums.finish(made)


def repeat_dataset(source: Path, data: Path, repeated: Repeated) -> None:
    """Write dataset.h5: the photos of processed.h5, and copies of the first ones, which are the same."""
    photos = tables.read(data / "catalog.csv", tables.CATALOG).merge(
        tables.read(data / "split.csv", tables.SPLIT), on=["product_id", "position"]
    )
    with (
        hdf5.open_file(source, hdf5.DATASET) as file,
        row_checksums.open_file(data / "processed.h5", hdf5.PROCESSED) as processed,
        hdf5.create(data / "dataset.h5", hdf5.DATASET) as made,
    ):
        names = pd.MultiIndex.from_arrays([processed["ids"][:], processed["positions"][:].astype(np.int64)])
        for subset, rows in photos.sample(frac=1, random_state=0).groupby("subset", sort=False):
            copies = np.repeat(np.arange(6 if subset == "train" else 1), AUGMENTED)[AUGMENTED:]
            rows = pd.concat([rows, *[rows.head(AUGMENTED)] * (len(copies) // AUGMENTED)])
            places = names.get_indexer(pd.MultiIndex.from_frame(rows[["product_id", "position"]]))
            images = hdf5.add_images(made, f"{subset}_images", (len(rows), *processed["images"].shape[1:]))
            for number, place in enumerate(places):
                images[number] = processed["images"][place]
            for column, name, kind in (("product_id", "ids", "int64"), ("position", "positions", "int16")):
                hdf5.add(made, f"{subset}_{name}", rows[column].to_numpy().astype(kind))
            hdf5.add(made, f"{subset}_labels", rows["label"].to_numpy())
            if subset == "train":
                of_rows = np.concatenate([np.zeros(len(rows) - len(copies), np.int64), copies])
                hdf5.add(made, "train_copies", of_rows.astype(np.int16))
        kept = {name: value for name, value in file.attrs.items() if not name.startswith(("format", "complete"))}
        hdf5.finish(made, **kept)


def moved(values: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """Return an image, a mask or numbers, moved by some places."""
    return np.roll(values, turn * SHIFT, axis=tuple(range(min(values.ndim, 2))))
