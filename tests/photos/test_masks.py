"""A photo's bytes to a mask and what is measured on it, or the reason why it has none."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imageset.photos import background, decode
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.photos.masks import MaskRecipe, count_pieces, describe_mask, mask_photos
from imageset.photos.outcomes import PhotoMask, Rejected
from sandbox import draw
from tests.conftest import jpeg, photo_bytes, plain_image
from tests.photos.test_cut_outs import cut_out
from tests.photos.test_decode import saved
from tests.photos.test_preprocess import HTML
from tests.stages.test_ingest import bomb, lossless_jpeg


def recipe(weights: Path, side: int = 320, max_pixels: int = 2_000_000) -> MaskRecipe:
    return MaskRecipe(Network("u2netp", weights, side), PhotoLimits(max_pixels))


def values_of(mask: PhotoMask | Rejected) -> NDArray[np.uint8]:
    """Return the pixels of a mask, (S, S)."""
    assert isinstance(mask, PhotoMask)
    values = np.frombuffer(zlib.decompress(mask.compressed), np.uint8)
    side = round(len(values) ** 0.5)
    return values.reshape(side, side)


def by_hand(*rectangles: tuple[int, int, int, int], side: int = 100, value: int = 255) -> Image.Image:
    """A mask that keeps rectangles: left, top, right, bottom."""
    mask = Image.new("L", (side, side))
    for rectangle in rectangles:
        mask.paste(value, rectangle)
    return mask


# Numbers


@pytest.mark.parametrize(
    ("mask", "foreground", "border", "pieces", "uncertainty"),
    [
        (by_hand(), 0.0, 0.0, 0, 0.0),
        (by_hand((0, 0, 100, 100)), 1.0, 1.0, 1, 0.0),
        (by_hand((0, 0, 50, 100)), 0.5, 0.5, 1, 0.0),
        (by_hand((20, 20, 80, 80)), 0.36, 0.0, 1, 0.0),
        (by_hand((0, 20, 100, 80)), 0.6, round(120 / 396, 4), 1, 0.0),
        (by_hand((0, 0, 1, 1)), 0.0001, round(1 / 396, 4), 1, 0.0),
        (by_hand((20, 20, 80, 80), value=128), round(0.36 * 128 / 255, 4), 0.0, 1, round(0.36 * 254 / 255, 4)),
        (by_hand((20, 20, 80, 80), value=127), round(0.36 * 127 / 255, 4), 0.0, 0, round(0.36 * 254 / 255, 4)),
        (by_hand((0, 0, 100, 100), value=51), 0.2, 0.2, 0, 0.4),
        (by_hand((0, 0, 1, 1), side=1), 1.0, 1.0, 1, 0.0),
        (by_hand((0, 0, 2, 1), side=2), 0.5, 0.5, 1, 0.0),
    ],
)
def test_the_numbers_of_masks_made_by_hand(
    mask: Image.Image, foreground: float, border: float, pieces: int, uncertainty: float
) -> None:
    found = describe_mask(mask, 12_345)

    assert found[1:] == (12_345, foreground, border, pieces, uncertainty, 0)
    assert (values_of(found) == np.asarray(mask)).all()


@pytest.mark.parametrize(
    ("rectangles", "pieces"),
    [
        ([(0, 0, 40, 40), (60, 60, 100, 100)], 2),
        ([(0, 0, 40, 40), (40, 40, 100, 100)], 1),  # they touch at a corner
        ([(0, 0, 40, 40), (41, 40, 100, 100)], 2),
        ([(0, 0, 40, 40), (40, 0, 60, 40)], 1),
        ([(0, 0, 90, 100), (95, 0, 96, 1), (95, 10, 97, 12)], 1),  # with specks
        ([(0, 0, 90, 100), (92, 0, 100, 11)], 1),  # 88 of 9,088 pixels
        ([(0, 0, 90, 100), (92, 0, 100, 12)], 2),  # 96 of 9,096 pixels
        ([(10, 10, 12, 12), (20, 10, 22, 12), (30, 10, 32, 12)], 3),  # small pieces of a small garment
        ([(0, 0, 1, 1), (2, 0, 3, 1)], 2),
        ([], 0),
    ],
)
def test_pieces_touch_at_corners_too_and_specks_are_none(
    rectangles: list[tuple[int, int, int, int]], pieces: int
) -> None:
    assert count_pieces(np.asarray(by_hand(*rectangles))) == pieces


def test_a_checkerboard_is_one_piece_and_single_pixels_apart_are_specks() -> None:
    checks = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    dots = np.zeros((64, 64), np.uint8)
    dots[::3, ::3] = 255

    assert count_pieces(checks.astype(np.uint8)) == 1
    assert count_pieces(dots) == 0


def test_a_masks_bytes_are_zlibs_format_and_the_same_again() -> None:
    mask = Image.fromarray(np.random.default_rng(1).integers(0, 256, (320, 320), np.uint8))
    first, again = (describe_mask(mask, 1).compressed for _ in range(2))

    assert first == again
    assert type(first) is bytes
    assert zlib.decompress(first) == mask.tobytes()
    assert len(describe_mask(by_hand((20, 20, 80, 80), side=320), 1).compressed) < 1000


# Photos


def test_a_mask_says_of_which_photo_it_is(weights: Path) -> None:
    body = jpeg(draw.draw("t-shirt", 3).resize((1100, 1500)))
    (found,) = mask_photos([body], recipe(weights))
    small = decode.decode(body, PhotoLimits(2_000_000), background.choose_reduction(1100, 1500))

    assert isinstance(found, PhotoMask)
    assert found.photo_pixels == 1100 * 1500
    assert values_of(found).tobytes() == background.predict_mask(small, recipe(weights).network).tobytes()
    assert 0.2 < found.foreground_share < 0.6
    assert found.border_share < 0.05
    assert found.pieces == 1
    assert 0 < found.uncertainty < 0.05


def test_max_pixels_changes_no_mask_and_the_networks_side_does(weights: Path) -> None:
    found, generous, smaller = (
        mask_photos([photo_bytes()], some)
        for some in (recipe(weights), recipe(weights, max_pixels=120 * 160), recipe(weights, side=64))
    )

    assert found == generous
    assert mask_photos([photo_bytes()], recipe(weights, max_pixels=120 * 160 - 1)) == [Rejected("too_many_pixels")]
    assert values_of(smaller[0]).shape == (64, 64)


REASONS = {
    "empty": b"",
    "not_an_image": HTML,
    "too_many_pixels": bomb(),
    "truncated": photo_bytes()[:1500],
    "undecodable": lossless_jpeg(),
}


@pytest.mark.parametrize("reason", REASONS)
def test_bytes_that_are_no_photo_are_rejected(reason: str, weights: Path) -> None:
    assert mask_photos([REASONS[reason]], recipe(weights, 64)) == [Rejected(reason)]


def test_a_photo_that_needs_too_much_memory_is_rejected_and_the_next_one_is_not(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageset.photos.scaled_decodes.BYTES_TO_DECODE", 50_000_000)
    greedy = saved(Image.new("1", (7000, 7000)), "PNG")
    found = mask_photos([greedy, photo_bytes()], recipe(weights, 64, max_pixels=50_000_000))

    assert found[0] == Rejected("decoder_memory")
    assert isinstance(found[1], PhotoMask)


def test_a_batch_with_broken_photos_in_the_middle_keeps_its_order(weights: Path) -> None:
    bodies = [
        photo_bytes(1),
        HTML,
        photo_bytes(2, "dress"),
        b"",
        lossless_jpeg(),
        photo_bytes(3, "bag"),
        photo_bytes()[:1500],
    ]
    found = mask_photos(bodies, recipe(weights, 64))

    assert [getattr(each, "reason", "") for each in found] == [
        *("", "not_an_image", "", "empty", "undecodable", "", "truncated")
    ]
    assert found == [mask_photos([body], recipe(weights, 64))[0] for body in bodies]
    assert len({each.compressed for each in found if isinstance(each, PhotoMask)}) == 3


def test_no_photos_have_no_masks(weights: Path) -> None:
    assert mask_photos([], recipe(weights, 64)) == []


def test_a_photo_without_a_garment_has_a_mask_and_not_a_rejection(weights: Path) -> None:
    (found,) = mask_photos([jpeg(plain_image())], recipe(weights))

    assert isinstance(found, PhotoMask)


# Cut-outs


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_cut_out_is_its_own_mask_and_asks_no_network(kind: str, tmp_path: Path) -> None:
    photo = cut_out("dress", (300, 400))
    body = saved(photo, kind, **({"lossless": True} if kind == "WEBP" else {}))
    asking = recipe(tmp_path / "there is no network here")._replace(use_alpha=True)
    (made,) = mask_photos([body], asking)
    expected = photo.getchannel("A").resize((320, 320), Image.Resampling.LANCZOS)
    assert isinstance(made, PhotoMask)

    assert values_of(made).tobytes() == expected.tobytes()
    assert (made.from_alpha, made.photo_pixels) == (1, 300 * 400)


def test_only_cut_outs_are_their_own_masks_and_only_where_that_is_asked_for(weights: Path) -> None:
    cut, opaque = saved(cut_out("dress", (300, 400)), "PNG"), photo_bytes()
    asked = mask_photos([opaque, cut, opaque], recipe(weights)._replace(use_alpha=True))
    unasked = mask_photos([opaque, cut, opaque], recipe(weights))

    assert [made.from_alpha for made in asked if isinstance(made, PhotoMask)] == [0, 1, 0]
    assert [made.from_alpha for made in unasked if isinstance(made, PhotoMask)] == [0, 0, 0]
    assert asked[::2] == unasked[::2]


def test_a_cut_out_of_a_lying_photo_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    standing = cut_out("dress", (300, 400))
    body = saved(standing.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    (made,) = mask_photos([body], recipe(tmp_path / "none")._replace(use_alpha=True))

    assert (values_of(made) == np.asarray(standing.getchannel("A").resize((320, 320), Image.Resampling.LANCZOS))).all()
