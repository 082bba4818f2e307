"""Which alpha channels are cut-outs of a garment, on drawn examples."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from imageset.photos.cut_outs import is_cut_out
from sandbox import draw
from sandbox.garments import GARMENTS

SIDES = (300, 400)


def cut_out(cut: str, sides: tuple[int, int] = SIDES, seed: int = 1) -> Image.Image:
    """Return a drawn garment, mode RGBA, its ground transparent: what the photo's corners have for a colour."""
    photo = draw.draw(cut, seed).convert("RGB").resize(sides, Image.Resampling.LANCZOS)
    values = np.asarray(photo, int)
    ground = np.median(np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]]), axis=0)
    apart = np.abs(values - ground).max(axis=2)
    alpha = Image.fromarray((apart > 24).astype(np.uint8) * 255).filter(ImageFilter.ModeFilter(7))
    photo.putalpha(alpha.filter(ImageFilter.GaussianBlur(1)))
    return photo


def empty(value: int = 0) -> Image.Image:
    return Image.new("L", SIDES, value)


def drawn(make: Callable[[ImageDraw.ImageDraw], object], value: int = 0) -> Image.Image:
    alpha = empty(value)
    make(ImageDraw.Draw(alpha))
    return alpha


def garment() -> list[tuple[int, int]]:
    """The outline of a shirt."""
    return [
        (60, 80),
        (120, 60),
        (180, 60),
        (240, 80),
        (280, 180),
        (235, 190),
        (230, 340),
        (70, 340),
        (65, 190),
        (20, 180),
    ]


def draw_with_shadow(on: ImageDraw.ImageDraw) -> None:
    on.rectangle((70, 330, 230, 370), fill=60)
    on.polygon(garment(), fill=255)


def draw_shoes(on: ImageDraw.ImageDraw) -> None:
    for left in (30, 170):
        shoe = [(0, 100), (30, 100), (40, 280), (100, 300), (100, 330), (0, 330)]
        on.polygon([(left + x, y) for x, y in shoe], fill=255)


CUT_OUTS = {
    "shirt": drawn(lambda on: on.polygon(garment(), fill=255)),
    "shirt with soft edges": drawn(lambda on: on.polygon(garment(), fill=255)).filter(ImageFilter.GaussianBlur(3)),
    "shirt cut off below": drawn(lambda on: on.polygon([(x, y + 60) for x, y in garment()], fill=255)),
    "shirt with a faint shadow": drawn(draw_with_shadow),
    "two shoes": drawn(draw_shoes),
    "thin chain": drawn(lambda on: on.arc((60, 60, 240, 340), 0, 360, fill=255, width=8)),
}
OTHERS = {
    "all opaque": empty(255),
    "nothing": empty(0),
    "veil": empty(128),
    "rounded corners": drawn(lambda on: on.rounded_rectangle((0, 0, 299, 399), 40, fill=255)),
    "rounded corners and a margin": drawn(lambda on: on.rounded_rectangle((10, 10, 289, 389), 20, fill=255)),
    "picture in a margin": drawn(lambda on: on.rectangle((40, 40, 259, 359), fill=255)),
    "badge": drawn(lambda on: on.ellipse((0, 50, 299, 349), fill=255)),
    "watermark in an opaque photo": drawn(lambda on: on.rectangle((100, 180, 200, 220), fill=120), 255),
    "watermark alone": drawn(lambda on: on.text((100, 180), "SHOP", fill=255)),
    "half transparent shirt": drawn(lambda on: on.polygon(garment(), fill=140)),
    "gradient": Image.linear_gradient("L").resize(SIDES),
    "lower half": drawn(lambda on: on.rectangle((0, 200, 299, 399), fill=255)),
    "noise": Image.fromarray(np.random.default_rng(1).integers(0, 256, SIDES[::-1], np.uint8)),
}


@pytest.mark.parametrize("name", CUT_OUTS)
def test_cut_outs(name: str) -> None:
    assert is_cut_out(CUT_OUTS[name])


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_cut_out(name: str) -> None:
    assert not is_cut_out(OTHERS[name])


def test_drawn_garments_that_were_cut_out() -> None:
    found = [is_cut_out(cut_out(cut, seed=seed).getchannel("A")) for cut in GARMENTS for seed in (1, 2, 3)]

    assert sum(found) >= 0.9 * len(found)


@pytest.mark.parametrize("sides", [(1, 1), (1, 50), (50, 1), (2, 2)])
def test_the_smallest_alpha_has_an_answer(sides: tuple[int, int]) -> None:
    for value in (0, 128, 255):
        assert not is_cut_out(Image.new("L", sides, value))
