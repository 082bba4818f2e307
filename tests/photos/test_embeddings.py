"""A photo's bytes become an embedding that is of the upright photo in its own shape, or a reason."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imageset.errors import DataError
from imageset.photos import embeddings
from imageset.photos.decode import PhotoLimits
from imageset.photos.embeddings import EmbeddingRecipe, choose_reduction, embed_photos, make_square
from imageset.photos.outcomes import PhotoEmbedding, Rejected
from sandbox import draw
from tests.conftest import jpeg, photo_bytes, plain_image
from tests.photos.test_decode import saved
from tests.photos.test_preprocess import HTML
from tests.project import ROOT
from tests.samples import sample
from tests.stages.test_ingest import bomb, lossless_jpeg

# What makes the embedding of a drawn photo in a process of its own and writes its bytes.
ALONE = """
import sys
from pathlib import Path
from imageset.photos.decode import PhotoLimits
from imageset.photos.embeddings import EmbeddingRecipe, embed_photos
from tests.conftest import photo_bytes
recipe = EmbeddingRecipe(Path(sys.argv[1]), PhotoLimits(10**7))
made = embed_photos([photo_bytes(number) for number in range(3)], recipe)
sys.stdout.buffer.write(b"".join(each.values for each in made))
"""


@pytest.fixture(scope="module")
def recipe(embedding_weights: Path) -> EmbeddingRecipe:
    return EmbeddingRecipe(embedding_weights, PhotoLimits(2_000_000))


def embed(body: bytes, recipe: EmbeddingRecipe) -> NDArray[np.float32]:
    """Return the embedding of one photo."""
    [made] = embed_photos([body], recipe)
    assert isinstance(made, PhotoEmbedding)
    return np.frombuffer(made.values, "<f4")


def likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the cosine of two embeddings."""
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def test_photos_that_look_alike_have_embeddings_that_are_alike(recipe: EmbeddingRecipe) -> None:
    photo = draw.draw("t-shirt", 3)
    one, smaller, other = (
        embed(jpeg(image), recipe) for image in (photo, photo.resize((220, 293)), draw.draw("bag", 5))
    )

    assert one.shape == (1280,)
    assert (one >= 0).all()
    assert (one <= 6).all()
    assert likeness(one, smaller) > 0.95 > likeness(one, other) + 0.1


def test_every_photo_of_a_batch_has_what_it_has_alone(recipe: EmbeddingRecipe) -> None:
    bodies = [photo_bytes(1), HTML, photo_bytes(2, "dress", "PNG"), b"", photo_bytes(1)]
    together = embed_photos(bodies, recipe)

    assert together == [embed_photos([body], recipe)[0] for body in bodies]
    assert together[0] == together[4] != together[2]
    assert [each.photo_pixels for each in together if isinstance(each, PhotoEmbedding)] == [120 * 160] * 3


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (HTML, "not_an_image"),
        (bomb(), "too_many_pixels"),
        (photo_bytes()[:1500], "truncated"),
        (lossless_jpeg(), "undecodable"),
    ],
    ids=["empty", "html", "bomb", "truncated", "broken"],
)
def test_what_cannot_be_decoded_has_a_reason(body: bytes, reason: str, recipe: EmbeddingRecipe) -> None:
    assert embed_photos([body], recipe) == [Rejected(reason)]


def test_a_photo_has_the_embedding_of_what_a_viewer_shows(recipe: EmbeddingRecipe) -> None:
    """Turned upright by its EXIF orientation; without one it is a different photo."""
    upright = draw.draw("dress", 2).resize((300, 400))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn to the left
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)

    assert (embed(file.getvalue(), recipe) == embed(saved(upright, "PNG"), recipe)).all()
    assert likeness(embed(saved(turned, "PNG"), recipe), embed(saved(upright, "PNG"), recipe)) < 0.95


@pytest.mark.parametrize(
    ("sides", "box"),
    [
        ((224, 224), (0, 0, 224, 224)),
        ((500, 500), (0, 0, 224, 224)),
        ((40, 60), (37, 0, 186, 224)),
        ((448, 224), (0, 56, 224, 168)),
        ((5000, 3), (0, 111, 224, 112)),
        ((1, 9999), (111, 0, 112, 224)),
    ],
)
def test_a_photo_keeps_its_shape_between_white_borders(sides: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    square = make_square(plain_image((10, 20, 30), sides))
    pixels = np.asarray(square)
    left, top, right, bottom = box

    assert (square.mode, square.size) == ("RGB", (224, 224))
    assert (pixels[top:bottom, left:right] == (10, 20, 30)).all()
    assert (pixels == 255).all(axis=2).sum() == 224 * 224 - (right - left) * (bottom - top)


@pytest.mark.parametrize(
    ("sides", "factor"), [((1, 1), 1), ((895, 800), 1), ((896, 10), 2), ((300, 1400), 3), ((4000, 3000), 8)]
)
def test_a_decoded_photo_has_at_least_twice_the_side_that_the_network_takes(
    sides: tuple[int, int], factor: int
) -> None:
    assert choose_reduction(*sides) == factor
    assert max(sides) < 448 or max(sides) // factor >= 448


def test_a_large_photo_is_decoded_small_and_has_nearly_the_same_embedding(
    recipe: EmbeddingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = jpeg(draw.draw("pants", 4).resize((1200, 1600), Image.Resampling.LANCZOS))
    reduced = embed(large, recipe._replace(limits=PhotoLimits(10**7)))
    monkeypatch.setattr(embeddings, "choose_reduction", lambda width, height: 1)
    whole = embed(large, recipe._replace(limits=PhotoLimits(10**7)))

    assert (reduced != whole).any()
    assert likeness(reduced, whole) > 0.99


@pytest.mark.parametrize("isa", sample(["AVX2", "AVX512_CORE", "DEFAULT"], "AVX2"))
def test_other_instructions_and_another_process_give_the_same_embedding(isa: str, recipe: EmbeddingRecipe) -> None:
    """To four decimals here; benchmarks/embed says what was the same to the last bit, and where."""
    command = [sys.executable, "-c", ALONE, str(recipe.weights)]
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    found = np.frombuffer(done.stdout, "<f4").reshape(3, 1280)
    here = np.stack([embed(photo_bytes(number), recipe) for number in range(3)])

    assert np.abs(found - here).max() < 1e-4


def test_a_file_that_holds_other_weights_is_an_error(tmp_path: Path, embedding_weights: Path) -> None:
    path = tmp_path / "cut.pth"
    path.write_bytes(embedding_weights.read_bytes()[:-1])

    with pytest.raises(DataError, match=r"cut\.pth is no checkpoint of PyTorch that can be read: it ends too early"):
        embed_photos([photo_bytes()], EmbeddingRecipe(path, PhotoLimits(10**6)))
