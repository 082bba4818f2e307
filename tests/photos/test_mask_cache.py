"""The cache of masks: what was added is found by runs with the same recipe only, whatever max_pixels is."""

from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import deflate
import pytest

from imageset.photos import background, engines, mask_recipe, masks, pixels, preprocess
from imageset.photos.decode_recipe import DECODE_CODE
from imageset.photos.engines import Network
from imageset.photos.mask_cache import MaskCache
from imageset.photos.mask_recipe import describe_recipe, identify_masks
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.storage.bucket import Bucket, StoredObject
from tests.photos.test_cache import BUCKET, OBJECT, execute, flipped

MASK = PhotoMask(bytes(deflate.zlib_compress(bytes(range(256)) * 4, 6)), 1_000_000, 0.4321, 0.05, 2, 0.0123)
REASONS = ("empty", "not_an_image", "truncated", "undecodable", "too_many_pixels")
TEMPORARY = ("decoder_memory", "decoder_timeout", "decoder_crash")


@pytest.fixture(autouse=True)
def other_code_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at code and versions anew each time, as a new process does; whatever processor this is, it can do all."""
    monkeypatch.setattr(mask_recipe, "identify_masks", identify_masks.__wrapped__)
    monkeypatch.setattr("imageset.photos.hardware.read_instructions", lambda: {"avx2", "avx512_vnni", "avx512_bf16"})


@pytest.fixture
def network(tmp_path: Path) -> Network:
    path = tmp_path / "u2netp.onnx"
    path.write_bytes(b"the weights")
    return Network("u2netp", path, 32)


def open_cache(
    network: Network, bucket: Bucket = BUCKET, max_pixels: int = 2_000_000, recipe: str = ""
) -> "closing[MaskCache]":
    path = network.weights.parent / "masks.sqlite"
    return closing(MaskCache(path, bucket, recipe or describe_recipe(network), max_pixels))


def find(network: Network, stored: StoredObject = OBJECT, **options: Any) -> PhotoMask | Rejected | None:
    """Return what another run knows of an object."""
    with open_cache(network, **options) as cache:
        return cache.find(stored)


def add(network: Network, stored: StoredObject = OBJECT, what: PhotoMask | Rejected = MASK, **options: Any) -> Network:
    with open_cache(network, **options) as cache:
        cache.add(stored, what)
    return network


def test_a_later_run_finds_the_mask_and_all_that_was_measured(network: Network) -> None:
    add(network)

    assert find(network) == MASK
    assert find(network, replace(OBJECT, etag="0" * 32)) is None


def test_rejections_are_found_but_never_what_another_machine_might_decode(network: Network) -> None:
    reasons = (*REASONS, *TEMPORARY)
    objects = {reason: replace(OBJECT, bytes=number) for number, reason in enumerate(reasons)}
    for reason, stored in objects.items():
        add(network, stored, Rejected(reason))

    assert {reason: find(network, stored) for reason, stored in objects.items()} == {
        reason: Rejected(reason) if reason in REASONS else None for reason in reasons
    }


@pytest.mark.parametrize(
    ("max_pixels", "expected"),
    [
        (999_999, Rejected("too_many_pixels")),
        (1_000_000, MASK),
        (50_000_000, MASK),
    ],
)
def test_max_pixels_decides_anew_over_a_known_mask(
    max_pixels: int, expected: PhotoMask | Rejected, network: Network
) -> None:
    add(network)

    assert find(network, max_pixels=max_pixels) == expected


@pytest.mark.parametrize("max_pixels", [1_999_999, 2_000_001])
@pytest.mark.parametrize("reason", ["truncated", "too_many_pixels"])
def test_a_rejection_is_unknown_to_another_max_pixels(reason: str, max_pixels: int, network: Network) -> None:
    """A broken photo may be too large for it; one that is too large may not be, and be broken as well."""
    add(network, what=Rejected(reason))

    assert find(network, max_pixels=max_pixels) is None
    assert find(network) == Rejected(reason)


def test_a_mask_that_was_added_under_a_smaller_max_pixels_is_found_under_a_larger_one(network: Network) -> None:
    """As masks of an earlier file are, which may be of any max_pixels."""
    add(network, max_pixels=1000)

    assert find(network, max_pixels=1000) == Rejected("too_many_pixels")
    assert find(network) == MASK


def test_a_photo_that_is_accepted_now_has_its_mask_and_not_its_rejection(network: Network) -> None:
    add(network, what=Rejected("truncated"))
    add(network)

    assert find(network) == MASK


# What is part of the keys


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "silueta"},
        {"side": 64},
        {"precision": "bfloat16"},
        {"precision": "int8"},
        {"device": "cuda"},
    ],
    ids=repr,
)
def test_name_side_precision_and_device_change_the_key(
    changes: dict[str, Any], network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1" if name == "onnxruntime-gpu" else real(name))
    add(network)

    assert find(network._replace(**changes)) is None
    assert find(network) == MASK


def test_the_content_of_the_weights_changes_the_key_and_their_path_does_not(network: Network) -> None:
    add(network)
    moved = network.weights.rename(network.weights.with_name("elsewhere"))

    assert find(network._replace(weights=moved)) == MASK

    moved.write_bytes(b"other weights")

    assert find(network._replace(weights=moved)) is None


@pytest.mark.parametrize("module", [*DECODE_CODE, background, engines, masks])
def test_other_code_is_another_key(module: ModuleType, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    add(network)
    changed = network.weights.with_name("changed.py")
    changed.write_text(Path(str(module.__file__)).read_text() + "\nCHANGED = 1\n")
    monkeypatch.setattr(module, "__file__", str(changed))

    assert find(network) is None


@pytest.mark.parametrize("module", [pixels, preprocess])
def test_other_code_of_the_pixels_leaves_the_masks(
    module: ModuleType, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(network)
    changed = network.weights.with_name("changed.py")
    changed.write_text(Path(str(module.__file__)).read_text() + "\nCHANGED = 1\n")
    monkeypatch.setattr(module, "__file__", str(changed))

    assert find(network) == MASK


@pytest.mark.parametrize(
    ("library", "known"),
    [
        *[(name, False) for name in ("deflate", "numpy", "openvino", "pillow", "rembg", "simplejpeg")],
        *[(name, True) for name in ("ImageHash", "scipy", "onnxruntime", "onnxruntime-gpu", "h5py")],
    ],
)
def test_other_libraries_are_another_key(
    library: str, known: bool, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(network)
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == library else real(name))

    assert (find(network) == MASK) is known


def test_another_kind_of_processor_is_another_key(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    add(network)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    assert find(network) is None


def test_bfloat16_of_other_instructions_is_another_key_and_int8_is_not(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = network._replace(precision="bfloat16"), network._replace(precision="int8")
    for one in networks:
        add(one)
    monkeypatch.setattr(
        "imageset.photos.hardware.read_instructions",
        lambda: {"avx2", "avx_vnni", "amx_int8", "amx_bf16", "avx512_bf16"},
    )

    assert [find(one) for one in networks] == [None, MASK]


def test_masks_of_an_object_whose_etag_is_no_md5_are_of_one_bucket(network: Network) -> None:
    stored = replace(OBJECT, etag="my-own-etag-1")
    add(network, stored)

    assert find(network, stored) == MASK
    assert find(network, stored, bucket=replace(BUCKET, name="other")) is None
    assert find(network, replace(stored, version_id="version 2")) is None


# Damage


@pytest.mark.parametrize(
    "column", ["mask", "photo_pixels", "foreground_share", "border_share", "pieces", "uncertainty", "crc32"]
)
def test_a_damaged_mask_is_unknown_and_replaced(column: str, network: Network) -> None:
    add(network)
    path = network.weights.parent / "masks.sqlite"
    ((content,),) = execute(path, f"SELECT {column} FROM masks")
    execute(path, f"UPDATE masks SET {column} = ?", content + 1e-9 if isinstance(content, float) else flipped(content))

    assert find(network) is None

    add(network)

    assert find(network) == MASK


def test_a_damaged_reason_is_unknown(network: Network) -> None:
    add(network, what=Rejected("truncated"))
    execute(network.weights.parent / "masks.sqlite", "UPDATE masks SET reason = 'tsuncated'")

    assert find(network) is None
