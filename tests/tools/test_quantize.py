"""tools.quantize, and models/u2netp-int8.zip, which it made: its files and its masks, which are the same anywhere."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray

from imageset.errors import DataError
from imageset.formats import stable_hash
from imageset.runtime import command, files
from sandbox import draw, garments
from tests.conftest import jpeg
from tests.project import ROOT
from tests.samples import sample
from tools.quantize import __main__ as tool
from tools.quantize.build import build, interpolation
from tools.quantize.layers import Floats, Layer, Layers, equalize, read_layers
from tools.quantize.rounding import MOST, Inputs, round_weights

ZIP = ROOT / "models/u2netp-int8.zip"
SHA256 = "03083b496d22b60691c6cb11f01f3cbaefdbc23269045780caea5e6a7295bdde"
DRAWN = 4


def read(archive: bytes) -> Any:
    """Return the OpenVINO model of a zip, read from memory."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        xml, constants = (file.read(name) for name in tool.MEMBERS)
    return openvino.Core().read_model(xml, openvino.Tensor(np.frombuffer(constants, np.uint8)))


def predict(model: Any, photos: list[Floats]) -> Floats:
    """Return the first outputs of a network of one photo at a time, float32 (N, 320, 320)."""
    request = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    outputs = []
    for photo in photos:
        request.infer([photo])
        outputs.append(request.get_output_tensor(0).data[0, 0].copy())
    return np.stack(outputs)


def overlaps(ours: Floats, reference: Floats) -> NDArray[np.float64]:
    """Return the intersection over union of masks, made from outputs as rembg does and cut in the middle."""

    def cut(outputs: Floats) -> NDArray[np.bool_]:
        least, most = outputs.min(axis=(1, 2), keepdims=True), outputs.max(axis=(1, 2), keepdims=True)
        kept: NDArray[np.bool_] = ((outputs - least) / (most - least) * 255).astype(np.uint8) > 127
        return kept

    one, other = cut(ours), cut(reference)
    shares: NDArray[np.float64] = (one & other).sum(axis=(1, 2)) / (one | other).sum(axis=(1, 2))
    return shares


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn photos."""
    path = tmp_path_factory.mktemp("photos")
    for number in range(DRAWN):
        cut = garments.GARMENTS[number % len(garments.GARMENTS)]
        (path / f"{number}.jpeg").write_bytes(jpeg(draw.draw(cut, number)))
    return path


@pytest.fixture(scope="module")
def photos(folder: Path) -> list[Floats]:
    return [tool.read_tensor(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def layers(weights: Path) -> Layers:
    return read_layers(weights, tool.SIDE)


@pytest.fixture(scope="module")
def reference(weights: Path, photos: list[Floats]) -> Floats:
    """What the network says in float32."""
    model = openvino.Core().read_model(weights)
    model.reshape([1, 3, tool.SIDE, tool.SIDE])
    return predict(model, photos)


@pytest.fixture(scope="module")
def shipped(photos: list[Floats]) -> Floats:
    """What the network of the zip says."""
    return predict(read(ZIP.read_bytes()), photos)


def test_the_zip_has_a_graph_and_its_constants_and_is_the_one_that_was_measured() -> None:
    with zipfile.ZipFile(ZIP) as file:
        assert tuple(file.namelist()) == ("u2netp-int8.xml", "u2netp-int8.bin")
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert files.sha256(ZIP) == SHA256


def test_its_network_takes_what_the_onnx_file_takes_and_gives_one_mask() -> None:
    model = read(ZIP.read_bytes())
    (taken,), (given,) = model.inputs, model.outputs

    assert (list(taken.shape), taken.element_type.get_type_name(), taken.any_name) == (
        [1, 3, 320, 320],
        "f32",
        "input.1",
    )
    assert (list(given.shape), given.element_type.get_type_name()) == ([1, 1, 320, 320], "f32")


def test_no_weight_is_so_great_that_two_products_overflow_16_bits() -> None:
    integers = [
        node.data
        for node in read(ZIP.read_bytes()).get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type() == openvino.Type.i8
    ]

    assert len(integers) == 31
    assert max(int(np.abs(each.astype(int)).max()) for each in integers) == 63


def test_its_masks_of_drawn_photos_are_nearly_those_of_float32(shipped: Floats, reference: Floats) -> None:
    shares = overlaps(shipped, reference)

    assert shares.min() > 0.998  # 0.9993 to 0.9999 when they were measured


@pytest.mark.parametrize("instructions", sample(["AVX512_CORE_VNNI", "AVX512_CORE", "AVX2_VNNI", "AVX2"], "AVX2"))
def test_its_floats_are_the_same_with_fewer_instructions(
    instructions: str, folder: Path, shipped: Floats, tmp_path: Path
) -> None:
    """oneDNN reads the variable once a process. A processor with fewer instructions than it names uses those it has."""
    code = (
        "import sys; from pathlib import Path; import numpy as np; from tests.tools import test_quantize as t; "
        "photos = [t.tool.read_tensor(path) for path in sorted(Path(sys.argv[1]).iterdir())[:2]]; "
        "np.save(sys.argv[2], t.predict(t.read(t.ZIP.read_bytes()), photos))"
    )
    path = tmp_path / "floats.npy"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    subprocess.run([sys.executable, "-c", code, str(folder), str(path)], check=True, cwd=ROOT, env=environment)

    assert np.array_equal(np.load(path), shipped[:2])


def test_the_layers_in_float_are_the_network_bit_by_bit(
    layers: Layers, photos: list[Floats], reference: Floats
) -> None:
    assert np.array_equal(predict(build(layers, [list(layers)[-1]]), photos[:1]), reference[:1])


@pytest.mark.faults_only
def test_equal_channels_change_no_result_and_bring_the_ranges_together(
    layers: Layers, photos: list[Floats], reference: Floats
) -> None:
    maxima = tool.measure_maxima(layers, photos[:1])
    scaled, scaled_maxima = equalize(layers, maxima)
    measured = tool.measure_maxima(scaled, photos[:1])

    def spread(values: Floats) -> float:
        return float(values.max() / np.median(values[values > 0]))

    assert np.abs(predict(build(scaled, [list(layers)[-1]]), photos[:1]) - reference[:1]).max() < 1e-4
    for name, values in scaled_maxima.items():
        assert np.allclose(measured[name], values, rtol=1e-3, atol=1e-4)
    assert np.median([spread(maxima[name]) / spread(scaled_maxima[name]) for name in maxima]) > 1.2


def test_errors_of_rounding_cancel_where_inputs_are_alike() -> None:
    random = np.random.default_rng(0)
    weights = random.normal(0, 1, (8, 4, 3, 3)).astype(np.float32)
    windows = (random.normal(2, 1, (500, 1)) + random.normal(0, 0.1, (500, 36))) * random.uniform(0.5, 2, 36)
    inputs = Inputs(windows.T @ windows / 500, windows.mean(axis=0))

    def error(given: Inputs | None) -> float:
        rounded = round_weights(weights, given)
        left = weights.reshape(8, -1) - rounded.integers.reshape(8, -1) * rounded.steps[:, None]
        return float(np.abs(windows @ left.T - rounded.bias).mean())

    assert error(inputs) < error(None) / 4
    assert np.abs(round_weights(weights, inputs).integers).max() == MOST


@pytest.mark.parametrize(("source", "target"), [(10, 320), (160, 320), (20, 20)])
def test_a_resized_mask_is_what_openvino_makes_of_it(source: int, target: int) -> None:
    mask = np.random.default_rng(0).uniform(0, 1, (1, 1, source, source)).astype(np.float32)
    layers: Layers = {
        "mask": Layer("Parameter", "mask", (), (1, source, source)),
        "large": Layer("Interpolate", "large", ("mask",), (1, target, target)),
    }
    matrix = interpolation(source, target)

    assert np.allclose(matrix @ mask[0, 0] @ matrix.T, predict(build(layers, ["large"]), [mask])[0], atol=1e-6)


@pytest.mark.faults_only
def test_the_program_makes_the_same_bytes_again_and_good_masks(
    folder: Path,
    weights: Path,
    photos: list[Floats],
    reference: Floats,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool, "PHOTOS", 1)
    for name in ("one.zip", "other.zip"):
        monkeypatch.setattr(sys, "argv", ["quantize", str(folder), str(weights), str(tmp_path / name)])
        command.run("quantize", tool.main)

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()
    assert overlaps(predict(read((tmp_path / "one.zip").read_bytes()), photos), reference).min() > 0.9


def test_photos_that_the_benchmark_compares_masks_of_are_not_calibrated_with(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.jpg").touch()
    order = sorted(tmp_path.iterdir(), key=lambda path: stable_hash.rank(*path.name.encode()))

    assert tool.choose_photos(tmp_path) == order[-tool.PHOTOS :]


def test_a_folder_without_photos_and_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no JPEG"):
        tool.choose_photos(tmp_path)
    parameter = openvino.opset13.parameter([1, 3, 320, 320], np.float32)
    openvino.save_model(openvino.Model([openvino.opset13.tanh(parameter)], [parameter]), tmp_path / "other.xml")
    with pytest.raises(DataError, match="of the kind Tanh: this is not u2netp"):
        read_layers(tmp_path / "other.xml", 320)
