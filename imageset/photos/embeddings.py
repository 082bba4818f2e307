"""Turn a photo's bytes into an embedding, the network's numbers for what it shows. No files but the weights.

This module and the modules that it uses are part of the cache's keys (imageset/runtime/fingerprint.py).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from imageset.errors import Undecodable
from imageset.photos import checkpoint, efficientnet
from imageset.photos.decode import PhotoLimits
from imageset.photos.efficientnet import SIDE
from imageset.photos.engines import OPENVINO_OPTIONS, PRECISION_HINTS, Tensor
from imageset.photos.outcomes import PhotoEmbedding, Rejected
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.workers import limits

# The longer side of the image that is resized for the network has at least this many pixels. Twice the network's own
# side changes nothing that can be measured; its own side alone would.
LONGER_SIDE = 2 * SIDE

# Around a photo that is no square: the colour of most backgrounds (benchmarks/embed says what others give).
BORDER = (255, 255, 255)

# What the network was trained with: Tensorflow's Lite networks take (x - 127) / 128.
MEAN, SCALE = 127.0, 128.0

SECONDS_TO_EMBED = 60.0  # the network takes 10 ms


class EmbeddingRecipe(NamedTuple):
    """Everything that decides an embedding except the photo."""

    weights: Path
    limits: PhotoLimits


def embed_photos(bodies: Sequence[bytes], recipe: EmbeddingRecipe) -> list[PhotoEmbedding | Rejected]:
    """Make the embeddings of photos, as they are: the background is in them.

    Decoding or a network that hangs ends the process by SIGALRM, as `limits.deadline` does.

    Args:
        bodies: each photo's bytes, untrusted.
        recipe: the network's weights and which photos are accepted.

    Returns:
        An embedding, or the reason why there is none, for each photo.

    Raises:
        DataError: the weights are not those of the network.
    """
    return [embed_photo(body, recipe) for body in bodies]


def embed_photo(body: bytes, recipe: EmbeddingRecipe) -> PhotoEmbedding | Rejected:
    """Make the embedding of a photo; see `embed_photos`."""
    try:
        decodes = ScaledDecodes(body, recipe.limits)
        image = decodes.decode_reduced(choose_reduction, "RGB")
    except Undecodable as error:
        return Rejected(error.reason)
    width, height = decodes.sides
    values = compute_embedding(make_square(image), open_network(recipe.weights))
    return PhotoEmbedding(values.astype("<f4").tobytes(), width * height)


def choose_reduction(width: int, height: int) -> int:
    """Return by what to divide a photo's sides before it is resized for the network."""
    return max(1, max(width, height) // LONGER_SIDE)


def make_square(image: Image.Image) -> Image.Image:
    """Fit an image (mode RGB) into the network's square: its shape is kept, BORDER is around it."""
    scale = SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (SIDE, SIDE), BORDER)
    square.paste(image.resize((width, height), Image.Resampling.BICUBIC), ((SIDE - width) // 2, (SIDE - height) // 2))
    return square


def normalize(square: Image.Image) -> Tensor:
    """Return an image (mode RGB, 224 x 224) as the network takes it, float32 (1, 3, 224, 224). All values are exact."""
    pixels = (np.asarray(square, np.float32) - MEAN) / SCALE
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def compute_embedding(square: Image.Image, request: Any) -> Tensor:
    """Run the network on an image (mode RGB, 224 x 224).

    Args:
        square: from `make_square`.
        request: from `open_network`.

    Returns:
        float32 (1280,).
    """
    image = normalize(square)
    with limits.deadline(SECONDS_TO_EMBED):
        request.infer([image])
    return np.array(request.get_output_tensor(0).data, np.float32).reshape(-1)


@lru_cache(maxsize=1)
def open_network(weights: Path) -> Any:
    """Load the network on OpenVINO, one a process: float32, one thread. Raises DataError."""
    import openvino

    model = efficientnet.build_network(checkpoint.read_checkpoint(weights))
    options = {**OPENVINO_OPTIONS, "INFERENCE_PRECISION_HINT": PRECISION_HINTS["float32"]}
    return openvino.Core().compile_model(model, "CPU", options).create_infer_request()
