"""Facts of a photo: exact on photos whose facts are known, the same for two resolutions, and blur is found."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from imageset.photos import facts
from imageset.photos.decode import PhotoLimits
from imageset.photos.facts import PhotoFacts, measure_sharpness
from imageset.photos.pixels import HASHING_SIDE, choose_hash_reduction
from imageset.photos.scaled_decodes import ScaledDecodes
from sandbox import draw
from tests.conftest import jpeg, plain_image
from tests.photos.test_decode import saved

GARMENTS = [(cut, seed) for cut in ("t-shirt", "dress", "pants", "bag") for seed in range(5)]


def measure(body: bytes) -> PhotoFacts:
    """Measure a photo as preprocess does."""
    decodes = ScaledDecodes(body, PhotoLimits(50_000_000))
    return facts.measure_photo(body, decodes.decode_reduced(choose_hash_reduction, "L"), decodes)


def sharpness(image: Image.Image) -> float:
    return measure(jpeg(image)).sharpness


def drawn(cut: str, seed: int, longer: int = 800) -> Image.Image:
    """Return a drawn garment, the longer side of so many pixels."""
    image = draw.draw(cut, seed)
    return image.resize((round(image.width * longer / max(image.size)), round(image.height * longer / max(image.size))))


def blurred(image: Image.Image, radius: float) -> Image.Image:
    """Blur a photo by so many pixels at a longer side of 256 pixels."""
    return image.filter(ImageFilter.GaussianBlur(radius * max(image.size) / facts.MEASURING_SIDE))


def garment_on_white(gray: int) -> Image.Image:
    """A sharp garment of one gray, on white."""
    image = Image.new("L", (900, 1200), 255)
    ImageDraw.Draw(image).polygon([(300, 200), (600, 200), (860, 500), (620, 480), (600, 1100), (280, 1100)], gray)
    return image


def test_there_is_enough_of_a_decoded_photo_to_measure() -> None:
    assert HASHING_SIDE >= facts.MEASURING_SIDE


def test_facts_of_known_pixels() -> None:
    values = np.repeat(np.array([[0, 100], [200, 100]], np.uint8), 20, axis=1).repeat(30, axis=0)

    assert measure(saved(Image.fromarray(values), "PNG"))._replace(sharpness=0.0) == (
        *(40, 60, "PNG", 0.0, 100.0),
        round(5000**0.5, 2),
        1.5,
        "",
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # A step of 16: 256 * 16**2 for each row before. A blur makes of it three steps of 4, 8 and 4.
        (np.array([[0, 0, 0, 16, 16, 16]]), (16**2 - 4**2 - 8**2 - 4**2) / (16**2 + 6 / 4)),
        (np.array([[0, 0, 0, 16, 16, 16]] * 200), (16**2 - 4**2 - 8**2 - 4**2) / (16**2 + 6 / 4)),
        (np.array([[0, 0, 0, 16, 16, 16]] * 200).T, (16**2 - 4**2 - 8**2 - 4**2) / (16**2 + 6 / 4)),
        (np.zeros((1, 1)), 0),
        (np.full((1, 256), 255), 0),
        (np.full((256, 200), 255), 0),
    ],
)
def test_sharpness_of_known_pixels(values: Any, expected: float) -> None:
    assert measure_sharpness(Image.fromarray(values.astype(np.uint8))) == round(expected, 4)


def test_sharpness_is_the_same_however_many_rows_are_measured_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [facts.reduce_to_measure(drawn("dress", 1, longer).convert("L")) for longer in (128, 130, 190, 256)]
    expected = [measure_sharpness(image) for image in images]
    for rows in (1, 7, 1000):
        monkeypatch.setattr(facts, "ROWS_AT_ONCE", rows)

        assert [measure_sharpness(image) for image in images] == expected


def test_every_drawn_garment_is_sharper_than_each_of_them_blurred() -> None:
    sharp = [sharpness(drawn(*garment)) for garment in GARMENTS]
    soft = [sharpness(blurred(drawn(*garment), 2)) for garment in GARMENTS]

    assert max(soft) < 0.25 < 0.4 < min(sharp)


@pytest.mark.parametrize("gray", [0, 128, 230, 250])
def test_a_plain_garment_on_white_is_not_blurred_however_pale(gray: int) -> None:
    assert sharpness(garment_on_white(gray)) > 0.25
    assert sharpness(blurred(garment_on_white(gray), 2)) < 0.2


def test_two_resolutions_of_a_photo_have_about_the_same_facts() -> None:
    for garment in GARMENTS[::4]:
        large, small = (measure(jpeg(drawn(*garment, longer))) for longer in (1600, 500))

        assert large.sharpness == pytest.approx(small.sharpness, rel=0.1)
        assert large.brightness == pytest.approx(small.brightness, abs=0.5)
        assert large.contrast == pytest.approx(small.contrast, rel=0.02)


@pytest.mark.parametrize("sides", [(300, 500), (500, 300), (1025, 1024), (1024, 1025), (700, 700), (2, 1), (1, 9000)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_sides_are_those_of_the_photo_turned_upright(sides: tuple[int, int], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = measure(jpeg(plain_image(sides=sides), exif=exif))

    assert (found.width, found.height) == (sides if orientation < 5 else sides[::-1])
    assert found.aspect_ratio == round(max(sides) / min(sides), 4)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_the_format_is_pillows(name: str) -> None:
    body = saved(drawn("dress", 1), name)

    assert measure(body).format == Image.open(io.BytesIO(body)).format == name


def test_a_file_of_two_jpegs_is_a_jpeg() -> None:
    body = saved(drawn("dress", 1), "MPO", save_all=True, append_images=[drawn("dress", 2)])

    assert Image.open(io.BytesIO(body)).format == "MPO"
    assert measure(body).format == "JPEG"


def test_of_an_animation_the_first_frame_is_measured() -> None:
    frames = [plain_image((gray, gray, gray), (40, 30)) for gray in (10, 250)]

    assert measure(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])).brightness == 10


def test_transparent_pixels_are_white_and_cmyk_is_measured_by_its_luma() -> None:
    half_there = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    half_there.paste((0, 0, 0, 255), (0, 0, 40, 20))

    assert measure(saved(half_there, "PNG")).brightness == 127.5
    assert measure(saved(Image.new("CMYK", (40, 40), (0, 0, 0, 155)), "JPEG")).brightness == pytest.approx(100, abs=1)


@pytest.mark.parametrize(("gray", "brightness"), [(0, 0.0), (255, 255.0)])
def test_black_and_white(gray: int, brightness: float) -> None:
    found = measure(jpeg(plain_image((gray, gray, gray), (400, 500))))

    assert (found.sharpness, found.brightness, found.contrast) == (0.0, brightness, 0.0)
