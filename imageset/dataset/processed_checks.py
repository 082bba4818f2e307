"""Checks of a dataset file's pixels against processed.h5."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from imageset.dataset import verify
from imageset.dataset.check import Check, check_result
from imageset.dataset.photo_rows import SubsetRows
from imageset.dataset.render import RenderRecipe, SourceRows, render
from imageset.dataset.table_checks import find_places
from imageset.formats import hdf5, row_checksums
from imageset.runtime.sections import AugmentParams

COPIES_TO_RENDER = 200


def hash_processed(path: Path) -> NDArray[np.uint64]:
    """Return a hash of the pixels of each photo in processed.h5, (N, 2)."""
    with row_checksums.open_file(path, hdf5.PROCESSED) as file:
        images = row_checksums.Rows(file)
        return verify.as_numbers(b"".join(verify.pixel_hashes(images[block]) for block in hdf5.blocks(images.array)))


def pixels_as_processed(
    rows: SubsetRows, found: NDArray[np.uint64], photos: pd.DataFrame, processed: NDArray[np.uint64]
) -> Check:
    """Every photo has the pixels that it has in processed.h5.

    Args:
        rows: the rows of the file.
        found: a hash of the pixels of each row, (N, 2).
        photos: the catalog.
        processed: a hash of the pixels of each row of processed.h5.
    """
    plain = np.flatnonzero(rows.copies == 0)
    places = find_places(rows.take(plain), photos)
    plain, sources = plain[places >= 0], photos["row"].to_numpy()[places[places >= 0]]
    wrong = (found[plain] != processed[sources]).any(axis=1)
    return check_result("pixels_as_processed", len(plain), plain[wrong], rows.describe)


def copies_as_rendered(file: h5py.File, rows: SubsetRows, photos: pd.DataFrame, processed_h5: Path) -> Check:
    """The first augmented rows, up to COPIES_TO_RENDER, have the pixels that augmenting their photos gives again."""
    try:
        augment = AugmentParams(**json.loads(file.attrs["params"])["augment"])
    except ValidationError as error:  # of another version of the project
        return Check("copies_as_rendered", 0, 1, [f"params are not ours: {hdf5.one_line(error)[:200]}"])
    some = np.flatnonzero(rows.copies > 0)[:COPIES_TO_RENDER]  # train comes first: these are rows of its arrays
    places = find_places(rows.take(some), photos)
    some, sources = some[places >= 0], photos["row"].to_numpy()[places[places >= 0]]
    if not len(some):
        return Check("copies_as_rendered", 0, 0, [])
    wanted = SourceRows(rows.ids[some], rows.positions[some], rows.copies[some], rows.labels[some], sources)
    (rendered,) = render([wanted], RenderRecipe(processed_h5, augment))
    with hdf5.reading(file.filename):
        wrong = [
            row
            for row, pixels in zip(some.tolist(), rendered, strict=True)
            if not np.array_equal(hdf5.pick(file["train_images"], [row])[0], pixels)
        ]
    return check_result("copies_as_rendered", len(some), np.array(wrong, np.int64), rows.describe)
