"""The files that the page's pictures come from, opened together, and the pictures of one photo out of them."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from imageset.formats import hdf5, row_checksums
from imageset.formats.mask_rows import MaskRows
from imageset.formats.photo_places import find_known_rows, require_photos
from imageset.formats.preview_file import PreviewRows


class PicturePaths(NamedTuple):
    """The files that stages preprocess, masks and build wrote."""

    previews_h5: Path
    masks_h5: Path
    processed_h5: Path
    dataset_h5: Path


class PictureFiles:
    """Opened files, and the row of each photo of the page in them, -1 where it has none."""

    def __init__(self, previews: h5py.File, masks: h5py.File, processed: h5py.File, photos: pd.DataFrame) -> None:
        self.previews, self.masks, self.processed = (
            PreviewRows(previews),
            MaskRows(masks),
            row_checksums.Rows(processed),
        )
        self.preview_rows = find_known_rows(previews, photos)
        self.result_rows = find_known_rows(processed, photos)
        self.mask_rows = find_known_rows(masks, photos)
        with hdf5.reading(masks.filename):
            is_masked = masks["reasons"][:] == b""
        found = self.mask_rows >= 0
        self.mask_rows[found] = np.where(is_masked[self.mask_rows[found]], self.mask_rows[found], -1)

    def original(self, photo: int) -> Image.Image:
        """Return the preview of a photo, RGB."""
        with hdf5.reading(self.previews.path):
            return Image.open(io.BytesIO(self.previews.read(int(self.preview_rows[photo])))).convert("RGB")

    def mask(self, photo: int) -> Image.Image | None:
        """Return the mask of a photo, gray, a square that is to be stretched over it. None where it has none."""
        if self.mask_rows[photo] < 0:
            return None
        return Image.fromarray(self.masks.read(int(self.mask_rows[photo])))

    def result(self, photo: int) -> Image.Image | None:
        """Return a photo's pixels in the dataset, RGB or gray. None where it has none."""
        if self.result_rows[photo] < 0:
            return None
        return picture_of(self.processed[int(self.result_rows[photo])])


@contextmanager
def open_pictures(paths: PicturePaths, names: Sequence[tuple[int, int]]) -> Iterator[PictureFiles]:
    """Open the files of photos' pictures.

    Args:
        paths: of the files.
        names: product_id and position of each photo.

    Raises:
        DataError: a file is missing, of another format or version, or damaged.
    """
    with (
        row_checksums.open_file(paths.previews_h5, hdf5.PREVIEWS) as previews,
        row_checksums.open_file(paths.masks_h5, hdf5.MASKS) as masks,
        row_checksums.open_file(paths.processed_h5, hdf5.PROCESSED) as processed,
    ):
        yield PictureFiles(previews, masks, processed, tabulate(names))


def tabulate(names: Sequence[tuple[int, int]]) -> pd.DataFrame:
    return pd.DataFrame(names, columns=["product_id", "position"], dtype="int64")


def require_previews(files: PictureFiles, is_in_dataset: NDArray[np.bool_], names: Sequence[tuple[int, int]]) -> None:
    """Raise DataError where a photo of the dataset has no preview."""
    require_photos(~is_in_dataset | (files.preview_rows >= 0), files.previews.path, tabulate(names))


def picture_of(pixels: NDArray[Any]) -> Image.Image:
    """Return pixels of the dataset, uint8 (S, S, C), as a picture."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
