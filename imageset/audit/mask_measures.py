"""What is measured on the masks of photos, to find those that look wrong."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from imageset.evaluation.linear_discriminant import Floats
from imageset.formats import hdf5, row_checksums
from imageset.formats.hdf5 import Pixels
from imageset.formats.mask_rows import MaskRows
from imageset.formats.photo_places import find_rows
from imageset.formats.preview_file import PreviewRows, decode_square
from imageset.runtime import progress

SHAPE_SIDE = 16  # of the masks that are compared
OUTLINE_SIDE = 64  # of the mask and the photo that the outline is followed on
FOREGROUND = 128
WINDOW = 5  # pixels: colours on both sides of the outline are means within such a square
FEWEST_OUTSIDE = 3  # pixels of a window: fewer are at the photo's edge, where nothing is beyond
WEAK = 15  # of 255: root mean square of the colours' difference, below which an outline separates nothing

Shapes = NDArray[np.uint8]  # (N, SHAPE_SIDE, SHAPE_SIDE)


class MaskMeasures(NamedTuple):
    """What is measured on N masks.

    shapes: uint8 (N, SHAPE_SIDE, SHAPE_SIDE). foreground_share, uncertainty: float64 (N,), as masks.h5 has them.
    weak_outline: float64 (N,), 0 to 1, from `measure_outline`.
    """

    shapes: Shapes
    foreground_share: Floats
    uncertainty: Floats
    weak_outline: Floats


def read_measures(masks_h5: Path, previews_h5: Path, photos: pd.DataFrame) -> MaskMeasures | None:
    """Measure the masks of photos. One mask at a time is in memory.

    Args:
        masks_h5: the masks of the inventory's photos.
        previews_h5: the previews of all photos that can be decoded.
        photos: product_id and position of N photos that have both.

    Returns:
        The measures in the order of `photos`. None where masks_h5 has no photos, as where backgrounds are kept.

    Raises:
        DataError: a file is missing or damaged, or lacks a photo.
    """
    shapes = np.zeros((len(photos), SHAPE_SIDE, SHAPE_SIDE), np.uint8)
    weak_outline = np.zeros(len(photos))
    with (
        row_checksums.open_file(masks_h5, hdf5.MASKS) as masks,
        row_checksums.open_file(previews_h5, hdf5.PREVIEWS) as previews,
    ):
        with hdf5.reading(masks_h5):
            if not len(masks["ids"]):
                return None
        mask_rows, preview_rows = find_rows(masks, photos), find_rows(previews, photos)
        with hdf5.reading(masks_h5):
            shares, uncertainty = (masks[name][:][mask_rows] for name in ("foreground_share", "uncertainty"))
        images, small_photos = MaskRows(masks), PreviewRows(previews)
        pairs = zip(map(int, mask_rows), map(int, preview_rows), strict=True)
        bar = progress.bar(pairs, "audit: masks", len(photos))
        for number, (mask_row, preview_row) in enumerate(bar):
            with hdf5.reading(previews_h5):
                preview = decode_square(small_photos.read(preview_row), OUTLINE_SIDE)
            shapes[number], weak_outline[number] = measure_mask(images.read(mask_row), preview)
    return MaskMeasures(shapes, shares, uncertainty, weak_outline)


def measure_mask(mask: Pixels, preview: Pixels) -> tuple[Pixels, float]:
    """Return the shape of a mask, uint8 (S, S), and how much of its outline is weak, as MaskMeasures has them.

    Args:
        mask: of any side.
        preview: of its photo, from `decode_square`.
    """
    small = shrink_mask(mask, OUTLINE_SIDE)
    return shrink_mask(small, SHAPE_SIDE), measure_outline(small, preview)


def shrink_mask(mask: Pixels, side: int) -> Pixels:
    """Return a mask, uint8 (S, S), as uint8 (side, side): each pixel the mean of those that it covers."""
    return np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.BOX))


def measure_outline(mask: Pixels, photo: Pixels) -> float:
    """Return the share of a mask's outline that separates nothing: the colours on both sides are alike.

    A mask that lost a part of the garment ends in the middle of it. Colours along both sides of an outline measure a
    segmentation without a reference: Erdem, Sankur and Tekalp, Performance Measures for Video Object Segmentation and
    Tracking, 2004.

    Args:
        mask: uint8 (OUTLINE_SIDE, OUTLINE_SIDE), from `shrink_mask`.
        photo: stretched over the mask, uint8 (OUTLINE_SIDE, OUTLINE_SIDE, 3).

    Returns:
        0 to 1: 1 for a mask without foreground, 0 for one without outline because it covers all.
    """
    inside = (mask >= FOREGROUND).astype(np.uint8)
    if not inside.any():
        return 1.0
    counts = [window_sums(part) for part in (inside, 1 - inside)]
    colours = [
        window_sums(photo * part[..., np.newaxis]) / np.maximum(count, 1)[..., np.newaxis]
        for part, count in zip((inside, 1 - inside), counts, strict=True)
    ]
    rim = inside - cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=1)
    outline = (rim == 1) & (counts[1] >= FEWEST_OUTSIDE)
    if not outline.any():
        return 0.0
    difference = ((colours[0] - colours[1]) ** 2).sum(axis=-1)
    return int((difference[outline] < photo.shape[-1] * WEAK**2).sum()) / int(outline.sum())


def window_sums(values: Pixels) -> NDArray[np.int32]:
    """Return the sums within squares of WINDOW pixels around each pixel; what is beyond the edge is 0."""
    sums = cv2.boxFilter(values, cv2.CV_32S, (WINDOW, WINDOW), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums, np.int32)
