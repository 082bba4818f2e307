"""`python -m tools.quantize PHOTOS WEIGHTS OUT.zip`: make models/u2netp-int8.zip from u2netp.onnx.

The convolutions whose output has 80 x 80 pixels or more compute with integers: inputs of 8 bits, weights of 7. They
have 95 % of the multiplications. These stay in float:

- the smaller convolutions: with those of 40 x 40 as integers, too, a photo took 1 % less time;
- Conv_787: one channel of its input is 228 in nearly every pixel of every photo, the others end between 4 and 68.
  Weights up to 5.6 and biases up to -1,361 take that away again, and levels for 0 to 228 are too coarse for the rest;
- the masks of 80 pixels and less, and the last convolution, of six masks to one.

Weights of 8 bits would make other masks on processors without VNNI. Those of 7 bits make no worse ones.

Methods:

- Channels have similar ranges: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
  2019 (layers.py).
- The rounding errors of weights cancel each other: Frantar et al., "GPTQ", 2022 (rounding.py).
- Inputs go from 0 to the greatest value in the calibration photos. Leaving the greatest 0.01 % out spoiled masks.
- Convolutions to one channel and resized masks are computed in other ways, which are faster in OpenVINO (build.py).

The same photos, weights and packages make the same bytes: twice, with one thread and with two, and with the linear
algebra for processors without AVX-512 (OPENBLAS_CORETYPE=Haswell).
"""

import argparse
import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imageset.errors import DataError
from imageset.formats import stable_hash
from imageset.photos import background, decode
from imageset.photos.decode import PhotoLimits
from imageset.runtime import command, files, progress
from tools.quantize.build import build
from tools.quantize.layers import Floats, Layers, equalize, read_layers
from tools.quantize.rounding import Inputs, round_weights

SIDE = 320
LEAST_SIDE = 80
IN_FLOAT = "Conv_787"
PHOTOS = 24  # 48 and 96 made no better masks
WINDOWS = 256  # of each photo and layer
LIMITS = PhotoLimits(50_000_000)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # rembg's for u2netp
MEMBERS = ("u2netp-int8.xml", "u2netp-int8.bin")


def choose_photos(folder: Path) -> list[Path]:
    """Return the calibration photos: the last PHOTOS in the order of which benchmarks/background takes the first.

    Raises:
        DataError: the folder has no JPEG.
    """
    paths = sorted(folder.glob("**/*.jp*g"), key=lambda path: stable_hash.rank(*path.name.encode()))
    if not paths:
        raise DataError(f"{folder} has no JPEG")
    return paths[-PHOTOS:]


def read_tensor(path: Path) -> Floats:
    """Return a photo as the network's input, prepared as the stage and rembg do, float32 (1, 3, SIDE, SIDE)."""
    body = path.read_bytes()
    reduction = background.choose_reduction(*decode.read_sides(body, LIMITS))
    image = decode.decode(body, LIMITS, reduction).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    array = np.asarray(image) / max(np.max(np.asarray(image)), 1e-6)
    normal: Floats = ((array - MEAN) / DEVIATION).transpose(2, 0, 1)[None].astype(np.float32)
    return normal


def measure(
    layers: Layers, names: Sequence[str], photos: Sequence[Floats], observe: Callable[[str, Floats], None]
) -> None:
    """Show the outputs of some layers, float32 (channels, height, width), of each photo."""
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32"}  # never bfloat16, which OpenVINO may choose by itself
    request = openvino.Core().compile_model(build(layers, names), "CPU", options).create_infer_request()
    for photo in progress.bar(photos, "calibrate", len(photos)):
        request.infer([photo])
        for number, name in enumerate(names):
            observe(name, request.get_output_tensor(number).data[0])


def measure_maxima(layers: Layers, photos: Sequence[Floats]) -> dict[str, Floats]:
    """Return the greatest value of each channel of the layers of which a convolution with integers may read."""
    kinds = ("Relu", "Add", "Interpolate")
    maxima = {
        layer.name: np.zeros(layer.shape[0], np.float32)
        for layer in layers.values()
        if layer.kind in kinds and layer.shape[0] > 1 and layer.shape[-1] >= LEAST_SIDE
    }

    def observe(name: str, output: Floats) -> None:
        maxima[name] = np.maximum(maxima[name], output.max(axis=(1, 2)))

    measure(layers, list(maxima), photos, observe)
    return maxima


def measure_inputs(layers: Layers, convolutions: Sequence[str], photos: Sequence[Floats]) -> dict[str, Inputs]:
    """Return what convolutions of 3 x 3 read, measured at random places of the photos."""
    sources = sorted({layers[name].inputs[0] for name in convolutions})
    windows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in sources}
    random = np.random.default_rng(0)

    def observe(name: str, output: Floats) -> None:
        padded = np.pad(output, ((0, 0), (1, 1), (1, 1)))
        places = zip(*(random.integers(0, side, WINDOWS) for side in output.shape[1:]), strict=True)
        seen = np.stack([padded[:, y : y + 3, x : x + 3].ravel() for y, x in places]).astype(np.float64)
        windows[name].append(np.concatenate([seen.T @ seen, seen.sum(axis=0)[None]]) / WINDOWS)

    measure(layers, sources, photos, observe)
    means = {name: np.mean(each, axis=0) for name, each in windows.items()}
    return {
        name: Inputs(means[layers[name].inputs[0]][:-1], means[layers[name].inputs[0]][-1]) for name in convolutions
    }


def quantize(weights: Path, photos: Sequence[Floats]) -> Any:
    """Return the quantized network, an OpenVINO model.

    Args:
        weights: u2netp.onnx.
        photos: inputs of the network to calibrate with.

    Raises:
        DataError: the weights are not those of u2netp.
        RuntimeError: the file of the weights holds no network.
    """
    layers = read_layers(weights, SIDE)
    layers, maxima = equalize(layers, measure_maxima(layers, photos))
    kernels = {
        layer.name: layer.kernel
        for layer in layers.values()
        if layer.kernel and layer.shape[0] > 1 and layer.shape[-1] >= LEAST_SIDE and layer.name != IN_FLOAT
    }
    inputs = measure_inputs(layers, list(kernels), photos)
    rounded = {name: round_weights(kernel.weights, inputs[name]) for name, kernel in kernels.items()}
    ranges = {name: (0.0, float(values.max())) for name, values in maxima.items()}
    darkest = min(-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True))
    brightest = max((1 - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True))
    ranges[next(iter(layers))] = (darkest, brightest)
    return build(layers, [list(layers)[-1]], rounded, ranges)


def archive(model: Any) -> bytes:
    """Return a zip of a model's two files, the same bytes for the same model."""
    import openvino

    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(content, "w") as zip_file:
        openvino.save_model(model, Path(folder, MEMBERS[0]), compress_to_fp16=False)
        for name in MEMBERS:
            member = zipfile.ZipInfo(name)  # of 1980-01-01
            zip_file.writestr(member, Path(folder, name).read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return content.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.quantize", description=__doc__.partition("\n")[0])
    parser.add_argument("photos", metavar="PHOTOS", type=Path, help="a folder of JPEGs to calibrate with")
    parser.add_argument("weights", metavar="WEIGHTS", type=Path, help="u2netp.onnx")
    parser.add_argument("out", metavar="OUT.zip", type=Path, help="the file to write")
    chosen = parser.parse_args()
    photos = [read_tensor(path) for path in choose_photos(chosen.photos)]
    files.write_bytes(chosen.out, archive(quantize(chosen.weights, photos)))
    print(f"{chosen.out}: {chosen.out.stat().st_size:,} bytes, sha256 {files.sha256(chosen.out)}")


if __name__ == "__main__":
    command.run("quantize", main)
