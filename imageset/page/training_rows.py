"""Pictures out of dataset.h5: the mean photo of each class, and training photos beside their augmented copies."""

from collections.abc import Iterator, Sequence
from itertools import islice

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from imageset.formats import hdf5
from imageset.formats.photo_places import match_rows
from imageset.page.picture_files import picture_of

MOST_PHOTOS = 1000  # of a class: its mean does not change visibly with more
AUGMENTED_PHOTOS = 8
MOST_COPIES = 5


def mean_pictures(dataset: h5py.File, labels: Sequence[int]) -> Iterator[Image.Image]:
    """Yield the mean of the training photos of each label, without copies. One photo at a time is in memory.

    The rows of dataset.h5 are in random order, so MOST_PHOTOS of them are a sample.

    Args:
        dataset: dataset.h5.
        labels: of classes with training photos, from `labels_with_photos`.
    """
    with hdf5.reading(dataset.filename):
        plain = np.flatnonzero(dataset["train_copies"][:] == 0)
        own = dataset["train_labels"][:][plain]
        images = dataset["train_images"]
        for label in labels:
            rows = plain[own == label][:MOST_PHOTOS]
            total = np.zeros(images.shape[1:], np.uint32)
            for row in rows:
                total += hdf5.pick(images, [row])[0]
            yield picture_of(((total + len(rows) // 2) // len(rows)).astype(np.uint8))


def labels_with_photos(dataset: h5py.File) -> list[int]:
    """Return the labels that training photos have, ascending."""
    with hdf5.reading(dataset.filename):
        return [int(label) for label in np.unique(dataset["train_labels"][:])]


def augmented_rows(dataset: h5py.File, photos: pd.DataFrame) -> list[tuple[int, list[int]]]:
    """Return training photos with the rows of the photo itself and of its first copies. None where nothing is copied.

    Args:
        dataset: dataset.h5.
        photos: product_id and position of each photo of the page.
    """
    with hdf5.reading(dataset.filename):
        copies = dataset["train_copies"][:]
        matches = match_rows(dataset["train_ids"], dataset["train_positions"], photos)
        parts = [pd.DataFrame({"photo": places, "copy": copies[rows]}, rows) for rows, places in matches]
    table = pd.concat(parts)
    rows = table[table["copy"] <= MOST_COPIES].sort_values("copy", kind="stable")
    chosen = ((int(photo), found.tolist()) for photo, found in rows.groupby("photo", sort=False).groups.items())
    return list(islice((each for each in chosen if len(each[1]) > 1), AUGMENTED_PHOTOS))


def row_pictures(dataset: h5py.File, rows: NDArray[np.int64] | Sequence[int]) -> Iterator[Image.Image]:
    """Yield training rows as pictures."""
    with hdf5.reading(dataset.filename):
        images = dataset["train_images"]
        for row in rows:
            yield picture_of(hdf5.pick(images, [int(row)])[0])
