"""Bytes that may change on purpose only: a change of one of these sums changes every dataset, and the commit says so.

Nothing here rests on the network's floating point; what does is compared within one machine (test_end_to_end.py).
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imageset.curation.near_duplicates import measure_likeness
from imageset.curation.stratified_split import assign_subsets
from imageset.curation.views import hash_views, view_frequencies
from imageset.dataset.augment import augment_photo
from imageset.formats import hdf5, row_checksums, stable_hash, tables
from imageset.photos import embeddings, pixels
from imageset.photos.decode import PhotoLimits
from imageset.photos.embeddings import EmbeddingRecipe
from imageset.photos.outcomes import PhotoEmbedding
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto, preprocess_photo
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.runtime.sections import AugmentParams, Color, Fit, PreprocessParams, SplitParams
from tests.photos.test_decode import saved
from tests.project import ROOT
from tests.samples import sample

AUGMENT = AugmentParams(
    copies=8,
    balance="none",
    max_copies=8,
    seed=1,
    flip_probability=0.5,
    rotate_probability=0.5,
    rotate_degrees=(-20.0, 20.0),
    translate_probability=0.5,
    translate_share=(-0.08, 0.08),
    blur_probability=0.5,
    blur_radius=(0.3, 1.2),
    noise_probability=0.5,
    noise_stddev=(2.0, 10.0),
)

RANKS = [17797172410793473910, 8793645831276010059, 7070682991944218085]
AUGMENTED = "ba5bf606f5e6fb0f"
SQUARES = "be45320fe92a0687"
SQUARE_INPUTS = "0e47ec40ab20444b"
EMBEDDING_PLACES = [100, 169, 634, 663, 1244, 1248]
EMBEDDING = [2.69332, 2.20226, 2.36443, 2.54844, 4.58944, 2.44207]
EMBEDDING_LENGTH = 15.20749
FACTS = (500, 700, "PNG", 0.9534, 127.89, 19.69, 1.4, "")
PREVIEW = "03e8234e9107cd61"
SPLIT = "16ea32b1c14296b0"
VIEWS = "d298bab52f070333"
LIKENESS = [0.934495, 0.248211]
HASHES = ("b6600ee957896e53", "e3355bbc02dc3b06")
FILES = ["e236a9d7c1574632", "7d9be7c21573c783", "aaf796e4a9c719a2"]


def pattern(side: int, channels: int) -> hdf5.Pixels:
    """Return a picture of plain integer arithmetic, uint8 (S, S, C)."""
    rows, columns, channel = np.indices((side, side, channels))
    return np.asarray((rows * rows * 3 + columns * 7 + rows * columns + channel * 50) % 256, np.uint8)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def test_ranks() -> None:
    assert [stable_hash.rank(1), stable_hash.rank(1, 3_000_001), stable_hash.rank(-1, 0, 2)] == RANKS


def test_augmented_copies() -> None:
    copies = [
        augment_photo(pattern(64, channels), 3_000_001, 0, copy, AUGMENT, (255, 255, 255))
        for channels in (1, 3)
        for copy in range(8)
    ]

    assert sha256(b"".join(copy.tobytes() for copy in copies)) == AUGMENTED


@pytest.mark.parametrize(
    "without",
    sample(
        ["AVX512-COMMON", "AVX512-COMMON,AVX2,FMA3,AVX", "AVX512-COMMON,AVX2,FMA3,AVX,SSE4.1"],
        "AVX512-COMMON,AVX2,FMA3,AVX,SSE4.1",
    ),
)
def test_augmented_copies_are_the_same_on_other_processors(without: str) -> None:
    """As far as OpenCV can be told to leave out what a processor lacks."""
    command = [sys.executable, "-c", "from tests.pipeline import test_bytes; test_bytes.test_augmented_copies()"]
    subprocess.run(
        command, check=True, cwd=ROOT, env=os.environ | {"OPENCV_CPU_DISABLE": without, "OPENCV_IPP": "disabled"}
    )


def test_photos_made_square_and_of_the_right_colours() -> None:
    """From a photo's bytes on, a PNG's, under a mask of the network's sides."""
    photo = saved(Image.fromarray(pattern(700, 3)).crop((0, 0, 500, 700)), "PNG")
    mask = Image.fromarray(pattern(320, 1)[..., 0])
    fits: tuple[Fit, ...] = ("stretch", "pad", "crop")
    colors: tuple[Color, ...] = ("grayscale", "rgb")
    squares = [
        preprocess_photo(photo, preprocess_params(side, fit, color), mask)
        for side in (64, 128)
        for fit in fits
        for color in colors
    ]
    photos = [square for square in squares if isinstance(square, DecodedPhoto)]
    made = [each.prepared.pixels for each in photos if isinstance(each.prepared, PreparedPhoto)]

    assert len(made) == len(squares)
    assert {(each.facts, sha256(each.preview)) for each in photos} == {(FACTS, PREVIEW)}
    assert sha256(b"".join(each.tobytes() for each in made)) == SQUARES


def preprocess_params(side: int, fit: Fit, color: Color) -> PreprocessParams:
    return PreprocessParams(
        fill=(0, 255, 0),
        fit=fit,
        color=color,
        image_side=side,
        min_foreground=0.01,
        max_foreground=0.99,
        max_pixels=2_000_000,
        min_sharpness=None,
        min_brightness=None,
        max_brightness=None,
        min_side=None,
        max_aspect_ratio=None,
        max_rejected_share=0.2,
    )


def test_perceptual_hashes() -> None:
    assert pixels.hash_thumbnail(pixels.make_thumbnail(Image.fromarray(pattern(200, 3)).convert("L"))) == HASHES


def test_the_input_of_the_embedding_network() -> None:
    """From a photo's bytes to the network's numbers, all of which are exact."""
    photos = [
        saved(Image.fromarray(pattern(700, 3)).crop((0, 0, width, height)), "PNG")
        for width, height in ((700, 500), (90, 300))
    ]
    squares = []
    for photo in photos:
        decodes = ScaledDecodes(photo, PhotoLimits(2_000_000))
        squares.append(embeddings.make_square(decodes.decode_reduced(embeddings.choose_reduction, "RGB")))

    assert sha256(b"".join(embeddings.normalize(square).tobytes() for square in squares)) == SQUARE_INPUTS


def test_an_embedding(embedding_weights: Path) -> None:
    """Not to the last bit, which processors without AVX2 may round in another way."""
    photo = saved(Image.fromarray(pattern(700, 3)), "PNG")
    [made] = embeddings.embed_photos([photo], EmbeddingRecipe(embedding_weights, PhotoLimits(2_000_000)))
    assert isinstance(made, PhotoEmbedding)
    found = np.frombuffer(made.values, "<f4").astype(np.float64)

    assert np.abs(found[EMBEDDING_PLACES] - EMBEDDING).max() < 1e-4
    assert abs(float(np.sqrt(found @ found)) - EMBEDDING_LENGTH) < 1e-3


def test_the_second_look_at_near_duplicates() -> None:
    photo = Image.fromarray(pattern(256, 1)[..., 0])
    small = [
        np.asarray(pixels.make_thumbnail(image)) for image in (photo, photo.crop((5, 2, 250, 254)), photo.rotate(3))
    ]
    thumbnails = np.stack(small)[..., np.newaxis]
    found = measure_likeness(thumbnails[[0, 0], ..., 0], thumbnails[1:, ..., 0])

    assert sha256(hash_views(view_frequencies(thumbnails[..., 0])).tobytes()) == VIEWS
    assert found.tolist() == LIKENESS


def test_the_split() -> None:
    photos = [
        (number, 0, number, 1200 + number // 2 % 7, number // 2 % 7, number - number % 2) for number in range(500)
    ]
    found = assign_subsets(
        tables.frame(tables.CATALOG, photos),
        {},
        SplitParams(test_share=0.2, validation_share=0.1, seed=1),
    )

    assert sha256(found.to_csv(index=False).encode()) == SPLIT


def test_the_files(tmp_path: Path) -> None:
    images = np.stack([pattern(8, 1)] * 3)
    with hdf5.create(tmp_path / f"{hdf5.DATASET}.h5", hdf5.DATASET) as file:
        hdf5.add_images(file, "train_images", images.shape)[:] = images
        hdf5.add(file, "train_labels", np.arange(3))
        hdf5.add_text(file, "class_names", ["a", "Größe"])
        hdf5.finish(file, content_digest=hdf5.content_digest(file), mean=[1.5], params="{}")
    with hdf5.create(tmp_path / f"{hdf5.PROCESSED}.h5", hdf5.PROCESSED) as file:
        hdf5.add_images(file, "images", images.shape)[:] = images
        hdf5.add(file, "ids", np.arange(3))
        row_checksums.finish(file, fill=np.array([255, 255, 255], np.uint8))
    tables.write(
        tmp_path / "table.csv",
        tables.LABEL_MAP,
        pd.DataFrame({"label": [1, 0], "catalog_id": [7, 9], "name": ['a "b", c', "ä"]}),
    )

    names = (f"{hdf5.DATASET}.h5", f"{hdf5.PROCESSED}.h5", "table.csv")
    assert [sha256((tmp_path / name).read_bytes()) for name in names] == FILES
