"""Background removal: predict masks of images' foregrounds, by rembg's networks and conventions.

engines.py runs the networks. rembg itself prepares their inputs and finishes the masks.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from imageset.photos import engines
from imageset.photos.engines import Network
from imageset.workers import limits

# The longer side of the image that is resized for the network has at least this many pixels. Most networks take 320
# pixels of it. More pixels cost time and made no visible difference.
MASKING_SIDE = 512

# A photo that is longer than this many times its width gets borders until it is no longer than that. More borders, up
# to the photo's own shape, make worse masks than none: the network takes the photo for the foreground
# (benchmarks/background/aspect_ratios.py).
MAX_ASPECT = 2.25
BORDER = (124, 116, 104)  # the mean color of the photos that the networks were trained on: rembg makes it 0

SECONDS_TO_MASK = 300.0  # most networks take a part of a second, the largest about 30 s


class Framed(NamedTuple):
    """An image as a network takes it, and where in it the photo is: left, top, right, bottom, in pixels."""

    image: Image.Image
    box: tuple[int, int, int, int]


def choose_reduction(width: int, height: int) -> int:
    """Return by what to divide a photo's sides before its mask is predicted."""
    return max(1, max(width, height) // MASKING_SIDE)


def predict_mask(image: Image.Image, network: Network) -> Image.Image:
    """Predict which pixels of an image show the foreground; see `predict_masks`."""
    return predict_masks([image], network)[0]


def predict_masks(images: Sequence[Image.Image], network: Network) -> list[Image.Image]:
    """Predict which pixels of images show the foreground.

    Args:
        images: mode RGB, of any size.
        network: the network and its weights.

    Returns:
        A mask for each image: mode L, network.side x network.side, stretched over the whole image, 255 where the
        foreground is.

    Raises:
        RuntimeError: the file of the weights holds no network.
    """
    session = open_session(network)
    framed = [frame(image, network.side) for image in images]
    predicted = predict_squares([each.image for each in framed], session, network)
    whole = (0, 0, network.side, network.side)
    return [
        mask if each.box == whole else mask.resize((network.side, network.side), Image.Resampling.LANCZOS, each.box)
        for mask, each in zip(predicted, framed, strict=True)
    ]


def predict_squares(squares: Sequence[Image.Image], session: Any, network: Network) -> list[Image.Image]:
    """Return the masks of images in the network's side. One that hangs ends the process by SIGALRM."""
    if network.device == "cuda":
        from imageset.photos import gpu

        with limits.deadline(SECONDS_TO_MASK):
            return gpu.predict_together(session, squares)
    masks = []
    for square in squares:
        with limits.deadline(SECONDS_TO_MASK):
            masks += session.predict(square)
    return masks


def frame(image: Image.Image, side: int) -> Framed:
    """Make an image a square for the network: squeeze it, after borders where it is longer than MAX_ASPECT allows."""
    width, height = image.size
    inner_width = min(side, max(1, round(side * MAX_ASPECT * width / height)))
    inner_height = min(side, max(1, round(side * MAX_ASPECT * height / width)))
    left, top = (side - inner_width) // 2, (side - inner_height) // 2
    resized = image.resize((inner_width, inner_height), Image.Resampling.LANCZOS)
    if resized.size == (side, side):
        return Framed(resized, (0, 0, side, side))
    # rembg divides the image by its largest value, so in a dark photo the borders have to be as much darker.
    largest = int(np.asarray(resized).max())
    square = Image.new("RGB", (side, side), tuple(round(value * largest / 255) for value in BORDER))
    square.paste(resized, (left, top))
    return Framed(square, (left, top, left + inner_width, top + inner_height))


@lru_cache(maxsize=1)
def open_session(network: Network) -> Any:
    """Return rembg's session for a network, one a process; its pre- and post-processing are rembg's own."""
    # rembg imports pymatting, which compiles its matting code on the first import of an environment: 48 s for code
    # that is not used here.
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    from rembg.sessions import sessions

    rembg_session: Any = sessions[network.name]

    class PinnedSession(rembg_session):  # type: ignore[misc]  # rembg's classes are not typed
        """Rembg's class of this network, with this project's weights and engine, not a download and onnxruntime."""

        def __init__(self) -> None:
            self.model_name = network.name
            self.inner_session: Any = engines.open_engine(network)

        def normalize(self, image: Image.Image, mean: Any, std: Any, size: Any) -> Any:
            return super().normalize(image, mean, std, (network.side, network.side))

    return PinnedSession()
