"""One photo's bytes: pixels and what identifies it, or the reason why it has none."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imageset.formats.hdf5 import Pixels
from imageset.photos import decode
from imageset.photos.background import Network
from imageset.photos.preprocess import PhotoResult, PreparedPhoto, PreprocessRecipe, Rejected, preprocess_photo
from imageset.runtime.sections import PreprocessParams
from sandbox import draw
from tests.conftest import jpeg, photo_bytes, plain_image
from tests.photos.test_decode import saved
from tests.stages.test_ingest import bomb, broken_png

RED, GREEN = (220, 20, 20), (20, 200, 20)
HTML = b"<!DOCTYPE html><html>Please log in</html>"

# Another value of each param that leaves a photo its pixels than `recipe` has.
SMALL: dict[str, Any] = {"image_side": 8, "fill": RED, "fit": "crop", "color": "grayscale"}
OTHERS: dict[str, Any] = SMALL | {
    "min_foreground": 0.0,
    "max_foreground": 1.0,
    "max_pixels": 1_650_000,
    "max_rejected_share": 1.0,
}


def recipe(weights: Path | None = None, **changes: Any) -> PreprocessRecipe:
    """Return a recipe of small images in colour; weights: of u2netp, None to keep backgrounds."""
    values: dict[str, Any] = {
        "background": "remove" if weights else "keep",
        "mask_side": None,
        "fill": (0, 255, 0),
        "fit": "pad",
        "color": "rgb",
        "image_side": 32,
        "min_foreground": 0.01,
        "max_foreground": 0.99,
        "max_pixels": 2_000_000,
        "max_rejected_share": 0.2,
    }
    params = PreprocessParams(**values | changes)
    return PreprocessRecipe(params, Network("u2netp", weights, params.mask_side or 320) if weights else None)


def prepared(result: PhotoResult) -> PreparedPhoto:
    """Return what was made of a photo that is to have pixels."""
    assert isinstance(result.outcome, PreparedPhoto)
    return result.outcome


def source_of(result: PhotoResult) -> tuple[bytes, str, str, str]:
    """Return what is to depend on the photo alone: its thumbnail, sum and hashes."""
    found = prepared(result)
    return found.thumbnail.tobytes(), found.sha256, found.phash, found.phash_mirrored


def pixels_of(image: Image.Image, **changes: Any) -> Pixels:
    return prepared(preprocess_photo(jpeg(image), recipe(**changes))).pixels


def large_photo() -> bytes:
    """A photo that is decoded in another size for each of its uses, and hashed otherwise by way of its colours."""
    patches = np.random.default_rng(1).integers(0, 2, (15, 11, 3)).astype(np.uint8) * 255
    photo = Image.fromarray(patches).resize((1100, 1500), Image.Resampling.NEAREST)
    photo.paste(draw.draw("t-shirt", 3).resize((500, 700)), (300, 400))
    return jpeg(photo)


def is_near(pixels: Any, color: Any) -> bool:
    return bool(np.abs(np.asarray(pixels, np.int64) - color).max() <= 6)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize(("color", "channels"), [("grayscale", 1), ("rgb", 3)])
def test_pixels_are_a_square_of_bytes(fit: str, color: str, channels: int) -> None:
    for sides in ((1, 300), (300, 1), (1, 1), (900, 1300)):
        pixels = pixels_of(plain_image(sides=sides), fit=fit, color=color, image_side=16)

        assert pixels.shape == (16, 16, channels)
        assert pixels.dtype == np.uint8


def test_grayscale_is_luma() -> None:
    assert is_near(pixels_of(plain_image(RED), fit="crop", color="grayscale"), (80,))


def dark_at_the_top() -> Image.Image:
    """A red photo three times as high as it is wide, the uppermost quarter black."""
    image = plain_image(RED, (80, 240))
    image.paste((0, 0, 0), (0, 0, 80, 60))
    return image


def test_pad_keeps_all_of_the_photo_between_bars_of_the_fill() -> None:
    pixels = pixels_of(dark_at_the_top(), fit="pad", fill=GREEN)

    assert is_near(pixels[:, :9], GREEN)
    assert is_near(pixels[:, -9:], GREEN)
    assert is_near(pixels[2, 16], (0, 0, 0))
    assert is_near(pixels[-2, 16], RED)


def test_crop_takes_the_middle_of_the_photo() -> None:
    assert is_near(pixels_of(dark_at_the_top(), fit="crop", fill=GREEN), RED)


def test_stretch_fills_the_square_with_all_of_the_photo() -> None:
    pixels = pixels_of(dark_at_the_top(), fit="stretch", fill=GREEN)

    assert is_near(pixels[:6], (0, 0, 0))
    assert is_near(pixels[-20:], RED)


def test_a_photo_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = jpeg(dark_at_the_top().transpose(Image.Transpose.ROTATE_90), exif=exif)
    pixels = prepared(preprocess_photo(lying, recipe(fit="stretch"))).pixels

    assert is_near(pixels[:6], (0, 0, 0))
    assert is_near(pixels, pixels_of(dark_at_the_top(), fit="stretch"))


def test_large_images_keep_the_photos_detail() -> None:
    checkers = np.indices((1024, 1024)).sum(axis=0) // 2 % 2 * 255
    image = Image.fromarray(checkers.astype(np.uint8))

    assert pixels_of(image, image_side=1024, color="grayscale").std() > 100
    assert pixels_of(image, image_side=128, color="grayscale").std() < 20


def test_the_background_is_the_fill(weights: Path) -> None:
    kept, removed = (
        prepared(preprocess_photo(photo_bytes(), recipe(path, fit="stretch"))).pixels for path in (None, weights)
    )
    corners = np.ix_([0, -1], [0, -1])

    assert is_near(removed[corners], (0, 255, 0))
    assert not is_near(kept[corners], (0, 255, 0))
    assert is_near(removed[16, 16], kept[16, 16])


def test_a_mask_depends_on_the_photo_and_the_network_alone_and_may_be_given(weights: Path) -> None:
    body = large_photo()
    made = preprocess_photo(body, recipe(weights))
    again = preprocess_photo(body, recipe(Path("no weights"), **SMALL), made.mask)
    changed = preprocess_photo(body, recipe(weights, **SMALL))

    assert made.mask is not None
    assert changed.mask is not None
    assert (made.mask.mode, made.mask.size) == ("L", (320, 320))
    assert made.mask.tobytes() == changed.mask.tobytes()
    assert prepared(again).pixels.tobytes() == prepared(changed).pixels.tobytes()
    assert source_of(again) == source_of(made)
    assert again.mask is None


def half_covered() -> Image.Image:
    mask = Image.new("L", (320, 320))
    mask.paste(255, (0, 0, 320, 160))
    return mask


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [((0.0, 1.0), ""), ((0.5, 0.5), ""), ((0.501, 1.0), "mask_empty"), ((0.0, 0.499), "mask_full")],
)
def test_a_given_mask_that_found_too_little_or_too_much_rejects_the_photo(
    bounds: tuple[float, float], reason: str
) -> None:
    bounded = recipe(Path("no weights"), min_foreground=bounds[0], max_foreground=bounds[1])
    outcome, predicted = preprocess_photo(photo_bytes(), bounded, half_covered())

    assert getattr(outcome, "reason", "") == reason
    assert predicted is None


def test_a_mask_that_rejects_its_photo_is_returned_too(weights: Path) -> None:
    outcome, mask = preprocess_photo(photo_bytes(), recipe(weights, min_foreground=1.0, max_foreground=1.0))

    assert outcome == Rejected("mask_empty")
    assert mask is not None
    assert preprocess_photo(photo_bytes(), recipe(weights, max_foreground=0.0, min_foreground=0.0), mask) == (
        Rejected("mask_full"),
        None,
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (HTML, "not_an_image"),
        (bomb(), "too_many_pixels"),
        (photo_bytes()[:1500], "truncated"),
        (broken_png(), "undecodable"),
    ],
)
def test_bytes_that_are_no_photo_are_rejected(body: bytes, reason: str) -> None:
    for some_recipe in (recipe(), recipe(Path("no weights"))):
        assert preprocess_photo(body, some_recipe) == (Rejected(reason), None)


def test_a_photo_that_needs_too_much_memory_is_rejected_and_the_next_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imageset.photos.preprocess.BYTES_TO_DECODE", 50_000_000)
    greedy = saved(Image.new("1", (7000, 7000)), "PNG")

    assert preprocess_photo(greedy, recipe(max_pixels=50_000_000)).outcome == Rejected("decoder_memory")
    assert prepared(preprocess_photo(photo_bytes(), recipe()))


def test_what_identifies_a_photo_depends_on_no_param(weights: Path) -> None:
    body = large_photo()
    expected = preprocess_photo(body, recipe())
    recipes = [
        *(recipe(**{name: value}) for name, value in OTHERS.items()),
        recipe(image_side=1000),
        recipe(fit="stretch"),
        recipe(weights),
        recipe(weights, mask_side=64),
    ]

    assert set(OTHERS) | {"background", "mask_side"} == set(PreprocessParams.model_fields)
    assert prepared(expected).sha256 == hashlib.sha256(body).hexdigest()
    assert {source_of(preprocess_photo(body, other)) for other in recipes} == {source_of(expected)}


def test_a_photo_is_decoded_once_for_all_uses_of_one_size_and_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    views: list[tuple[Any, ...]] = []
    real = decode.decode

    def counted(*view: Any) -> Image.Image:
        views.append(view[1:])
        return real(*view)

    monkeypatch.setattr(decode, "decode", counted)
    preprocess_photo(large_photo(), recipe(color="grayscale", image_side=128))

    assert views == [(2_000_000, 5, "L")]
