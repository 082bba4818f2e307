"""What the colour of the borders, the shape and the decoded size do to embeddings: of photos in folders of classes."""

import io
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.background.engines import LIMITS
from benchmarks.shared.tables import table
from imageset.photos import decode, embeddings
from imageset.photos.efficientnet import SIDE

NEIGHBOURS = 5
BICUBIC = Image.Resampling.BICUBIC

Tensor = NDArray[np.float32]


class Variant(NamedTuple):
    """How a photo becomes the network's input.

    name: for the table. borders: a gray level, or "median" of the photo's own edge, "squeezed" or "cropped" for none.
    longer_side: the least that is decoded, 0 for the whole photo. enlarged: by how much the photo is enlarged first.
    """

    name: str
    borders: int | str = 255
    resampling: Image.Resampling = BICUBIC
    longer_side: int = embeddings.LONGER_SIDE
    enlarged: int = 1


VARIANTS = (
    Variant("the stage: white borders, bicubic"),
    Variant("borders of 127, which the network sees as 0", 127),
    Variant("black borders", 0),
    Variant("borders of the median colour of the photo's edge", "median"),
    Variant("squeezed to a square", "squeezed"),
    Variant("the middle, cropped", "cropped"),
    Variant("bilinear", resampling=Image.Resampling.BILINEAR),
    Variant("Lanczos", resampling=Image.Resampling.LANCZOS),
    Variant("decoded to 224 px or more", longer_side=SIDE),
    Variant("three times as large, decoded whole", longer_side=0, enlarged=3),
    Variant("three times as large, decoded to 448 px or more", enlarged=3),
)


def make_input(body: bytes, variant: Variant) -> Image.Image:
    """Return the square that the network sees."""
    if variant.enlarged > 1:
        photo = decode.decode(body, LIMITS)
        file = io.BytesIO()
        sides = photo.width * variant.enlarged, photo.height * variant.enlarged
        photo.resize(sides, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
        body = file.getvalue()
    longer = max(decode.read_sides(body, LIMITS))
    image = decode.decode(body, LIMITS, max(1, longer // variant.longer_side) if variant.longer_side else 1)
    width, height = image.size
    if variant.borders == "squeezed":
        return image.resize((SIDE, SIDE), variant.resampling)
    if variant.borders == "cropped":
        left, top, side = (width - min(width, height)) / 2, (height - min(width, height)) / 2, min(width, height)
        return image.resize((SIDE, SIDE), variant.resampling, (left, top, left + side, top + side))
    scale = SIDE / max(image.size)
    resized = image.resize([max(1, round(side * scale)) for side in image.size], variant.resampling)
    square = Image.new("RGB", (SIDE, SIDE), choose_colour(resized, variant.borders))
    square.paste(resized, ((SIDE - resized.width) // 2, (SIDE - resized.height) // 2))
    return square


def choose_colour(image: Image.Image, borders: int | str) -> tuple[int, int, int]:
    """Return the colour of the borders."""
    if isinstance(borders, int):
        return borders, borders, borders
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(edge, axis=0).astype(int).tolist()
    return red, green, blue


def embed(path: Path, variant: Variant, weights: Path) -> Tensor:
    """Return the embedding of a photo, float32 (1280,), scaled to length 1."""
    request = embeddings.open_network(weights)
    values = embeddings.compute_embedding(make_input(path.read_bytes(), variant), request)
    return np.asarray(values / np.linalg.norm(values), np.float32)


def count_agreement(vectors: Tensor, classes: Sequence[str], neighbours: int) -> float:
    """Return the share of photos that have the class of most of their nearest others, by cosine."""
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -2)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :neighbours]
    names, numbers = np.unique(classes, return_inverse=True)
    votes = np.stack([(numbers[nearest] == number).sum(axis=1) for number in range(len(names))], axis=1)
    return float((votes.argmax(axis=1) == numbers).mean())


def quality_table(folder: Path, weights: Path) -> None:
    """Print a line for each variant: how often neighbours have the same class, and how far it is from the stage's."""
    paths = sorted(folder.glob("*/*.jp*g"))
    classes = [path.parent.name for path in paths]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        run: Callable[[Variant], Tensor] = lambda variant: np.stack(  # noqa: E731
            list(processes.map(partial(embed, variant=variant, weights=weights), paths, chunksize=8))
        )

        def lines() -> Iterator[tuple[str, ...]]:
            ours: Tensor | None = None
            for variant in VARIANTS:
                found = run(variant)
                ours = found if ours is None else ours
                cosines = (found * ours).sum(axis=1)
                shares = [count_agreement(found, classes, number) for number in (1, NEIGHBOURS)]
                yield (
                    variant.name,
                    *(f"{share:.3f}" for share in shares),
                    f"{cosines.mean():.3f}",
                    f"{cosines.min():.3f}",
                )

        print(f"{len(paths)} photos of {len(set(classes))} classes\n")
        head = ("input", "1 neighbour", f"{NEIGHBOURS} neighbours", "mean cosine to the stage's", "least cosine")
        table(head, lines())
