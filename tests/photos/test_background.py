"""Background removal with the real weights; rembg on onnxruntime, with the same weights, is what it is held against."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imageset.photos import background, decode
from imageset.photos.background import Network
from sandbox import draw
from tests.conftest import jpeg, plain_image


def network(weights: Path, side: int = 320) -> Network:
    return Network("u2netp", weights, side)


def garment(number: int = 3) -> Image.Image:
    return draw.draw("t-shirt", number).resize((180, 240))


def on_plain_ground() -> tuple[Image.Image, Image.Image]:
    """A dark shirt on a light ground, and the mask it should have."""
    outline = [
        (60, 40),
        (100, 55),
        (140, 40),
        (185, 80),
        (165, 115),
        (145, 95),
        (145, 220),
        (55, 220),
        (55, 95),
        (35, 115),
        (15, 80),
    ]
    truth = Image.new("L", (200, 260))
    ImageDraw.Draw(truth).polygon(outline, 255)
    photo = plain_image((225, 220, 210), truth.size)
    photo.paste((40, 60, 120), mask=truth)
    return photo, truth


def covered(mask: Image.Image, image: Image.Image) -> NDArray[np.int64]:
    """Return a mask in the sides of its image."""
    return np.asarray(mask.resize(image.size, Image.Resampling.LANCZOS), np.int64)


def overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the intersection over union of two masks, cut in the middle."""
    return float(((one > 127) & (other > 127)).sum() / ((one > 127) | (other > 127)).sum())


@pytest.fixture(scope="module")
def rembg(weights: Path) -> Any:
    """Return rembg's own mask of an image, mode L."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        patch.setenv("U2NET_HOME", str(weights.parent))
        import rembg

        session = rembg.new_session("u2netp")
    return lambda image: rembg.remove(image, session=session, only_mask=True)


def test_masks_are_those_that_rembg_makes_but_for_the_last_bit_of_some_pixels(weights: Path, rembg: Any) -> None:
    for image in (garment(), on_plain_ground()[0], draw.draw("bag", 2)):
        apart = np.abs(covered(background.predict_mask(image, network(weights)), image) - np.asarray(rembg(image), int))

        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.001


def test_a_photo_reduced_for_the_network_has_the_mask_of_the_whole_photo(weights: Path, rembg: Any) -> None:
    body = jpeg(draw.draw("t-shirt", 3).resize((1600, 2100)))
    whole = decode.decode(body, 10_000_000)
    reduced = decode.decode(body, 10_000_000, background.choose_reduction(*whole.size))
    mask = covered(background.predict_mask(reduced, network(weights)), whole)

    assert background.MASKING_SIDE <= reduced.height < whole.height / 3
    assert overlap(mask, np.asarray(rembg(whole), np.int64)) > 0.998


@pytest.mark.parametrize(("side", "least"), [(320, 0.98), (256, 0.98), (192, 0.95)])
def test_the_mask_of_a_garment_covers_it_and_little_else_in_any_side_of_the_network(
    side: int, least: float, weights: Path
) -> None:
    photo, truth = on_plain_ground()
    mask = background.predict_mask(photo, network(weights, side))

    assert (mask.mode, mask.size) == ("L", (side, side))
    assert overlap(covered(mask, photo), np.asarray(truth, np.int64)) > least


def test_a_mask_is_the_same_bytes_again_and_in_a_session_of_a_copy_of_the_file(weights: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(weights, tmp_path))
    masks = [background.predict_mask(garment(), network(source)).tobytes() for source in (weights, weights, copy)]

    assert len(set(masks)) == 1
    assert masks[0] != background.predict_mask(garment(4), network(copy)).tobytes()


def test_the_engine_computes_in_float32_whatever_the_processor_offers(weights: Path) -> None:
    compiled = background.open_session(network(weights)).inner_session.request.get_compiled_model()

    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize("sides", [(1, 1), (1, 512)])
def test_an_image_of_any_sides_has_a_mask(sides: tuple[int, int], weights: Path) -> None:
    assert background.predict_mask(plain_image(sides=sides), network(weights)).size == (320, 320)


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_what_holds_no_weights_makes_no_mask(kept: int, weights: Path, tmp_path: Path) -> None:
    broken = tmp_path / "u2netp.onnx"
    broken.write_bytes(weights.read_bytes()[:kept])

    with pytest.raises(RuntimeError, match=r"(?i)model"):
        background.predict_mask(garment(), network(broken))
