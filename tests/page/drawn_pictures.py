"""Five photos of one colour each, as the files of the stages and as what the page says of them."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imageset.formats import hdf5, row_checksums
from imageset.formats.preview_file import writing_previews
from imageset.page.picture_files import PicturePaths
from imageset.photos.mask_file import writing_masks
from imageset.photos.masks import describe_mask
from imageset.photos.outcomes import Rejected
from imageset.storage.bucket import StoredObject

# The third cannot be decoded, the fourth has no mask. The others are in the dataset.
NAMES = [(5, 0), (5, 1), (7, 0), (9, 2), (2**53 + 1, 0)]
COLOURS = [(200, 40, 40), (40, 160, 40), (0, 0, 0), (40, 40, 200), (220, 200, 60)]
SIZES = [(72, 96), (96, 30), (0, 0), (20, 16), (96, 96)]
RESULTS = {0: 30, 1: 90, 4: 210}  # the gray of the photos that have pixels
SIDE = 32


def contents() -> dict[str, Any]:
    """Return what pictures need of what the page says. Photos 0 and 4 are training photos, photo 1 is a test photo."""
    return {
        "classes": {"label": [1, -1, 0]},
        "photos": {
            "product_id": [str(product_id) for product_id, _ in NAMES],
            "position": [position for _, position in NAMES],
            "class": [0, 0, -1, 2, 2],
            "reject": [-1, -1, 0, 1, -1],
            "answer": [-1, 2, -1, -1, -1],
        },
        "suspects": {"kind": [0, 1, 1], "photo": [4, 4, 1], "rank": [2, 1, 3]},
        "pairs": {"photo": [], "other": []},
        "changes": {"photo": []},
    }


def more_names(turns: int) -> list[tuple[int, int]]:
    """Return the names of the photos, and of more photos that look like them, five a turn."""
    return [(product_id + 100 * turn, position) for turn in range(turns) for product_id, position in NAMES]


def write_files(folder: Path, copies: int = 2, turns: int = 1) -> PicturePaths:
    """Write the files of the stages, with the photos of `more_names`."""
    paths = PicturePaths(*(folder / f"{name}.h5" for name in ("previews", "masks", "processed", "dataset")))
    names = more_names(turns)
    with writing_masks(paths.masks_h5, len(names), 64, "") as add, writing_previews(paths.previews_h5) as add_preview:
        for number, name in enumerate(names):
            photo = number % len(NAMES)
            stored = StoredObject(f"photos/{name}", "etag", 1, "")
            if photo in RESULTS:
                mask = Image.new("L", (64, 64), 0)
                mask.paste(255, (0, 0, 32, 64))
                add(*name, stored, describe_mask(mask, 96 * 96))
            else:
                add(*name, stored, Rejected("truncated" if photo == 2 else "mask_empty"))
            if photo != 2:
                file = io.BytesIO()
                Image.new("RGB", SIZES[photo], COLOURS[photo]).save(file, "JPEG", quality=95)
                add_preview(*name, file.getvalue())
    with hdf5.create(paths.processed_h5, hdf5.PROCESSED) as file_h5:
        images = squares(list(RESULTS.values()) * turns)
        hdf5.add_images(file_h5, "images", images.shape)[...] = images
        with_pixels = [name for number, name in enumerate(names) if number % len(NAMES) in RESULTS]
        hdf5.add(file_h5, "ids", np.array([product_id for product_id, _ in with_pixels], np.int64))
        hdf5.add(file_h5, "positions", np.array([position for _, position in with_pixels], np.int16))
        row_checksums.finish(file_h5)
    write_dataset(paths.dataset_h5, copies)
    return paths


def write_dataset(path: Path, copies: int) -> None:
    """Write the training rows: photo 4 with label 0 and photo 0 with label 1, and their copies, lighter by 10 each."""
    rows = [(photo, copy) for copy in reversed(range(copies + 1)) for photo in (4, 0)]
    with hdf5.create(path, hdf5.DATASET) as file:
        images = squares([RESULTS[photo] + 10 * copy for photo, copy in rows])
        hdf5.add_images(file, "train_images", images.shape)[...] = images
        hdf5.add(file, "train_ids", np.array([NAMES[photo][0] for photo, _ in rows], np.int64))
        hdf5.add(file, "train_positions", np.array([NAMES[photo][1] for photo, _ in rows], np.int16))
        hdf5.add(file, "train_copies", np.array([copy for _, copy in rows], np.int16))
        hdf5.add(file, "train_labels", np.array([0 if photo == 4 else 1 for photo, _ in rows], np.int64))
        hdf5.finish(file)


def squares(grays: list[int]) -> np.ndarray[Any, Any]:
    """Return gray squares as images, uint8 (N, SIDE, SIDE, 1)."""
    return np.broadcast_to(np.array(grays, np.uint8)[:, None, None, None], (len(grays), SIDE, SIDE, 1))


def decode(picture: str) -> Image.Image:
    """Return a picture of the page, RGBA."""
    return Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGBA")


def is_colour(picture: Image.Image, x: int, y: int, colour: tuple[int, int, int]) -> bool:
    """Return whether a pixel has a colour and covers all, but for what lossy compression changes."""
    return max(abs(one - other) for one, other in zip(pixel(picture, x, y), (*colour, 255), strict=True)) <= 8


def pixel(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(np.asarray(picture)[y, x].tolist())
