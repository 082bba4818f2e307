"""Encode pixels as image files, on all cores, in order."""

import io
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import cv2
import numpy as np
import PIL
from PIL import Image

from imageset.formats.hdf5 import Pixels
from imageset.workers.threads import map_ahead

# Measured on real photos of 128 x 128: nearly the smallest of all PNGs, in a third of the time of zlib's default.
PNG_OPTIONS = (
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_PAETH,
)
JPEG_QUALITY = 95
JPEG_SUBSAMPLING = "4:4:4"  # colours as sharp as shapes; the usual 4:2:0 halves their resolution
WAITING = 2  # batches per worker: the current one and the next

# Size of an image file as a share of its raw pixels: 0.46 (PNG) and 0.33 (JPEG) on real photos, with some room.
SHARES = {"png": 0.55, "jpeg": 0.4, "raw": 1.0}
VERSIONS = {"opencv": cv2.__version__, "pillow": PIL.__version__}


def png(pixels: Pixels) -> bytes:
    """Return a lossless PNG of one image, uint8 (S, S, C)."""
    # OpenCV expects blue first.
    encoded: bytes = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]), PNG_OPTIONS)[1].tobytes()
    return encoded


def jpeg(pixels: Pixels) -> bytes:
    """Return a JPEG of one image, uint8 (S, S, C)."""
    file = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=JPEG_SUBSAMPLING)
    return file.getvalue()


def raw(pixels: Pixels) -> bytes:
    """Return the pixels themselves."""
    return pixels.tobytes()


ENCODERS: dict[str, Callable[[Pixels], bytes]] = {"png": png, "jpeg": jpeg, "raw": raw}


def encode(batch: Pixels, encoding: str) -> list[bytes]:
    """Encode each image of a batch, uint8 (N, S, S, C)."""
    return [ENCODERS[encoding](pixels) for pixels in batch]


def encode_all(batches: Iterator[Pixels], encoding: str, workers: int) -> Generator[bytes]:
    """Yield the encoded images one by one, in order. Only a few batches are in memory.

    It uses threads: the encoders release the GIL, and processes would have to be sent the pixels.

    Args:
        batches: Images, uint8 (N, S, S, C) each.
        encoding: A name in ENCODERS.
        workers: How many threads encode.
    """
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool,
        closing(map_ahead(pool, partial(encode, encoding=encoding), batches, WAITING * workers)) as encoded,
    ):
        for images in encoded:
            yield from images
