"""The network alone, on OpenVINO and on onnxruntime: the processes that benchmarks/embed starts.

Run as a program it is one of them: it loads the network, prepares all photos, says so and waits for a line; at the end
it prints when it began and ended, in seconds of CLOCK_MONOTONIC. The embeddings go to a file.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.background.engines import LIMITS
from benchmarks.shared.together import time_together
from imageset.photos import decode, efficientnet, embeddings, engines
from imageset.photos.checkpoint import read_checkpoint
from imageset.photos.efficientnet import FoldedLayer

Tensor = NDArray[np.float32]
Infer = Callable[[Tensor], Tensor]  # from one input (1, 3, 224, 224) to an embedding (1280,)


class Setup(NamedTuple):
    """An engine of LOADERS. isa: oneDNN's name of the best instructions that it may use, "" for all there are."""

    engine: str
    threads: int = 1
    isa: str = ""


def infer(setup: Setup, weights: Path, photos: Sequence[Path], processes: int = 1) -> tuple[float, Tensor]:
    """Return the photos a second of so many processes that share the photos, and the embeddings of the first one.

    Args:
        setup: what each process runs.
        weights: of EfficientNet-Lite0.
        photos: files.
        processes: begin together.

    Returns:
        Photos a second from the first process's begin to the last one's end; float32 (photos of the first, 1280).
    """
    output = photos[0].with_name("embeddings.npy")
    environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": setup.isa} if setup.isa else {})}
    commands = [
        [
            *(sys.executable, "-m", "benchmarks.embed.engines", setup.engine, str(setup.threads), str(weights)),
            *(str(output) if number == 0 else os.devnull, *map(str, photos[number::processes])),
        ]
        for number in range(processes)
    ]
    return len(photos) / time_together(commands, environment), np.load(output)


def prepare(photo: Path) -> Tensor:
    """Return a photo as the network takes it, float32 (1, 3, 224, 224), prepared as the stage does."""
    body = photo.read_bytes()
    factor = embeddings.choose_reduction(*decode.read_sides(body, LIMITS))
    return embeddings.normalize(embeddings.make_square(decode.decode(body, LIMITS, factor)))


def load_openvino(weights: Path, threads: int) -> Infer:
    import openvino

    model = efficientnet.build_network(read_checkpoint(weights))
    options = engines.OPENVINO_OPTIONS | {"INFERENCE_PRECISION_HINT": engines.PRECISION_HINTS["float32"]}
    options |= {"INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()

    def run(image: Tensor) -> Tensor:
        request.infer([image])
        return np.array(request.get_output_tensor(0).data).reshape(-1)

    return run


def load_onnxruntime(weights: Path, threads: int) -> Infer:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(build_onnx(weights), options, providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run(None, {"image": image})[0]).reshape(-1)


def build_onnx(weights: Path) -> bytes:
    """Return the same network in ONNX's format, out of the same table of layers and the same folded weights."""
    from onnx import TensorProto, helper

    tensors = read_checkpoint(weights)
    nodes: list[Any] = []
    constants: list[Any] = [
        helper.make_tensor("low", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("high", TensorProto.FLOAT, [], [6.0]),
    ]
    value = "image"
    for block in efficientnet.list_blocks():
        block_input = value
        for layer in block.layers:
            value = add_onnx_layer(nodes, constants, value, efficientnet.fold(layer, tensors))
        if block.skip:
            nodes.append(helper.make_node("Add", [value, block_input], [f"{value}+"]))
            value += "+"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["embedding"]))
    sides = ([1, 3, efficientnet.SIDE, efficientnet.SIDE], [1, efficientnet.SIZE, 1, 1])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("image", "embedding"), sides, strict=True)
    ]
    graph = helper.make_graph(nodes, "efficientnet-lite0", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def add_onnx_layer(nodes: list[Any], constants: list[Any], value: str, folded: FoldedLayer) -> str:
    """Add a convolution with bias and ReLU6, and return the name of its output."""
    from onnx import helper, numpy_helper

    layer, name = folded.layer, folded.layer.name
    constants += [
        numpy_helper.from_array(folded.weights, f"{name}.w"),
        numpy_helper.from_array(folded.bias, f"{name}.b"),
    ]
    nodes.append(
        helper.make_node(
            "Conv",
            [value, f"{name}.w", f"{name}.b"],
            [name],
            auto_pad="SAME_UPPER",
            strides=[layer.stride] * 2,
            group=layer.inputs if layer.depthwise else 1,
            kernel_shape=[layer.kernel] * 2,
        )
    )
    if not layer.relu6:
        return name
    nodes.append(helper.make_node("Clip", [name, "low", "high"], [f"{name}.relu6"]))
    return f"{name}.relu6"


LOADERS = {"openvino": load_openvino, "onnxruntime": load_onnxruntime}


def main(engine: str, threads: str, weights: str, output: str, *paths: str) -> None:
    run = LOADERS[engine](Path(weights), int(threads))
    images = [prepare(Path(path)) for path in paths]
    run(images[0])  # an engine's first time is not its best
    print('"ready"', flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    outputs = [run(image) for image in images]
    print(json.dumps([begin, time.monotonic()]), flush=True)
    with Path(output).open("wb") as file:
        np.save(file, np.stack(outputs))


if __name__ == "__main__":
    main(*sys.argv[1:])
