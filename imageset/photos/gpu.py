"""Run a background-removal network on a GPU by onnxruntime, several images at once.

Nobody has run it on a GPU yet: the tests run it by onnxruntime on the processor. The sums of a GPU depend on its model,
on cuDNN and on how many images are together, so masks made here may differ in their last bits.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Lock
from typing import Any

import numpy as np
from PIL import Image

from imageset.errors import ImagesetError
from imageset.photos.engines import Network, Tensor
from imageset.photos.hardware import claim_gpu
from imageset.photos.networks import NETWORKS

PROVIDERS = ["CUDAExecutionProvider"]
# No TensorFloat-32, which would round the inputs of products to 10 bits. No search for the fastest algorithm, which
# another run might decide differently.
PROVIDER_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}


class CudaEngine:
    """A network behind the two methods of onnxruntime's InferenceSession that rembg calls."""

    def __init__(self, network: Network) -> None:
        """Raises ImagesetError when onnxruntime finds no GPU that it can use."""
        import onnxruntime  # type: ignore[import-untyped]

        # Other networks may have the number of images among their constants.
        self.takes_batches = NETWORKS[network.name].any_side
        self.claim, device = claim_gpu()
        options = [{"device_id": str(device), **PROVIDER_OPTIONS} if name == PROVIDERS[0] else {} for name in PROVIDERS]
        available = onnxruntime.get_available_providers()
        if PROVIDERS[0] in available:
            onnxruntime.preload_dlls()  # CUDA and cuDNN out of their packages, which no library path names
            model = free_shapes(network.weights) if self.takes_batches else network.weights.read_bytes()
            self.session = onnxruntime.InferenceSession(model, providers=PROVIDERS, provider_options=options)
            available = self.session.get_providers()  # onnxruntime goes on without a provider that does not start
        if PROVIDERS[0] not in available:
            raise ImagesetError(
                "masks.device: cuda: onnxruntime finds no GPU that it can use: `pip install -r requirements-gpu.txt`, "
                "check `nvidia-smi`, or set masks.device to cpu"
            )

    def get_inputs(self) -> list[Any]:
        inputs: list[Any] = self.session.get_inputs()
        return inputs

    def run(self, outputs: None, inputs: dict[str, Tensor]) -> list[Tensor]:
        """Return the first output alone, the finest mask."""
        return [self.infer(*inputs.values())]

    def infer(self, images: Tensor) -> Tensor:
        """Return the finest masks of prepared images, float32 (N, 3, S, S)."""
        inputs = {self.session.get_inputs()[0].name: images}
        finest: Tensor = self.session.run([self.session.get_outputs()[0].name], inputs)[0]
        return finest


def free_shapes(weights: Path) -> bytes:
    """Return an ONNX network that takes several images of any side; the file of u2netp says one, of 320 pixels."""
    import onnx

    model = onnx.load(weights)
    for value in (*model.graph.input, *model.graph.output):
        shape = value.type.tensor_type.shape
        for place, name in ((0, "images"), (2, "height"), (3, "width")):
            shape.dim[place].dim_param = name
    content: bytes = model.SerializeToString()
    return content


def predict_together(session: Any, images: Sequence[Image.Image]) -> list[Image.Image]:
    """Return the masks of images in the network's side, which the GPU infers together where the network allows it.

    Args:
        session: rembg's, with a CudaEngine as its inner session.
        images: mode RGB, in the network's side.
    """
    engine = session.inner_session
    if not engine.takes_batches or len(images) < 2:
        return [session.predict(image)[0] for image in images]
    meeting = session.inner_session = MeetingPoint(engine, len(images))

    def predict(image: Image.Image) -> Image.Image:
        try:
            mask: Image.Image = session.predict(image)[0]
        except Exception as error:
            meeting.give_up(error)
            raise
        return mask

    try:
        with ThreadPoolExecutor(len(images)) as threads:
            return list(threads.map(predict, images))
    except BrokenBarrierError as error:
        raise meeting.failure or error from None
    finally:
        session.inner_session = engine


class MeetingPoint:
    """An engine for one batch of images, each in a thread of its own, as rembg's code takes one image at a time.

    The threads meet in `run`. The last to come infers the whole batch; then each takes its own output.
    """

    def __init__(self, engine: CudaEngine, images: int) -> None:
        self.engine = engine
        self.inputs: list[Tensor] = []
        self.outputs: Tensor = np.empty(0, np.float32)
        self.failure: Exception | None = None
        self.lock = Lock()
        self.barrier = Barrier(images, self.infer)

    def get_inputs(self) -> list[Any]:
        return self.engine.get_inputs()

    def infer(self) -> None:
        try:
            self.outputs = self.engine.infer(np.concatenate(self.inputs))
        except Exception as error:
            self.note(error)  # no more: the barrier holds its lock while it calls this, and breaks by itself
            raise

    def note(self, error: Exception) -> None:
        """Keep the first failure, which is the one to tell."""
        with self.lock:
            self.failure = self.failure or error

    def give_up(self, error: Exception) -> None:
        """Let no thread wait for one that failed."""
        self.note(error)
        self.barrier.abort()

    def run(self, outputs: None, inputs: dict[str, Tensor]) -> list[Tensor]:
        with self.lock:
            place = len(self.inputs)
            self.inputs += inputs.values()
        self.barrier.wait()
        return [self.outputs[place : place + 1]]
