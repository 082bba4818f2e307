"""Pixels: fit, fill, colour, mask, perceptual hashes."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from imageset.photos import pixels
from imageset.runtime.sections import Fit
from sandbox import draw
from tests.conftest import jpeg, plain_image

RED, WHITE, BLUE = (200, 30, 30), (255, 255, 255), (10, 20, 240)
FITS: tuple[Fit, ...] = ("stretch", "pad", "crop")


def flag(sides: tuple[int, int]) -> Image.Image:
    """A red picture with a blue stripe along its top and its left edge, a tenth of its sides wide."""
    image = plain_image(RED, sides)
    image.paste(BLUE, (0, 0, sides[0], max(1, sides[1] // 10)))
    image.paste(BLUE, (0, 0, max(1, sides[0] // 10), sides[1]))
    return image


def is_blue(image: Image.Image) -> Any:
    return np.asarray(image)[..., 2] > 128


@pytest.mark.parametrize("how", FITS)
def test_what_is_left_of_a_large_photo_is_twice_the_detail_that_is_kept_and_less_than_four_times(how: Fit) -> None:
    for sides in ((1024, 600), (300, 2048), (7000, 5000), (20_000, 100), (100, 20_000), (512, 512), (40, 60), (1, 1)):
        for image_side in (8, 32, 128, 500):
            factor = pixels.choose_fit_reduction(*sides, image_side, how)
            kept = max(sides) if how == "pad" else min(sides)  # becomes image_side pixels long

            assert factor == 1 or kept / factor >= 2 * image_side
            assert kept / factor < 4 * image_side


@pytest.mark.parametrize(("sides", "expected"), [((255, 100), 1), ((511, 511), 1), ((512, 1), 2), ((1, 2560), 10)])
def test_photos_are_hashed_at_256_pixels_or_a_little_more(sides: tuple[int, int], expected: int) -> None:
    assert pixels.choose_hash_reduction(*sides) == expected


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


def test_rgb_has_three_channels_and_grayscale_one() -> None:
    image = Image.new("RGB", (3, 1))
    for column, color in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        image.putpixel((column, 0), color)

    assert pixels.to_array(image).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert pixels.to_array(image.convert("L")).tolist() == [[[76], [150], [29]]]
    assert pixels.to_array(image.convert("L")).dtype == np.uint8


def test_composite_keeps_what_the_mask_covers_and_fills_the_rest() -> None:
    mask = Image.new("L", (4, 1))
    mask.putdata([0, 255, 51, 0])
    color, luma = (
        pixels.to_array(pixels.composite(Image.new(mode, (4, 1)), mask, (250, 100, 0))).tolist()
        for mode in ("RGB", "L")
    )

    assert color == [[[250, 100, 0], [0, 0, 0], [200, 80, 0], [250, 100, 0]]]
    assert luma == [[[133], [0], [106], [133]]]


@pytest.mark.parametrize("sides", [(320, 320), (20, 30), (200, 7)])
def test_a_mask_of_other_sides_is_laid_over_the_whole_photo(sides: tuple[int, int]) -> None:
    mask = Image.new("L", sides, 255)
    mask.paste(0, (0, 0, sides[0] // 2, sides[1]))
    result = np.asarray(pixels.composite(plain_image(RED, (80, 120)), mask, BLUE))

    assert result.shape == (120, 80, 3)
    assert (result[:, :24] == BLUE).all()
    assert (result[:, 56:] == RED).all()


@pytest.mark.parametrize("how", FITS)
def test_a_grayscale_photo_is_filled_with_the_luma_of_the_fill(how: Fit) -> None:
    of_luma = pixels.fit(flag((40, 80)).convert("L"), 40, how, BLUE)
    of_color = pixels.fit(flag((40, 80)), 40, how, BLUE).convert("L")

    assert of_luma.mode == "L"
    assert np.abs(np.asarray(of_luma, int) - np.asarray(of_color, int)).max() <= 2


@pytest.mark.parametrize(("covered", "share"), [(0, 0.0), (5, 0.25), (10, 0.5), (20, 1.0)])
def test_the_share_of_a_mask_is_what_it_covers(covered: int, share: float) -> None:
    mask = Image.new("L", (10, 20))
    mask.paste(255, (0, 0, 10, covered))

    assert pixels.measure_foreground(mask) == share


def hashes(photo: Image.Image) -> tuple[str, str]:
    return pixels.hash_thumbnail(pixels.make_thumbnail(photo))


def bits_apart(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


@pytest.mark.parametrize("garment", ["t-shirt", "bag", "pants"])
def test_copies_of_a_photo_have_near_hashes(garment: str) -> None:
    photo = draw.draw(garment, 5).convert("L")
    phash, mirrored = hashes(photo)
    copies = {
        "resized": photo.resize((photo.width // 3, photo.height // 3)),
        "reduced": photo.reduce(3),
        "encoded again": Image.open(io.BytesIO(jpeg(photo))),
        "brighter": photo.point(lambda value: min(255, round(value * 1.1))),
    }
    of_mirrored = hashes(ImageOps.mirror(photo))

    assert len(phash) == len(mirrored) == 16
    assert max(map(bits_apart, of_mirrored, (mirrored, phash))) <= 4
    assert bits_apart(phash, mirrored) > 10
    assert all(bits_apart(phash, hashes(copy)[0]) <= 6 for copy in copies.values())


def test_other_photos_have_far_hashes() -> None:
    found = [hashes(draw.draw(garment, 5).convert("L"))[0] for garment in ("t-shirt", "bag", "pants", "scarf")]

    assert min(bits_apart(one, other) for one in found for other in found if one != other) > 10
    assert len(set(found)) == 4


@pytest.mark.parametrize("sides", [(1, 1), (1, 512)])
def test_the_smallest_photo_has_hashes(sides: tuple[int, int]) -> None:
    assert [len(text) for text in hashes(plain_image(sides=sides).convert("L"))] == [16, 16]
