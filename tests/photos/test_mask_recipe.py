"""The recipe of masks names all that decides them, for each device what decides its own, and says what is missing."""

import json
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from imageset.errors import ImagesetError
from imageset.photos import background, engines, gpu, hardware, mask_recipe
from imageset.photos.engines import Network
from imageset.photos.mask_recipe import describe_recipe, identify_masks


@pytest.fixture(autouse=True)
def any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has all libraries and instructions, and looks at its code anew each time."""
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.2.3" if name == "onnxruntime-gpu" else real(name))
    monkeypatch.setattr(mask_recipe, "identify_masks", identify_masks.__wrapped__)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    offer(monkeypatch, "avx2", "avx512_vnni", "avx512_bf16")


def offer(monkeypatch: pytest.MonkeyPatch, *instructions: str) -> None:
    monkeypatch.setattr(hardware, "read_instructions", lambda: frozenset(instructions))


@pytest.fixture
def network(tmp_path: Path) -> Network:
    path = tmp_path / "u2netp.onnx"
    path.write_bytes(b"the weights")
    return Network("u2netp", path, 320)


def describe(network: Network, **changes: Any) -> Any:
    return json.loads(describe_recipe(network._replace(**changes)))


def test_the_recipe_says_what_decides_masks(network: Network) -> None:
    recipe = describe(network)
    *lines, engine = recipe.pop("made_by")

    assert recipe == {
        "network": "u2netp",
        "side": 320,
        "weights_sha256": "f38329d231164082b94f28edf29bff349b44403e09fc4057d65b31051f4ae6b5",
    }
    assert engine == "openvino float32"
    assert [line.split()[0] for line in lines] == [
        *("boxes.py", "colors.py", "decode.py", "file_formats.py", "jpeg_damage.py", "jpeg_markers.py"),
        *("png_chunks.py", "png_colors.py", "scaled_decodes.py", "stray_text.py", "webp_chunks.py", "wholeness.py"),
        *("background.py", "cut_outs.py", "engines.py", "masks.py"),
        *("numpy", "pillow", "simplejpeg", "deflate", "rembg", "openvino"),
        "x86_64",
    ]


def change(module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = folder / "changed.py"
    changed.write_text(Path(str(module.__file__)).read_text() + "\nCHANGED = 1\n")
    monkeypatch.setattr(module, "__file__", str(changed))


@pytest.mark.parametrize(
    ("module", "of_cpu", "of_cuda"), [(gpu, False, True), (background, True, True), (engines, True, True)]
)
def test_code_that_runs_on_gpus_alone_decides_the_masks_of_gpus_alone(
    module: ModuleType, of_cpu: bool, of_cuda: bool, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {device: describe(network, device=device) for device in ("cpu", "cuda")}
    change(module, tmp_path, monkeypatch)
    changed = {device: describe(network, device=device) != before[device] for device in before}

    assert changed == {"cpu": of_cpu, "cuda": of_cuda}


@pytest.mark.parametrize(
    ("library", "devices"),
    [
        ("scipy", set()),
        ("onnxruntime", set()),
        ("openvino", {"cpu"}),
        ("onnxruntime-gpu", {"cuda"}),
        ("rembg", {"cpu", "cuda"}),
        ("deflate", {"cpu", "cuda"}),
    ],
)
def test_each_device_has_the_versions_of_its_own_libraries(
    library: str, devices: set[str], network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = {device: describe(network, device=device) for device in ("cpu", "cuda")}, metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == library else real(name))

    assert {device for device in before if describe(network, device=device) != before[device]} == devices


# What a machine lacks


def take_away(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Let a package be one that is not installed."""
    real = metadata.version

    def version(name: str) -> str:
        if name == missing:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize(
    ("device", "missing", "remedy"),
    [
        ("cpu", "openvino", r"`pip install -r requirements\.txt`$"),
        ("cpu", "deflate", r"`pip install -r requirements\.txt`$"),
        ("cuda", "rembg", r"`pip install -r requirements\.txt`$"),
        (
            "cuda",
            "onnxruntime-gpu",
            r"`pip uninstall --yes onnxruntime`, then `pip install -r requirements-gpu\.txt`; or set masks\.device to "
            "cpu$",
        ),
    ],
)
def test_a_package_that_is_missing_is_named_with_what_to_do(
    device: str, missing: str, remedy: str, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(monkeypatch, missing)

    with pytest.raises(ImagesetError, match=rf"^masks\.device: {device} needs the package {missing}: {remedy}"):
        describe(network, device=device)


@pytest.mark.parametrize(("device", "missing"), [("cpu", "onnxruntime-gpu"), ("cuda", "openvino")])
def test_the_engine_of_the_other_device_may_be_missing(
    device: str, missing: str, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(monkeypatch, missing)

    assert describe(network, device=device)


def test_a_processor_without_bfloat16_has_no_recipe_of_it(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "avx2", "avx512_vnni")

    with pytest.raises(ImagesetError, match=r"^masks\.precision: bfloat16 needs a processor with amx_bf16 or avx512"):
        describe(network, precision="bfloat16")


def test_the_bits_of_float32_without_avx2_are_others(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = describe(network)
    offer(monkeypatch, "sse2", "avx")
    without = describe(network)

    assert without["made_by"][-1] == "openvino float32 without avx2"
    assert without["made_by"][:-1] == with_it["made_by"][:-1]
