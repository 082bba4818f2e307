"""u2netp as a list of layers, read from its ONNX file, and its channels rescaled so that all have the same range."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.errors import DataError

KINDS = ("Parameter", "Convolution", "Relu", "MaxPool", "Interpolate", "Concat", "Add", "Sigmoid")

Floats = NDArray[np.float32]


class Kernel(NamedTuple):
    """What a convolution computes with; its padding keeps height and width.

    weights: float32 (channels, input channels, height, width). bias: float32 (channels,).
    """

    weights: Floats
    bias: Floats
    dilation: int


@dataclass(frozen=True)
class Layer:
    """One operation and its output.

    Attributes:
        kind: one of KINDS.
        name: the operation's name in the ONNX file, which is also the name of its output.
        inputs: the layers that it reads.
        shape: of its output: channels, height, width.
        kernel: of a convolution.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    shape: tuple[int, int, int]
    kernel: Kernel | None = None


Layers = dict[str, Layer]


def read_layers(path: Path, side: int) -> Layers:
    """Return the layers that lead to the network's first output, inputs before what reads them.

    Args:
        path: u2netp.onnx.
        side: of the network's input, in pixels.

    Raises:
        DataError: the file holds an operation that u2netp does not have.
        RuntimeError: the file holds no network.
    """
    import openvino
    from openvino.passes import ConstantFolding, Manager

    whole = openvino.Core().read_model(path)
    whole.reshape([1, 3, side, side])
    model = openvino.Model([whole.output(0)], whole.get_parameters(), "u2netp")
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    layers: Layers = {}
    outputs: dict[str, str] = {}  # name of an OpenVINO node -> the layer that has its output
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("Constant", "Result"):
            continue
        sources = [value.get_node() for value in node.input_values()]
        constants = [source.data for source in sources if source.get_type_name() == "Constant"]
        inputs = [outputs[source.get_friendly_name()] for source in sources if source.get_type_name() != "Constant"]
        name = node.get_friendly_name().removesuffix("/WithoutBiases")
        if node.get_type_name() == "Add" and constants:
            (name,) = inputs
            layers[name] = add_bias(layers[name], constants[0])
        else:
            layers[name] = make_layer(node, name, inputs, constants)
        outputs[node.get_friendly_name()] = name
    return layers


def make_layer(node: Any, name: str, inputs: list[str], constants: list[Any]) -> Layer:
    """Return the layer of an OpenVINO operation. Raises DataError."""
    kind = node.get_type_name()
    if kind not in KINDS:
        raise DataError(f"{name} is of the kind {kind}: this is not u2netp")
    shape = tuple(node.output(0).shape)[1:]
    if kind != "Convolution":
        return Layer(kind, name, tuple(inputs), shape)
    dilation = int(node.get_attributes()["dilations"][0])
    kernel = Kernel(np.array(constants[0], np.float32), np.zeros(shape[0], np.float32), dilation)
    return Layer(kind, name, tuple(inputs), shape, kernel)


def add_bias(layer: Layer, bias: Floats) -> Layer:
    """Return a convolution with a bias, of any shape. Raises DataError."""
    if layer.kernel is None:
        raise DataError(f"{layer.name} is no convolution and has a bias: this is not u2netp")
    return replace(layer, kernel=layer.kernel._replace(bias=np.array(bias, np.float32).ravel()))


def channel_ids(layers: Layers) -> dict[str, list[int]]:
    """Return a number for each channel of each layer; channels that must be scaled alike have the same one."""
    parents: list[int] = []

    def find(number: int) -> int:
        while parents[number] != number:
            number = parents[number]
        return number

    ids: dict[str, list[int]] = {}
    for layer in layers.values():
        if layer.kind in ("Parameter", "Convolution"):
            ids[layer.name] = list(range(len(parents), len(parents) + layer.shape[0]))
            parents += ids[layer.name]
        else:  # of a sum's inputs the first
            ids[layer.name] = [number for name in layer.inputs for number in ids[name]][: layer.shape[0]]
        if layer.kind == "Add":
            for one, other in zip(*(ids[name] for name in layer.inputs), strict=True):
                parents[find(one)] = find(other)
    return {name: [find(number) for number in numbers] for name, numbers in ids.items()}


def equalize(layers: Layers, maxima: dict[str, Floats]) -> tuple[Layers, dict[str, Floats]]:
    """Scale each channel by the square root of its greatest value.

    A convolution has one range for all channels of its input, so a channel of small values has few levels. What scales
    a channel down where it is made scales it up in the weights that read it. The network computes the same, because
    everything between two convolutions (ReLU, pooling, bilinear resizing, sums of equally scaled channels) is linear
    for positive factors. The square root leaves half of the differences to the weights.

    Args:
        layers: the network.
        maxima: the greatest value of each channel, by layer.

    Returns:
        The scaled network and, by layer of `maxima`, the greatest values in it.
    """
    ids = channel_ids(layers)
    greatest: dict[int, float] = {}
    for name, values in maxima.items():
        for number, value in zip(ids[name], values, strict=True):
            greatest[number] = max(greatest.get(number, 0), float(value))
    for layer in layers.values():  # the input, and the masks of one channel, stay as they are
        if layer.kind == "Parameter" or layer.shape[0] == 1:
            for number in ids[layer.name]:
                greatest.pop(number, None)
    typical = float(np.median([value for value in greatest.values() if value > 0]))
    # A channel that is nearly always 0 is not blown up.
    factors = {number: np.sqrt(max(value / typical, 0.02)) for number, value in greatest.items()}
    of_layers = {name: np.array([factors.get(number, 1) for number in numbers]) for name, numbers in ids.items()}
    scaled = dict(layers)
    for layer in layers.values():
        if layer.kernel is not None:
            outer, inner = of_layers[layer.name], of_layers[layer.inputs[0]]
            weights = layer.kernel.weights * inner[None, :, None, None] / outer[:, None, None, None]
            kernel = Kernel(
                weights.astype(np.float32), (layer.kernel.bias / outer).astype(np.float32), layer.kernel.dilation
            )
            scaled[layer.name] = replace(layer, kernel=kernel)
    return scaled, {name: (values / of_layers[name]).astype(np.float32) for name, values in maxima.items()}
