"""Background removal: predict a mask of an image's foreground, by rembg's networks and conventions, on OpenVINO.

OpenVINO's float32 gave the same bits on processors with AVX2 and with AVX-512, with one thread and with two.
onnxruntime, which rembg itself uses, did not. It also takes longer and twice the memory (benchmarks/background).
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# One thread a process, as the processes share the cores. Not pinned, or the threads of all processes would run on the
# first core. Never bfloat16, which OpenVINO chooses by itself where the processor has it: it would make other masks on
# other machines.
OPENVINO_OPTIONS = {
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,
    "INFERENCE_PRECISION_HINT": "f32",
    "PERFORMANCE_HINT": "LATENCY",
}

# The longer side of the image that is resized for the network has at least this many pixels. Most networks take 320
# pixels of it. More pixels cost time and made no visible difference.
MASKING_SIDE = 512


class Network(NamedTuple):
    """Rembg's name of a network, the file of its weights, and the side of the square that it takes, in pixels."""

    name: str
    weights: Path
    side: int


def choose_reduction(width: int, height: int) -> int:
    """Return by what to divide a photo's sides before its mask is predicted."""
    return max(1, max(width, height) // MASKING_SIDE)


def predict_mask(image: Image.Image, network: Network) -> Image.Image:
    """Predict which pixels of an image show the foreground.

    Args:
        image: mode RGB, of any size.
        network: the network and its weights.

    Returns:
        The mask: mode L, network.side x network.side, 255 where the foreground is.

    Raises:
        RuntimeError: the file of the weights holds no network.
    """
    resized = image.resize((network.side, network.side), Image.Resampling.LANCZOS)
    mask: Image.Image = open_session(network).predict(resized)[0]
    return mask


@lru_cache(maxsize=1)
def open_session(network: Network) -> Any:
    """Return rembg's session for a network, one a process; its pre- and post-processing are rembg's own."""
    # rembg imports pymatting, which compiles its matting code on the first import of an environment: 48 s for code
    # that is not used here.
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    from rembg.sessions import sessions

    rembg_session: Any = sessions[network.name]

    class PinnedSession(rembg_session):  # type: ignore[misc]  # rembg's classes are not typed
        """Rembg's class of this network, with this project's weights and engine, not a download and onnxruntime."""

        def __init__(self) -> None:
            self.model_name = network.name
            self.inner_session = InferenceEngine(network)

        def normalize(self, image: Image.Image, mean: Any, std: Any, size: Any) -> Any:
            return super().normalize(image, mean, std, (network.side, network.side))

    return PinnedSession()


class InferenceEngine:
    """A network on OpenVINO behind the two methods of onnxruntime's InferenceSession that rembg calls."""

    def __init__(self, network: Network) -> None:
        """Raises RuntimeError when the file of the weights holds no network."""
        import openvino

        core = openvino.Core()
        model = core.read_model(network.weights)
        model.reshape([1, 3, network.side, network.side])
        self.request = core.compile_model(model, "CPU", OPENVINO_OPTIONS).create_infer_request()

    def get_inputs(self) -> list[Any]:
        return [self.request.get_compiled_model().input(0).node]

    def run(self, outputs: None, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return the first output alone, the finest mask."""
        self.request.infer(list(inputs.values()))
        return [self.request.get_output_tensor(0).data.copy()]
