"""Run a background-removal network: OpenVINO on the processor, onnxruntime on a GPU.

OpenVINO's float32 gave the same bits on processors with AVX2 and with AVX-512, with one thread and with two.
onnxruntime, which rembg itself uses, did not. It also takes longer and twice the memory (benchmarks/background).
"""

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.runtime.sections import Device, Precision

# One thread a process, as the processes share the cores. Not pinned, or the threads of all processes would run on the
# first core. The precision is always named: OpenVINO by itself takes bfloat16 where the processor has it, and would
# make other masks on other machines.
OPENVINO_OPTIONS = {
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,
    "PERFORMANCE_HINT": "LATENCY",
}
PRECISION_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}  # of what an int8 network leaves in float

Tensor = NDArray[np.float32]


class Network(NamedTuple):
    """A network as it is run.

    name is rembg's. weights is the file of its weights: .onnx, or .zip of an OpenVINO network in int8. side is of the
    square that it takes, in pixels.
    """

    name: str
    weights: Path
    side: int
    precision: Precision = "float32"
    device: Device = "cpu"


def open_engine(network: Network) -> Any:
    """Load a network.

    Raises:
        RuntimeError: the file of the weights holds no network.
        ImagesetError: this machine cannot run it.
    """
    if network.device == "cuda":
        from imageset.photos.gpu import CudaEngine  # here, as it is no part of what decides other masks

        return CudaEngine(network)
    return OpenVinoEngine(network)


class OpenVinoEngine:
    """A network on OpenVINO behind the two methods of onnxruntime's InferenceSession that rembg calls."""

    def __init__(self, network: Network) -> None:
        import openvino

        core = openvino.Core()
        if network.precision == "int8":
            model = core.read_model(*read_quantized(network.weights))
        else:
            model = core.read_model(network.weights)
        model.reshape([1, 3, network.side, network.side])
        options = {**OPENVINO_OPTIONS, "INFERENCE_PRECISION_HINT": PRECISION_HINTS[network.precision]}
        self.request = core.compile_model(model, "CPU", options).create_infer_request()

    def get_inputs(self) -> list[Any]:
        return [self.request.get_compiled_model().input(0).node]

    def run(self, outputs: None, inputs: dict[str, Tensor]) -> list[Tensor]:
        """Return the first output alone, the finest mask."""
        self.request.infer(list(inputs.values()))
        return [self.request.get_output_tensor(0).data.copy()]


def read_quantized(path: Path) -> tuple[bytes, Any]:
    """Return the graph and the weights of an OpenVINO network in a zip. Raises RuntimeError when it is none."""
    import openvino

    try:
        with zipfile.ZipFile(path) as archive:
            content = {Path(name).suffix: archive.read(name) for name in archive.namelist()}
        return content[".xml"], openvino.Tensor(np.frombuffer(content[".bin"], np.uint8))
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise RuntimeError(f"{path} holds no OpenVINO model: {error}") from None
