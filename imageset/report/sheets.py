"""The sheets of photos in reports/, as PNG bytes."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from imageset.formats import hdf5, row_checksums, source_ids
from imageset.formats.photo_places import find_rows
from imageset.report import plots
from imageset.report.lettering import class_captions, drawable

COLUMNS = 10
AUGMENTED_PHOTOS = 8
MOST_COPIES = 10
PAIRS = 20


def draw_samples(file: h5py.File, wanted: int) -> bytes:
    """Return samples.png: photos of each subset, with the name, label and catalog_id of its class above each.

    The catalog_id is left out where it is the name, or where the font lacks its letters.

    wanted: photos in all; each subset gets the same number of them.
    """
    names = class_captions(file)
    numbers = [
        describe_class(name, label, str(class_id))
        for label, (name, class_id) in enumerate(zip(names, hdf5.class_ids(file), strict=True))
    ]
    subsets = hdf5.subsets(file)
    parts = []
    for subset in subsets:
        rows = hdf5.read_rows(file, subset)
        plain = np.flatnonzero(rows.copies == 0)
        sample = plain[sample_rows(rows.labels[plain], max(1, wanted // len(subsets)))]
        captions = [f"{names[label]}\n{numbers[label]}" for label in rows.labels[sample].tolist()]
        images = list(hdf5.pick(file[f"{subset}_images"], sample)) if len(sample) else []
        parts.append(plots.Part(f"{subset}: {len(sample)} of {len(plain):,} photos", images, captions))
    return plots.sheet_of_parts(parts, COLUMNS)


def describe_class(name: str, label: int, catalog_id: str) -> str:
    """Return the label and the catalog_id of a class, as far as a picture can show it and its name does not say it."""
    its_id = drawable(catalog_id)
    return f"label {label}" + (f", catalog {its_id}" if its_id and name != its_id else "")


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
        f"{drawable(source_ids.text(product_id))}\n{'the photo' if not copy else f'copy {copy}'}"
        for product_id, copy in zip(photos["id"], photos["copy"], strict=True)
    ]
    return plots.sheet(list(hdf5.pick(file["train_images"], photos["row"])), captions, columns)


def draw_look_alikes(pairs: pd.DataFrame, thumbnails_h5: Path) -> bytes:
    """Return near_duplicates.png: the two photos of each pair side by side, the least alike pair first."""
    sheet: list[hdf5.Pixels] = []
    captions = []
    with row_checksums.open_file(thumbnails_h5, hdf5.THUMBNAILS) as file:
        shown_pairs = list(pairs.sort_values("likeness").head(PAIRS).itertuples(index=False))
        names = list(dict.fromkeys(name for *keys, _ in shown_pairs for name in (tuple(keys[:2]), tuple(keys[2:]))))
        photos = pd.DataFrame(names, columns=["product_id", "position"])
        rows = dict(zip(names, find_rows(file, photos).tolist(), strict=True))
        images = row_checksums.Rows(file)
        for *keys, likeness in shown_pairs:
            for number, (product_id, position) in enumerate(zip(keys[::2], keys[1::2], strict=True)):
                sheet.append(images[rows[product_id, position]])
                captions.append(
                    f"{drawable(source_ids.text(product_id))}{f', photo {position}' if position else ''}\n"
                    f"{'' if number else f'likeness {likeness}'}"
                )
    shown = len(sheet) // 2
    heading = f"{shown} of {len(pairs):,} pairs, the least alike first" if shown else "no pairs of near-duplicates"
    return plots.sheet_of_parts([plots.Part(heading, sheet, captions)], COLUMNS)
