"""The sheets of photos in reports/, as PNG bytes."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from imageset.formats import hdf5
from imageset.report import plots

COLUMNS = 10
AUGMENTED_PHOTOS = 8
MOST_COPIES = 10
PAIRS = 20


def draw_samples(file: h5py.File, wanted: int) -> bytes:
    """Return samples.png: training photos, each with the name, label and catalog_id of its class above it."""
    plain = np.flatnonzero(file["train_copies"][:] == 0)
    rows = plain[sample_rows(file["train_labels"][:][plain], wanted)]
    images, labels = hdf5.pick(file["train_images"], rows), file["train_labels"][:][rows]
    names, pairs = file["class_names"].asstr()[:], file["label_map"][:]
    captions = [f"{names[label]}\nlabel {label}, catalog {pairs[label].decode().partition(',')[2]}" for label in labels]
    return plots.sheet(list(images), captions, COLUMNS)


def sample_rows(labels: np.ndarray[Any, Any], wanted: int) -> list[int]:
    """Return up to `wanted` rows, by label: the first row of every label, then the second of every label, and so on."""
    order = pd.Series(labels).groupby(labels).cumcount().to_numpy()
    first = np.lexsort((labels, order))[:wanted]
    return sorted(first.tolist(), key=lambda row: (labels[row], row))


def draw_augmented(file: h5py.File) -> bytes:
    """Return augmented.png: a photo a line, then as many of its copies as all photos have."""
    table = pd.DataFrame(
        {"id": file["train_ids"][:], "position": file["train_positions"][:], "copy": file["train_copies"][:]}
    )
    originals = table[table["copy"] == 0].head(AUGMENTED_PHOTOS)[["id", "position"]].reset_index(names="place")
    rows = originals.merge(table.reset_index(names="row"), on=["id", "position"])
    columns = min(int(rows.groupby("place").size().min()), MOST_COPIES)
    photos = rows[rows["copy"] < columns].sort_values(["place", "copy"])
    captions = [
        f"{product_id}\n{'the photo' if not copy else f'copy {copy}'}"
        for product_id, copy in zip(photos["id"], photos["copy"], strict=True)
    ]
    return plots.sheet(list(hdf5.pick(file["train_images"], photos["row"])), captions, columns)


def draw_look_alikes(pairs: pd.DataFrame, thumbnails_h5: Path) -> bytes:
    """Return near_duplicates.png: the two photos of each pair side by side, the least alike pair first."""
    with hdf5.open_file(thumbnails_h5, hdf5.THUMBNAILS) as file:
        rows = {
            key: row for row, key in enumerate(zip(file["ids"][:].tolist(), file["positions"][:].tolist(), strict=True))
        }
        images = hdf5.mapped(file, "images")
    sheet, captions = [], []
    for *keys, likeness in pairs.sort_values("likeness").head(PAIRS).itertuples(index=False):
        for number, (product_id, position) in enumerate(zip(keys[::2], keys[1::2], strict=True)):
            sheet.append(images[rows[product_id, position]])
            captions.append(
                f"{product_id}{f', photo {position}' if position else ''}\n{'' if number else f'likeness {likeness}'}"
            )
    return plots.sheet(sheet, captions, COLUMNS)
