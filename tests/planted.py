"""Copies of photos as sellers put them up again: made smaller, encoded again, brighter, mirrored, cropped.

Planted among photos by the tests and by benchmarks/near_duplicates.py, which then look whether they are found.
"""

import io

import numpy as np
from PIL import Image, ImageOps

from imageset.photos.preprocess import PreparedPhoto, PreprocessRecipe, preprocess_photo
from imageset.runtime.sections import PreprocessParams

KINDS = (
    "resized",
    "encoded again",
    "brighter",
    "darker",
    "mirrored",
    "cropped",
    "cropped most",
    "cropped on one side",
    "mirrored and cropped",
)
LARGEST_CROP = 0.05  # of the photo's side, at each of its ends
SMALLEST, LARGEST = 0.3, 0.8
FADED, DARK = (1.05, 1.2), (0.8, 0.95)
ROUGH, FINE = (20, 60), 90  # quality of JPEGs

KEEPING = PreprocessRecipe(
    PreprocessParams(
        background="keep",
        mask_side=None,
        fill=(255, 255, 255),
        fit="pad",
        color="grayscale",
        image_side=8,
        min_foreground=0,
        max_foreground=1,
        max_pixels=50_000_000,
        max_rejected_share=0,
    ),
    None,
)


def plant(photo: Image.Image, kind: str, seed: int) -> bytes:
    """Return a copy of a photo as a JPEG; another seed gives another copy where the kind leaves room for one."""
    rng = np.random.Generator(np.random.PCG64([KINDS.index(kind), seed]))
    if kind == "resized":
        share = rng.uniform(SMALLEST, LARGEST)
        sides = max(1, round(photo.width * share)), max(1, round(photo.height * share))
        return encode(photo.resize(sides, Image.Resampling.LANCZOS))
    if kind == "encoded again":
        return encode(photo, int(rng.integers(ROUGH[0], ROUGH[1] + 1)))
    if kind in ("brighter", "darker"):
        factor = rng.uniform(*(FADED if kind == "brighter" else DARK))
        return encode(photo.point(lambda value: min(255, round(value * factor))))
    if kind == "mirrored":
        return encode(ImageOps.mirror(photo))
    cropped = crop(photo, shares(kind, rng))
    return encode(ImageOps.mirror(cropped) if kind == "mirrored and cropped" else cropped)


def shares(kind: str, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return what a kind of crop cuts off left, right, top and bottom, as shares of the photo's sides."""
    if kind == "cropped most":
        return LARGEST_CROP, LARGEST_CROP, LARGEST_CROP, LARGEST_CROP
    if kind == "cropped on one side":
        chosen = rng.integers(4)
        left, right, top, bottom = (LARGEST_CROP * (number == chosen) for number in range(4))
    else:
        left, right, top, bottom = rng.uniform(0, LARGEST_CROP, 4).tolist()
    return left, right, top, bottom


def crop(photo: Image.Image, cut: tuple[float, float, float, float]) -> Image.Image:
    """Return what is left when so large shares of a photo's sides are cut off left, right, top and bottom."""
    left, right, top, bottom = cut
    return photo.crop(
        (
            round(photo.width * left),
            round(photo.height * top),
            round(photo.width * (1 - right)),
            round(photo.height * (1 - bottom)),
        )
    )


def encode(image: Image.Image, quality: int = FINE) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def prepared(body: bytes) -> PreparedPhoto:
    """Return a photo's thumbnail and hashes as the stage makes them. Raises AssertionError when it is no photo."""
    outcome = preprocess_photo(body, KEEPING).outcome
    assert isinstance(outcome, PreparedPhoto)
    return outcome
