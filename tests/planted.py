"""Copies of photos as sellers upload them again: resized, encoded again, brighter, mirrored, cropped.

Tests and benchmarks/near_duplicates plant them among photos and count how many are found.
"""

import io

import numpy as np
from PIL import Image, ImageOps

from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto, preprocess_photo
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
MAX_CROP = 0.05  # of the photo's side, at each of its ends
RESIZED = (0.3, 0.8)  # shares of the sides
BRIGHTER, DARKER = (1.05, 1.2), (0.8, 0.95)  # factors of each value
LOW_QUALITY, QUALITY = (20, 60), 90  # of JPEGs

SMALL_IMAGES = PreprocessParams(
    fill=(255, 255, 255),
    fit="pad",
    color="grayscale",
    image_side=8,
    min_foreground=0,
    max_foreground=1,
    max_pixels=50_000_000,
    min_sharpness=None,
    min_brightness=None,
    max_brightness=None,
    min_side=None,
    max_aspect_ratio=None,
    max_rejected_share=0,
)


def plant(photo: Image.Image, kind: str, seed: int) -> bytes:
    """Return a copy of a photo as a JPEG; another seed gives another copy, unless the kind is exact."""
    rng = np.random.Generator(np.random.PCG64([KINDS.index(kind), seed]))
    if kind == "resized":
        share = rng.uniform(*RESIZED)
        sides = max(1, round(photo.width * share)), max(1, round(photo.height * share))
        return encode(photo.resize(sides, Image.Resampling.LANCZOS))
    if kind == "encoded again":
        return encode(photo, int(rng.integers(LOW_QUALITY[0], LOW_QUALITY[1] + 1)))
    if kind in ("brighter", "darker"):
        factor = rng.uniform(*(BRIGHTER if kind == "brighter" else DARKER))
        return encode(photo.point(lambda value: min(255, round(value * factor))))
    if kind == "mirrored":
        return encode(ImageOps.mirror(photo))
    cropped = crop(photo, cropped_shares(kind, rng))
    return encode(ImageOps.mirror(cropped) if kind == "mirrored and cropped" else cropped)


def cropped_shares(kind: str, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return the shares of the photo's sides that a kind of crop cuts off left, right, top and bottom."""
    if kind == "cropped most":
        return MAX_CROP, MAX_CROP, MAX_CROP, MAX_CROP
    if kind == "cropped on one side":
        side = rng.integers(4)
        left, right, top, bottom = (MAX_CROP * (number == side) for number in range(4))
    else:
        left, right, top, bottom = rng.uniform(0, MAX_CROP, 4).tolist()
    return left, right, top, bottom


def crop(photo: Image.Image, cut: tuple[float, float, float, float]) -> Image.Image:
    """Return a photo without the shares of its sides that are cut off left, right, top and bottom."""
    left, right, top, bottom = cut
    return photo.crop(
        (
            round(photo.width * left),
            round(photo.height * top),
            round(photo.width * (1 - right)),
            round(photo.height * (1 - bottom)),
        )
    )


def encode(image: Image.Image, quality: int = QUALITY) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def decoded(body: bytes) -> DecodedPhoto:
    """Return a photo as stage preprocess makes it of its bytes. Raises AssertionError when it is no photo."""
    outcome = preprocess_photo(body, SMALL_IMAGES)
    assert isinstance(outcome, DecodedPhoto)
    return outcome


def require_pixels(photo: DecodedPhoto) -> PreparedPhoto:
    assert isinstance(photo.prepared, PreparedPhoto)
    return photo.prepared


def prepared(body: bytes) -> PreparedPhoto:
    """Return a photo's thumbnail and hashes as the stage makes them. Raises AssertionError when it is no photo."""
    return require_pixels(decoded(body))
