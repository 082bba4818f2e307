"""Pixels: fit, fill, colour, mask, perceptual hashes."""

import io
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageOps

from imageset import pixels
from sandbox import draw
from tests.conftest import jpeg, plain_image

RED, WHITE, BLUE = (200, 30, 30), (255, 255, 255), (10, 20, 240)
Fit = Literal["stretch", "pad", "crop"]
FITS: tuple[Fit, ...] = ("stretch", "pad", "crop")


def flag(sides: tuple[int, int]) -> Image.Image:
    """A red picture with a blue stripe along its top and its left edge, a tenth of its sides wide."""
    image = plain_image(RED, sides)
    image.paste(BLUE, (0, 0, sides[0], max(1, sides[1] // 10)))
    image.paste(BLUE, (0, 0, max(1, sides[0] // 10), sides[1]))
    return image


def is_blue(image: Image.Image) -> Any:
    return np.asarray(image)[..., 2] > 128


@pytest.mark.parametrize(("sides", "expected"), [((1024, 600), (512, 300)), ((300, 2048), (75, 512)),
                                                 ((20_000, 1), (512, 1)), ((1, 20_000), (1, 512)),
                                                 ((512, 512), (512, 512)), ((40, 60), (40, 60)), ((1, 1), (1, 1))])
def test_a_large_photo_shrinks_to_the_working_side_and_keeps_its_shape(sides: tuple[int, int],
                                                                       expected: tuple[int, int]) -> None:
    assert pixels.shrink(plain_image(sides=sides), 512).size == expected


def test_shrinking_keeps_the_picture() -> None:
    small = pixels.shrink(flag((1000, 2000)), 512)

    assert small.size == (256, 512)
    assert np.abs(np.asarray(small, int) - np.asarray(flag((256, 512)), int)).mean() < 4


@pytest.mark.parametrize(("image_side", "expected"), [(64, 512), (128, 512), (256, 512), (512, 1024), (2048, 4096)])
def test_large_images_are_made_from_larger_ones(image_side: int, expected: int) -> None:
    assert pixels.working_side(image_side) == expected


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("sides", [(40, 60), (300, 200), (64, 64), (1, 512), (512, 1), (1, 1)])
def test_every_photo_becomes_a_square(sides: tuple[int, int], how: Fit) -> None:
    assert pixels.fit(plain_image(sides=sides), 64, how, WHITE).size == (64, 64)


def test_pad_keeps_the_whole_photo_in_the_middle_of_the_fill() -> None:
    square = np.asarray(pixels.fit(plain_image(RED, (40, 80)), 80, "pad", BLUE))

    assert (square[:, 20:60] == RED).all()
    assert (square[:, :20] == BLUE).all()
    assert (square[:, 60:] == BLUE).all()


def test_crop_keeps_the_middle_and_its_shape() -> None:
    tall = Image.new("RGB", (40, 80), BLUE)
    tall.paste(RED, (0, 20, 40, 60))

    assert (np.asarray(pixels.fit(tall, 40, "crop", WHITE)) == RED).all()


def test_stretch_keeps_all_and_loses_the_shape() -> None:
    stripes = is_blue(pixels.fit(flag((50, 200)), 100, "stretch", WHITE))

    assert stripes[:9].all()
    assert stripes[:, :9].all()
    assert not stripes[12:, 12:].any()


@pytest.mark.parametrize("how", FITS)
def test_a_square_photo_of_the_right_side_is_left_as_it_is(how: Fit) -> None:
    photo = flag((64, 64))

    assert pixels.fit(photo, 64, how, WHITE).tobytes() == photo.tobytes()


def test_rgb_keeps_three_channels_and_grayscale_the_luma() -> None:
    image = Image.new("RGB", (3, 1))
    for column, color in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        image.putpixel((column, 0), color)

    assert pixels.to_array(image, "rgb").tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert pixels.to_array(image, "grayscale").tolist() == [[[76], [150], [29]]]
    assert pixels.to_array(image, "grayscale").dtype == np.uint8


def test_composite_keeps_what_the_mask_covers_and_fills_the_rest() -> None:
    mask = Image.new("L", (4, 1))
    mask.putdata([0, 255, 51, 0])
    result = np.asarray(pixels.composite(plain_image((0, 0, 0), (4, 1)), mask, (250, 100, 0)))

    assert result.tolist() == [[[250, 100, 0], [0, 0, 0], [200, 80, 0], [250, 100, 0]]]


@pytest.mark.parametrize(("covered", "share"), [(0, 0.0), (5, 0.25), (10, 0.5), (20, 1.0)])
def test_the_share_of_a_mask_is_what_it_covers(covered: int, share: float) -> None:
    mask = Image.new("L", (10, 20))
    mask.paste(255, (0, 0, 10, covered))

    assert pixels.foreground(mask) == share


def bits_apart(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


@pytest.mark.parametrize("garment", ["t-shirt", "bag", "pants"])
def test_copies_of_a_photo_have_near_hashes(garment: str) -> None:
    photo = draw.draw(garment, 5)
    phash, mirrored = pixels.perceptual_hashes(photo)
    copies = {
        "resized": photo.resize((photo.width // 3, photo.height // 3)),
        "encoded again": Image.open(io.BytesIO(jpeg(photo))),
        "brighter": photo.point(lambda value: min(255, round(value * 1.1))),
    }

    assert len(phash) == len(mirrored) == 16
    assert pixels.perceptual_hashes(ImageOps.mirror(photo)) == (mirrored, phash)
    assert all(bits_apart(phash, pixels.perceptual_hashes(copy)[0]) <= 6 for copy in copies.values())


def test_other_photos_have_far_hashes() -> None:
    hashes = [pixels.perceptual_hashes(draw.draw(garment, 5))[0] for garment in ("t-shirt", "bag", "pants", "scarf")]

    assert min(bits_apart(one, other) for one in hashes for other in hashes if one != other) > 10
    assert len(set(hashes)) == 4


@pytest.mark.parametrize("sides", [(1, 1), (1, 512)])
def test_the_smallest_photo_has_hashes(sides: tuple[int, int]) -> None:
    assert [len(text) for text in pixels.perceptual_hashes(plain_image(sides=sides))] == [16, 16]
