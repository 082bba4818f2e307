"""One photo's bytes and its mask: pixels and what identifies it, or the reason why it has none."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imageset.formats.hdf5 import Pixels
from imageset.photos import background, decode, embeddings
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.photos.file_formats import FORMATS, PLUGINS
from imageset.photos.outcomes import Rejected
from imageset.photos.preprocess import (
    DecodedPhoto,
    PreparedPhoto,
    count_image_bytes,
    get_image_shape,
    preprocess_photo,
)
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.runtime.sections import PreprocessParams
from sandbox import draw
from tests.conftest import jpeg, photo_bytes, plain_image
from tests.photos.samples import heic
from tests.photos.test_decode import saved
from tests.stages.test_ingest import bomb, lossless_jpeg

RED, GREEN = (220, 20, 20), (20, 200, 20)
HTML = b"<!DOCTYPE html><html>Please log in</html>"

# Another value of each param that leaves a photo its pixels than `section` has.
OTHERS: dict[str, Any] = {
    "image_side": 8,
    "fill": RED,
    "fit": "crop",
    "color": "grayscale",
    "min_foreground": 0.0,
    "max_foreground": 1.0,
    "max_pixels": 1_650_000,
    "min_sharpness": 1.0,
    "min_brightness": 255.0,
    "max_brightness": 0.0,
    "min_side": 10_000,
    "max_aspect_ratio": 1.0,
    "max_rejected_share": 1.0,
}


def section(**changes: Any) -> PreprocessParams:
    """Return params for small images in colour."""
    values: dict[str, Any] = {
        "fill": (0, 255, 0),
        "fit": "pad",
        "color": "rgb",
        "image_side": 32,
        "min_foreground": 0.01,
        "max_foreground": 0.99,
        "max_pixels": 2_000_000,
        "min_sharpness": None,
        "min_brightness": None,
        "max_brightness": None,
        "min_side": None,
        "max_aspect_ratio": None,
        "max_rejected_share": 0.2,
    }
    return PreprocessParams(**values | changes)


def decoded(outcome: DecodedPhoto | Rejected) -> DecodedPhoto:
    """Return what was made of a photo that can be decoded."""
    assert isinstance(outcome, DecodedPhoto)
    return outcome


def prepared(outcome: DecodedPhoto | Rejected) -> PreparedPhoto:
    """Return what was made of a photo that is to have pixels."""
    made = decoded(outcome).prepared
    assert isinstance(made, PreparedPhoto)
    return made


def source_of(outcome: DecodedPhoto | Rejected) -> tuple[Any, ...]:
    """Return what is to depend on the photo alone: its thumbnail, sum and hashes, facts and preview."""
    photo, found = decoded(outcome), prepared(outcome)
    return found.thumbnail.tobytes(), found.sha256, found.phash, found.phash_mirrored, photo.facts, photo.preview


def pixels_of(image: Image.Image, **changes: Any) -> Pixels:
    return prepared(preprocess_photo(jpeg(image), section(**changes))).pixels


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

    params = section(fit=fit, color=color, image_side=16)

    assert (get_image_shape(params), count_image_bytes(params)) == (pixels.shape, pixels.nbytes)


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
    pixels = prepared(preprocess_photo(lying, section(fit="stretch"))).pixels

    assert is_near(pixels[:6], (0, 0, 0))
    assert is_near(pixels, pixels_of(dark_at_the_top(), fit="stretch"))


def test_large_images_keep_the_photos_detail() -> None:
    checkers = np.indices((1024, 1024)).sum(axis=0) // 2 % 2 * 255
    image = Image.fromarray(checkers.astype(np.uint8))

    assert pixels_of(image, image_side=1024, color="grayscale").std() > 100
    assert pixels_of(image, image_side=128, color="grayscale").std() < 20


def half_covered(side: int = 320) -> Image.Image:
    """A mask that keeps the left half of a photo."""
    mask = Image.new("L", (side, side))
    mask.paste(255, (0, 0, side // 2, side))
    return mask


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", [*FORMATS, "heic"])
def test_a_cut_photo_has_the_reason_that_ingest_gives(name: str, share: float) -> None:
    whole = heic() if name == "heic" else photo_bytes(2, kind=PLUGINS[name])
    cut = whole[: int(len(whole) * share)]
    reason, _ = decode.check(cut, decode.PhotoLimits(2_000_000, (name,)))

    assert reason in ("truncated", "undecodable")
    assert preprocess_photo(cut, section(), None, (name,)) == Rejected(reason)


def test_the_background_is_the_fill(weights: Path) -> None:
    mask = background.predict_mask(
        decode.decode(photo_bytes(), PhotoLimits(2_000_000)), Network("u2netp", weights, 320)
    )
    kept, removed = (
        prepared(preprocess_photo(photo_bytes(), section(fit="stretch"), some)).pixels for some in (None, mask)
    )
    corners = np.ix_([0, -1], [0, -1])

    assert is_near(removed[corners], (0, 255, 0))
    assert not is_near(kept[corners], (0, 255, 0))
    assert is_near(removed[16, 16], kept[16, 16])


@pytest.mark.parametrize("sides", [(60, 180), (180, 60), (900, 1300)])
@pytest.mark.parametrize("side", [32, 320])
def test_a_mask_of_any_side_is_stretched_over_the_whole_photo(sides: tuple[int, int], side: int) -> None:
    photo, params = jpeg(plain_image(RED, sides)), section(fit="stretch", fill=GREEN)
    pixels = prepared(preprocess_photo(photo, params, half_covered(side))).pixels

    assert is_near(pixels[:, :14], RED)
    assert is_near(pixels[:, 18:], GREEN)


def test_a_photo_on_its_side_is_turned_upright_before_the_mask_is_put_on_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = jpeg(dark_at_the_top().transpose(Image.Transpose.ROTATE_90), exif=exif)
    pixels = prepared(preprocess_photo(lying, section(fit="stretch", fill=GREEN), half_covered())).pixels

    assert is_near(pixels[:6, :14], (0, 0, 0))
    assert is_near(pixels[10:, :14], RED)
    assert is_near(pixels[:, 18:], GREEN)


@pytest.mark.parametrize(("from_alpha", "gray"), [(True, 127), (False, 191)])
def test_transparency_that_is_the_mask_is_applied_once(from_alpha: bool, gray: int) -> None:
    """Half of black on white; a mask of the network that keeps a half takes away half of that."""
    photo = saved(Image.new("RGBA", (48, 48), (0, 0, 0, 128)), "PNG")
    mask, white = Image.new("L", (320, 320), 128), section(fit="stretch", fill=(255, 255, 255))
    made = decoded(preprocess_photo(photo, white, mask, from_alpha=from_alpha)).prepared
    bounded = decoded(preprocess_photo(photo, section(min_foreground=0.51), mask, from_alpha=from_alpha)).prepared

    assert isinstance(made, PreparedPhoto)
    assert np.unique(made.pixels).tolist() == [gray]
    assert bounded == Rejected("mask_empty")


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [((0.0, 1.0), ""), ((0.5, 0.5), ""), ((0.501, 1.0), "mask_empty"), ((0.0, 0.499), "mask_full")],
)
def test_a_mask_that_found_too_little_or_too_much_rejects_the_photo(bounds: tuple[float, float], reason: str) -> None:
    bounded = section(min_foreground=bounds[0], max_foreground=bounds[1])
    outcome = decoded(preprocess_photo(photo_bytes(), bounded, half_covered()))
    unbounded = decoded(preprocess_photo(photo_bytes(), section(), half_covered()))

    assert getattr(outcome.prepared, "reason", "") == reason
    assert (outcome.facts, outcome.preview) == (unbounded.facts, unbounded.preview)


def test_where_backgrounds_are_kept_no_photo_has_too_little_or_too_much() -> None:
    assert prepared(preprocess_photo(photo_bytes(), section(min_foreground=1.0, max_foreground=1.0)))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (HTML, "not_an_image"),
        (bomb(), "too_many_pixels"),
        (photo_bytes()[:1500], "truncated"),
        (lossless_jpeg(), "undecodable"),
    ],
)
def test_bytes_that_are_no_photo_are_rejected(body: bytes, reason: str) -> None:
    assert preprocess_photo(body, section()) == Rejected(reason)


def test_stage_masks_made_sure_that_a_photo_with_a_mask_is_whole() -> None:
    cut = photo_bytes()[: len(photo_bytes()) // 2] + b"\xff\xd9"

    assert isinstance(preprocess_photo(cut, section()), Rejected)
    assert prepared(preprocess_photo(cut, section(), half_covered()))


def test_a_photo_that_needs_too_much_memory_is_rejected_and_the_next_one_is_not() -> None:
    # In a process of its own: memory that earlier tests freed would not count as new.
    script = """
import io
from PIL import Image
from imageset.photos import scaled_decodes
from imageset.photos.preprocess import preprocess_photo
from imageset.runtime.sections import PreprocessParams

scaled_decodes.BYTES_TO_DECODE = 50_000_000
for side in 7000, 70:
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    outcome = preprocess_photo(file.getvalue(), PreprocessParams(**SECTION))
    print(getattr(outcome, "reason", "prepared"))
"""
    values = section(max_pixels=50_000_000).model_dump()
    ended = subprocess.run(
        [sys.executable, "-c", script.replace("SECTION", repr(values))], capture_output=True, text=True
    )

    assert (ended.stdout.split(), ended.stderr) == (["decoder_memory", "prepared"], "")


def test_what_identifies_a_photo_depends_on_no_param_and_no_mask() -> None:
    body = large_photo()
    expected = preprocess_photo(body, section())
    others = [
        *(preprocess_photo(body, section(**{name: value})) for name, value in OTHERS.items()),
        preprocess_photo(body, section(image_side=1000)),
        preprocess_photo(body, section(fit="stretch")),
        preprocess_photo(body, section(), half_covered()),
        preprocess_photo(body, section(), half_covered(64)),
    ]

    assert set(OTHERS) == set(PreprocessParams.model_fields)
    assert prepared(expected).sha256 == hashlib.sha256(body).hexdigest()
    assert {source_of(other) for other in others} == {source_of(expected)}


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ("grayscale", [(5, "YCbCr")]),
        ("rgb", [(5, "YCbCr"), (5, "RGB")]),
    ],
)
def test_a_photo_is_decoded_once_for_all_uses_of_one_size_and_mode(
    color: str, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    views: list[tuple[Any, ...]] = []
    real = decode.decode_plain

    def counted(*view: Any) -> Image.Image:
        views.append(view[1:])
        return real(*view)

    monkeypatch.setattr(decode, "decode_plain", counted)
    preprocess_photo(large_photo(), section(color=color, image_side=128), half_covered())

    assert views == expected


STRIPS = [(3, 2000), (5, 1300), (1, 20_000), (2000, 3), (20_000, 1)]


@pytest.mark.parametrize("how", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("sides", STRIPS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_thin_strips(kind: str, sides: tuple[int, int], how: str) -> None:
    """Some of the picture is in the dataset, and in all that is made of it: never a blank with a label."""
    body = saved(plain_image(RED, sides), kind)
    for color in ("rgb", "grayscale"):
        for mask in (None, Image.new("L", (320, 320), 255)):
            params = section(fit=how, color=color, image_side=128, fill=(255, 255, 255), max_foreground=1.0)
            made = preprocess_photo(body, params, mask)
            assert isinstance(made, DecodedPhoto)
            assert isinstance(made.prepared, PreparedPhoto)
            shown = (made.prepared.pixels < 240).any(axis=2)

            assert shown.sum() >= 128
            assert made.prepared.thumbnail.max() < 90
            assert (made.facts.width, made.facts.height) == sides
            assert made.facts.brightness < 90
            assert min(Image.open(io.BytesIO(made.preview)).size) >= 1
    decodes = ScaledDecodes(body, PhotoLimits(2_000_000))
    seen = background.frame(decodes.decode_reduced(background.choose_reduction, "RGB"), 320)
    left, top, right, bottom = seen.box
    square = embeddings.make_square(decodes.decode_reduced(embeddings.choose_reduction, "RGB"))

    assert min(right - left, bottom - top) >= 1
    assert np.asarray(seen.image)[top:bottom, left:right, 1].max() < 40
    assert (np.asarray(square)[..., 1] < 128).any(axis=int(sides[0] < sides[1])).sum() == 224
