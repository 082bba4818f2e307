"""The engine of the processor with the real weights: what is asked of OpenVINO, and which files it takes."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imageset.photos import background, engines
from imageset.photos.engines import Network
from imageset.workers.carried_file import carry_file
from sandbox import draw
from tests.conftest import plain_image

SMALL = 128  # side of the network where a test is about none: a mask takes a sixth of the time


def network(weights: Path, **changes: Any) -> Network:
    return Network("u2netp", weights, 320)._replace(**changes)


def garments() -> list[Image.Image]:
    """Photos of other shapes, one of which gets borders."""
    return [
        draw.draw("t-shirt", 3).resize((180, 240)),
        draw.draw("dress", 1).resize((300, 100)),
        draw.draw("bag", 2).resize((200, 200)),
        plain_image(),
        draw.draw("pants", 4).resize((240, 180)),
    ]


@pytest.mark.parametrize(("precision", "hint"), [("float32", "f32"), ("bfloat16", "bf16")])
def test_the_precision_is_named_whatever_the_processor_offers(precision: str, hint: str, weights: Path) -> None:
    engine = engines.OpenVinoEngine(network(weights, side=64, precision=precision))
    compiled = engine.request.get_compiled_model()

    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == hint
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert engine.get_inputs()[0].shape == [1, 3, 64, 64]


def test_the_first_output_alone_is_returned_and_is_kept_when_the_next_image_comes(weights: Path) -> None:
    engine = engines.OpenVinoEngine(network(weights, side=64))
    images = np.random.default_rng(1).random((2, 1, 3, 64, 64), np.float32)
    (first,), (second,) = (engine.run(None, {"input.1": image}) for image in images)

    assert first.shape == second.shape == (1, 1, 64, 64)
    assert first.dtype == np.float32
    assert (first != second).any()
    assert (first == engine.run(None, {"input.1": images[0]})[0]).all()


def write_quantized(weights: Path, path: Path, *, without: str = "") -> Path:
    """Write the network as the zip of an OpenVINO network, which is how the one in int8 is kept."""
    import openvino

    model = openvino.Core().read_model(weights)
    openvino.save_model(model, path.with_suffix(".xml"), compress_to_fp16=False)
    with zipfile.ZipFile(path, "w") as archive:
        for suffix in {".xml", ".bin"} - {without}:
            archive.write(path.with_suffix(suffix), f"u2netp{suffix}")
    return path


def test_an_openvino_network_in_a_zip_makes_the_masks_of_its_onnx_file(weights: Path, tmp_path: Path) -> None:
    of_onnx = network(weights, side=SMALL)
    zipped = of_onnx._replace(weights=write_quantized(weights, tmp_path / "u2netp.zip"), precision="int8")
    (image, *_) = garments()

    # int8 says how the weights are kept. These are floats, and what is left in float is computed in float32.
    assert background.predict_mask(image, zipped).tobytes() == background.predict_mask(image, of_onnx).tobytes()


def test_networks_that_travelled_and_lost_their_suffix_are_loaded(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image, *_), there = garments(), tmp_path / "there"
    there.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(there))
    of_onnx = network(weights, side=SMALL)
    zipped = of_onnx._replace(weights=write_quantized(weights, tmp_path / "u2netp.zip"), precision="int8")
    for one in (of_onnx, zipped):
        arrived: Network = pickle.loads(pickle.dumps(one._replace(weights=carry_file(one.weights))))

        assert (arrived.weights.parent.parent, arrived.weights.suffix) == (there, "")
        assert arrived.weights.read_bytes() == one.weights.read_bytes()
        assert background.predict_mask(image, arrived).tobytes() == background.predict_mask(image, one).tobytes()


@pytest.mark.parametrize("without", [".xml", ".bin"])
def test_a_zip_without_graph_or_weights_is_no_network(without: str, weights: Path, tmp_path: Path) -> None:
    path = write_quantized(weights, tmp_path / "u2netp.zip", without=without)

    with pytest.raises(RuntimeError, match=rf"u2netp\.zip holds no OpenVINO model: '{without}'"):
        engines.open_engine(network(path, precision="int8"))


@pytest.mark.parametrize("content", [b"", b"PK\5\6" + bytes(18), b"<html>not found</html>"])
def test_what_is_no_zip_is_no_network(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "u2netp.zip").write_bytes(content)

    with pytest.raises(RuntimeError, match=r"u2netp\.zip holds no OpenVINO model"):
        engines.open_engine(network(tmp_path / "u2netp.zip", precision="int8"))
