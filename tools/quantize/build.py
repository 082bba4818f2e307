"""Layers -> OpenVINO's network, in float32 or with quantized convolutions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.quantize.layers import Floats, Kernel, Layer, Layers
from tools.quantize.rounding import Rounded, round_weights

Range = tuple[float, float]

# Of the smallest output, in pixels, for which it saves time:
SPLIT_SIDE = 160  # split_convolution
SUM_SIDE = 320  # sums of quantized inputs, which are less exact

# Greater weights stay in float32. Those of Conv_787 cancel each other, and float16 is too coarse for that.
GREATEST_FLOAT16 = 4


class Builder:
    """Builds one network, layer after layer.

    Args:
        layers: inputs before what reads them.
        rounded: by convolution that computes with integers, its weights.
        ranges: of the tensors that such convolutions read, by layer.
    """

    def __init__(self, layers: Layers, rounded: Mapping[str, Rounded], ranges: Mapping[str, Range]) -> None:
        import openvino.opset13

        self.op = openvino.opset13
        self.layers, self.rounded, self.ranges = layers, rounded, ranges
        self.tensors: dict[str, Any] = {}
        self.quantized: dict[str, Any] = {}
        for layer in layers.values():
            self.tensors[layer.name] = self.make(layer)

    def make(self, layer: Layer) -> Any:
        op, inputs = self.op, [self.tensors[name] for name in layer.inputs]
        match layer.kind:
            case "Parameter":
                parameter = op.parameter([1, *layer.shape], np.float32, name=layer.name)
                parameter.output(0).set_names({layer.name})
                return parameter
            case "Convolution" if layer.kernel is not None:
                return self.convolution(layer, layer.kernel)
            case "Relu":
                return op.relu(*inputs)
            case "MaxPool":
                return self.pool(*inputs)
            case "Interpolate":
                return self.resize(layer, *inputs)
            case "Concat":
                return op.concat(inputs, 1)
            case "Add":
                if self.rounded and layer.shape[-1] >= SUM_SIDE:
                    # OpenVINO then computes the sum as part of the convolution before it.
                    inputs = [self.quantize(name) for name in layer.inputs]
                return op.add(*inputs)
        return op.sigmoid(*inputs)

    def quantize(self, name: str) -> Any:
        """Return a layer's output in 256 levels. Parts are quantized before they are pooled or concatenated."""
        if name not in self.quantized:
            layer, op = self.layers[name], self.op
            if layer.kind == "Concat":
                self.quantized[name] = op.concat([self.quantize(each) for each in layer.inputs], 1)
            elif layer.kind == "MaxPool":
                self.quantized[name] = self.pool(self.quantize(layer.inputs[0]))
            else:
                ends = [op.constant(np.float32(end)) for end in self.ranges[name]]
                self.quantized[name] = op.fake_quantize(self.tensors[name], *ends, *ends, 256)
        return self.quantized[name]

    def pool(self, tensor: Any) -> Any:
        return self.op.max_pool(tensor, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "ceil", "explicit", "i64").output(0)

    def convolution(self, layer: Layer, kernel: Kernel) -> Any:
        source, rounded, bias = layer.inputs[0], self.rounded.get(layer.name), kernel.bias
        is_mask = len(kernel.weights) == 1 and kernel.weights[0, 0].size == 9
        if is_mask and layer.shape[-1] >= SPLIT_SIDE and self.rounded:
            result = self.split_convolution(self.quantize(source), kernel.weights[0])
        elif rounded is None:
            result = self.convolve(self.tensors[source], self.float_weights(kernel.weights), kernel.dilation)
        else:
            bias = bias + rounded.bias
            result = self.convolve(self.quantize(source), self.integer_weights(rounded), kernel.dilation)
        return self.op.add(result, self.op.constant(bias.reshape(1, -1, 1, 1)))

    def convolve(self, tensor: Any, weights: Any, dilation: int = 1) -> Any:
        padding = [dilation * (side // 2) for side in list(weights.shape)[2:]]
        return self.op.convolution(tensor, weights, [1, 1], padding, padding, [dilation, dilation])

    def split_convolution(self, tensor: Any, weights: Floats) -> Any:
        """Convolve 3 x 3 to one channel: nine products a pixel first, then their sum over the neighbours.

        OpenVINO computes 16 channels at once, so one channel alone takes the time of 16.
        """
        taps = weights.reshape(len(weights), 9).T.reshape(9, -1, 1, 1)
        products = self.convolve(tensor, self.integer_weights(round_weights(taps, None)))
        return self.convolve(products, self.op.constant(np.eye(9, dtype=np.float32).reshape(1, 9, 3, 3)))

    def float_weights(self, weights: Floats) -> Any:
        """Return weights as they are; of a quantized network in float16, which halves the file."""
        if not self.rounded or np.abs(weights).max() > GREATEST_FLOAT16:
            return self.op.constant(weights)
        return self.op.convert(self.op.constant(weights.astype(np.float16)), "f32")

    def integer_weights(self, rounded: Rounded) -> Any:
        """Return integers times steps, which OpenVINO takes for the weights of a convolution with integers."""
        integers = self.op.convert(self.op.constant(rounded.integers), "f32")
        return self.op.multiply(integers, self.op.constant(rounded.steps.reshape(-1, 1, 1, 1)))

    def resize(self, layer: Layer, tensor: Any) -> Any:
        """Resize bilinearly; one channel by two products of matrices, which OpenVINO computes faster."""
        op, sides = self.op, layer.shape[1:]
        if layer.shape[0] == 1 and self.rounded:
            rows, columns = (
                op.constant(interpolation(self.layers[layer.inputs[0]].shape[axis], layer.shape[axis]))
                for axis in (1, 2)
            )
            return op.matmul(op.matmul(rows, tensor, False, False), columns, False, True)
        return op.interpolate(
            tensor,
            op.constant(np.array(sides)),
            "linear_onnx",
            "sizes",
            [0, 0, 0, 0],
            [0, 0, 0, 0],
            "pytorch_half_pixel",
            axes=op.constant(np.array([2, 3])),
        )


def interpolation(source: int, target: int) -> NDArray[np.float32]:
    """Return the matrix (target, source) that resizes a line bilinearly."""
    places = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    least = places.astype(int)
    matrix = np.zeros((target, source))
    np.add.at(matrix, (np.arange(target), least), 1 - places + least)
    np.add.at(matrix, (np.arange(target), np.minimum(least + 1, source - 1)), places - least)
    return matrix.astype(np.float32)


def build(
    layers: Layers,
    outputs: Sequence[str],
    rounded: Mapping[str, Rounded] | None = None,
    ranges: Mapping[str, Range] | None = None,
) -> Any:
    """Return an OpenVINO model with the outputs of some layers; its operations are named by their kind and number.

    rounded, ranges: see Builder; without them all is computed in float32.
    """
    import openvino

    builder = Builder(layers, rounded or {}, ranges or {})
    results = [builder.op.result(builder.tensors[name]) for name in outputs]
    parameters = [builder.tensors[layer.name] for layer in layers.values() if layer.kind == "Parameter"]
    model = openvino.Model(results, parameters, "u2netp")
    # OpenVINO's own names count what the process has made before, and would be other bytes each time.
    for output, name in zip(model.outputs, outputs, strict=True):
        output.get_tensor().set_names({name})
    counts: Counter[str] = Counter()
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        node.set_friendly_name(f"{kind}_{counts[kind]}")
        counts[kind] += 1
    return model
