"""The cache of pixels: what was added is found by runs with the same params, and with the same mask, only."""

from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from imageset.photos import (
    background,
    decode,
    engines,
    fact_limits,
    facts,
    gray_and_color,
    masks,
    pixels,
    preprocess,
    previews,
    scaled_decodes,
)
from imageset.photos.facts import PhotoFacts
from imageset.photos.outcomes import Rejected
from imageset.photos.pixel_cache import PixelCache, identify_pixels
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto
from imageset.runtime.sections import PreprocessParams
from imageset.storage.bucket import Bucket, StoredObject
from tests.photos.test_cache import BUCKET, OBJECT, execute, flipped

CHOSEN: dict[str, Any] = {
    "fill": (255, 255, 255),
    "fit": "pad",
    "color": "grayscale",
    "image_side": 16,
    "min_foreground": 0.01,
    "max_foreground": 0.99,
    "max_pixels": 1_000_000,
    "min_sharpness": None,
    "min_brightness": None,
    "max_brightness": None,
    "min_side": None,
    "max_aspect_ratio": None,
    "max_rejected_share": 0.2,
}
# Another value of each param that shapes pixels, and of the others.
OTHERS: dict[str, Any] = {
    "fill": (255, 255, 254),
    "fit": "crop",
    "color": "rgb",
    "image_side": 24,
    "min_foreground": 0.02,
    "max_foreground": 0.98,
    "max_pixels": 999_999,
}
HARMLESS: dict[str, Any] = {
    "min_sharpness": 0.5,
    "min_brightness": 100.0,
    "max_brightness": 150.0,
    "min_side": 10_000,
    "max_aspect_ratio": 1.0,
    "max_rejected_share": 0.3,
}
MASK = b"a mask, compressed"


FACTS = PhotoFacts(400, 533, "JPEG", 0.6183, 131.07, 57.5, 1.3325, "")
PREVIEW = b"a small \x00 JPEG"


def made(side: int = 16, channels: int = 1, seed: int = 0) -> DecodedPhoto:
    random = np.random.default_rng(seed)
    square, thumbnail = (random.integers(0, 256, shape, np.uint8) for shape in ((side, side, channels), (64, 64, 1)))
    prepared = PreparedPhoto(square, thumbnail, "b" * 64, "0123456789abcdef", "fedcba9876543210")
    return DecodedPhoto(FACTS, PREVIEW, prepared)


def pixels_of(found: DecodedPhoto | Rejected | None) -> PreparedPhoto:
    assert isinstance(found, DecodedPhoto)
    assert isinstance(found.prepared, PreparedPhoto)
    return found.prepared


def values_of(found: DecodedPhoto | Rejected | None) -> tuple[Any, ...]:
    image, thumbnail, *hashes = pixels_of(found)
    assert isinstance(found, DecodedPhoto)
    return found.facts, found.preview, image.shape, image.tobytes(), thumbnail.shape, thumbnail.tobytes(), *hashes


def open_cache(folder: Path, bucket: Bucket = BUCKET, **changes: Any) -> "closing[PixelCache]":
    return closing(PixelCache(folder / "pixels.sqlite", bucket, PreprocessParams(**CHOSEN | changes)))


def find(
    folder: Path, stored: StoredObject = OBJECT, mask: bytes | None = MASK, **options: Any
) -> DecodedPhoto | Rejected | None:
    """Return what another run knows of an object."""
    with open_cache(folder, **options) as cache:
        return cache.find(stored, mask)


def add(
    folder: Path,
    stored: StoredObject = OBJECT,
    mask: bytes | None = MASK,
    what: DecodedPhoto | Rejected | None = None,
    **options: Any,
) -> None:
    with open_cache(folder, **options) as cache:
        cache.add(stored, mask, what or made())


@pytest.fixture(autouse=True)
def other_code_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at code and versions anew each time, as a new process does."""
    monkeypatch.setattr("imageset.photos.pixel_cache.identify_pixels", identify_pixels.__wrapped__)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder with a cache that knows one object."""
    add(tmp_path)
    return tmp_path


@pytest.mark.parametrize("mask", [MASK, None])
@pytest.mark.parametrize(("color", "channels"), [("grayscale", 1), ("rgb", 3)])
def test_a_later_run_finds_what_was_added(mask: bytes | None, color: str, channels: int, tmp_path: Path) -> None:
    what = made(24, channels)
    add(tmp_path, mask=mask, what=what, color=color, image_side=24)
    found = find(tmp_path, mask=mask, color=color, image_side=24)

    assert pixels_of(found).pixels.dtype == pixels_of(found).thumbnail.dtype == np.uint8
    assert values_of(found) == values_of(what)
    assert find(tmp_path, replace(OBJECT, etag="0" * 32), mask, color=color, image_side=24) is None


def test_rejections_are_found_but_never_what_another_machine_might_decode(tmp_path: Path) -> None:
    reasons = ("empty", "undecodable", "too_many_pixels")
    temporary = ("decoder_memory", "decoder_timeout", "decoder_crash")
    objects = {reason: replace(OBJECT, bytes=number) for number, reason in enumerate((*reasons, *temporary))}
    for reason, stored in objects.items():
        add(tmp_path, stored, what=Rejected(reason))

    assert {reason: find(tmp_path, stored) for reason, stored in objects.items()} == {
        reason: None if reason in temporary else Rejected(reason) for reason in objects
    }


@pytest.mark.parametrize("reason", ["mask_empty", "mask_full"])
def test_facts_and_preview_of_what_its_mask_rejects_are_found(reason: str, tmp_path: Path) -> None:
    what = DecodedPhoto(FACTS, PREVIEW, Rejected(reason))
    add(tmp_path, what=what)
    found = find(tmp_path)

    assert found == what
    assert isinstance(found, DecodedPhoto)
    assert isinstance(found.facts, PhotoFacts)


# What is part of the keys


def test_every_param_that_shapes_pixels_changes_their_key(filled: Path) -> None:
    known = {name: find(filled, **{name: value}) is not None for name, value in (OTHERS | HARMLESS).items()}

    assert set(known) == set(PreprocessParams.model_fields)
    assert known == dict.fromkeys(OTHERS, False) | dict.fromkeys(HARMLESS, True)


def test_another_mask_is_another_key_and_so_is_none(filled: Path) -> None:
    assert find(filled, mask=MASK + b"\0") is None
    assert find(filled, mask=b"") is None
    assert find(filled, mask=None) is None

    add(filled, mask=None, what=made(seed=1))

    assert values_of(find(filled, mask=None)) == values_of(made(seed=1))
    assert values_of(find(filled)) == values_of(made())


def test_the_content_changes_the_key_and_the_objects_name_does_not(filled: Path) -> None:
    assert find(filled, replace(OBJECT, bytes=1001)) is None
    assert find(filled, replace(OBJECT, etag=f"{OBJECT.etag}-2")) is None
    assert find(filled, replace(OBJECT, key="2.jpeg", version_id=""), bucket=replace(BUCKET, name="other"))


def test_pixels_of_an_object_whose_etag_is_no_md5_are_of_one_bucket(tmp_path: Path) -> None:
    stored = replace(OBJECT, etag="my-own-etag-1")
    add(tmp_path, stored)

    assert find(tmp_path, stored)
    assert find(tmp_path, stored, bucket=replace(BUCKET, name="other")) is None


@pytest.mark.parametrize(
    ("module", "known"),
    [
        *[(module, False) for module in (decode, facts, gray_and_color, pixels, preprocess, previews, scaled_decodes)],
        *[(module, True) for module in (background, engines, fact_limits, masks)],
    ],
)
def test_other_code_is_another_key(
    module: ModuleType, known: bool, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = filled / "changed.py"
    changed.write_text(Path(str(module.__file__)).read_text() + "\nCHANGED = 1\n")
    monkeypatch.setattr(module, "__file__", str(changed))

    assert (find(filled) is not None) is known


@pytest.mark.parametrize(
    ("library", "known"),
    [
        *[(name, False) for name in ("ImageHash", "numpy", "pillow", "scipy", "simplejpeg")],
        *[(name, True) for name in ("openvino", "rembg", "deflate")],
    ],
)
def test_other_libraries_are_another_key(
    library: str, known: bool, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == library else real(name))

    assert (find(filled) is not None) is known


def test_another_kind_of_processor_is_another_key(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    assert find(filled) is None


# Damage


@pytest.mark.parametrize("column", ["pixels", "crc32", "sha256", "phash", "phash_mirrored", "facts", "preview"])
def test_damaged_pixels_are_unknown_and_replaced(column: str, filled: Path) -> None:
    path = filled / "pixels.sqlite"
    ((content,),) = execute(path, f"SELECT {column} FROM pixels")
    execute(path, f"UPDATE pixels SET {column} = ?", flipped(content))

    assert find(filled) is None

    add(filled)

    assert values_of(find(filled)) == values_of(made())


def test_a_reason_out_of_nowhere_or_a_damaged_one_is_unknown(filled: Path) -> None:
    execute(filled / "pixels.sqlite", "UPDATE pixels SET reason = 'truncated'")

    assert find(filled) is None

    add(filled, what=Rejected("truncated"))
    execute(filled / "pixels.sqlite", "UPDATE pixels SET reason = 'tsuncated'")

    assert find(filled) is None
