"""Background removal with the real weights; rembg on onnxruntime, with the same weights, is what it is held against."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imageset.photos import background, decode
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from sandbox import draw
from tests.conftest import jpeg, plain_image

SMALL = 128  # side of the network where a test is about none: a mask takes a sixth of the time


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
    whole = decode.decode(body, PhotoLimits(10_000_000))
    reduced = decode.decode(body, PhotoLimits(10_000_000), background.choose_reduction(*whole.size))
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
    original, copy = (network(source, SMALL) for source in (weights, Path(shutil.copy(weights, tmp_path))))
    masks = [background.predict_mask(garment(), source).tobytes() for source in (original, original, copy)]

    assert len(set(masks)) == 1
    assert masks[0] != background.predict_mask(garment(4), copy).tobytes()


@pytest.mark.parametrize("sides", [(1, 1), (1, 512), (512, 1), (3, 1)])
def test_an_image_of_any_sides_has_a_mask(sides: tuple[int, int], weights: Path) -> None:
    mask = background.predict_mask(plain_image(sides=sides), network(weights))

    assert (mask.mode, mask.size) == ("L", (320, 320))


def test_several_images_have_the_masks_that_each_has_alone_in_their_order(weights: Path) -> None:
    small = network(weights, SMALL)
    images = [garment(3), on_plain_ground()[0], plain_image(sides=(40, 300)), garment(4)]
    together = [mask.tobytes() for mask in background.predict_masks(images, small)]

    assert together == [background.predict_mask(image, small).tobytes() for image in images]
    assert len(set(together)) == 4
    assert background.predict_masks([], small) == []


# Photos that are much longer than wide


@pytest.mark.parametrize(
    "sides", [(320, 320), (100, 100), (180, 240), (300, 200), (200, 100), (100, 200), (1000, 501), (1, 2), (1, 1)]
)
@pytest.mark.parametrize("side", [320, 192])
def test_a_photo_of_up_to_two_to_one_is_squeezed_to_a_square_and_no_more(sides: tuple[int, int], side: int) -> None:
    image = draw.draw("dress", 1).resize(sides)
    framed = background.frame(image, side)

    assert framed.box == (0, 0, side, side)
    assert framed.image.tobytes() == image.resize((side, side), Image.Resampling.LANCZOS).tobytes()


@pytest.mark.parametrize("sides", [(300, 100), (100, 300), (1000, 100), (1, 3000), (3000, 1)])
def test_a_longer_photo_is_whole_within_its_box_of_the_square(sides: tuple[int, int]) -> None:
    image = draw.draw("dress", 1).resize(sides)
    framed = background.frame(image, 320)
    left, top, right, bottom = framed.box

    assert framed.image.size == (320, 320)
    assert framed.image.mode == "RGB"
    assert 0 <= left < right <= 320
    assert 0 <= top < bottom <= 320
    assert (right - left > bottom - top) == (sides[0] > sides[1])
    assert max(right - left, bottom - top) == 320
    resized = image.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
    assert framed.image.crop(framed.box).tobytes() == resized.tobytes()


def long_photo() -> tuple[Image.Image, Image.Image]:
    """A photo of 4 to 1 with a dark shirt at its right, and the mask it should have."""
    photo, truth = on_plain_ground()
    long, long_truth = plain_image((225, 220, 210), (1040, 260)), Image.new("L", (1040, 260))
    long.paste(photo, (700, 0))
    long_truth.paste(truth, (700, 0))
    return long, long_truth


@pytest.mark.parametrize("turn", [None, Image.Transpose.ROTATE_90])
def test_the_mask_of_a_long_photo_is_stretched_back_over_the_photo(turn: Image.Transpose | None, weights: Path) -> None:
    photo, truth = (image.transpose(turn) if turn is not None else image for image in long_photo())
    mask = background.predict_mask(photo, network(weights))

    assert (mask.mode, mask.size) == ("L", (320, 320))
    assert overlap(covered(mask, photo), np.asarray(truth, np.int64)) > 0.8


def darken(image: Image.Image, share: float = 0.15) -> Image.Image:
    return image.point([round(value * share) for value in range(256)] * 3)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.15, 0.0])
def test_the_borders_of_a_dark_photo_are_as_much_darker(share: float) -> None:
    """As the network gets the photo divided by its largest value."""
    framed = background.frame(darken(plain_image((255, 255, 255), (400, 100)), share), 320)

    assert framed.image.getpixel((0, 0)) == tuple(round(value * round(255 * share) / 255) for value in (124, 116, 104))
    assert framed.image.getpixel((160, 160)) == (round(255 * share),) * 3


@pytest.mark.parametrize(("cut", "number"), [("t-shirt", 3), ("bag", 2)])
def test_a_long_photo_that_is_dark_has_the_mask_of_the_bright_one(cut: str, number: int, weights: Path) -> None:
    drawn = draw.draw(cut, number).resize((200, 200))
    photo = Image.fromarray(np.repeat(np.asarray(drawn), 4, axis=0))
    bright, dark = (background.predict_mask(image, network(weights)) for image in (photo, darken(photo)))

    assert 0.2 < np.asarray(bright, float).mean() / 255 < 0.6
    # With bright borders it is 0.31 for the shirt, 0.88 for the bag.
    assert overlap(covered(bright, photo), covered(dark, photo)) > 0.98


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_what_holds_no_weights_makes_no_mask(kept: int, weights: Path, tmp_path: Path) -> None:
    broken = tmp_path / "u2netp.onnx"
    broken.write_bytes(weights.read_bytes()[:kept])

    with pytest.raises(RuntimeError, match=r"(?i)model"):
        background.predict_mask(garment(), network(broken))
