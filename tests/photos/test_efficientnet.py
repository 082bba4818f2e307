"""The network is the one that was published: PyTorch's own layers on the same weights give the same embedding."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from imageset.errors import DataError
from imageset.photos import efficientnet
from imageset.photos.checkpoint import read_checkpoint
from imageset.photos.efficientnet import Layer, build_network, check_tensors, list_blocks, list_tensors

Tensors = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def tensors(embedding_weights: Path) -> Tensors:
    return read_checkpoint(embedding_weights)


def convolve(image: torch.Tensor, layer: Layer, tensors: Tensors) -> torch.Tensor:
    """Return a layer's output, padded as Tensorflow's "SAME" is: what is left over goes right and below."""
    missing = [
        max((math.ceil(side / layer.stride) - 1) * layer.stride + layer.kernel - side, 0) for side in image.shape[2:]
    ]
    (above, left), (below, right) = [each // 2 for each in missing], [each - each // 2 for each in missing]
    padded = functional.pad(image, (left, right, above, below))
    weights = torch.tensor(tensors[f"{layer.name}.weight"])
    found = functional.conv2d(padded, weights, stride=layer.stride, groups=layer.inputs if layer.depthwise else 1)
    mean, variance, gamma, beta = (
        torch.tensor(tensors[f"{layer.norm}.{part}"]) for part in ("running_mean", "running_var", "weight", "bias")
    )
    normed = functional.batch_norm(found, mean, variance, gamma, beta, eps=1e-3)
    return functional.relu6(normed) if layer.relu6 else normed


def run_torch(image: NDArray[np.float32], tensors: Tensors) -> NDArray[np.float32]:
    """Return the embedding of an image by PyTorch's layers, batch norm and all."""
    with torch.no_grad():
        value = torch.from_numpy(image)
        for block in list_blocks():
            block_input = value
            for layer in block.layers:
                value = convolve(value, layer, tensors)
            if block.skip:
                value = value + block_input
        return np.asarray(value.mean((2, 3)).numpy()[0])


def run_openvino(image: NDArray[np.float32], tensors: Tensors) -> NDArray[np.float32]:
    model = openvino.Core().compile_model(build_network(tensors), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(model(image)[0]).reshape(-1)


def test_pytorch_gives_the_same_embedding(tensors: Tensors) -> None:
    random = np.random.default_rng(1)
    smooth = np.kron(random.normal(size=(1, 3, 14, 14)), np.ones((16, 16)))
    image = np.clip(smooth + random.normal(size=(1, 3, 224, 224)) / 10, -1, 1).astype(np.float32)
    found, expected = run_openvino(image, tensors), run_torch(image, tensors)

    assert found.shape == (1280,)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4
    assert expected.max() > 1


def test_the_table_has_the_blocks_and_tensors_of_the_published_network(tensors: Tensors) -> None:
    blocks = list(list_blocks())

    assert len(blocks) == 1 + 16 + 1
    assert sum(len(block.layers) for block in blocks) == 49
    assert [number for number, block in enumerate(blocks) if block.skip] == [3, 5, 7, 8, 10, 11, 13, 14, 15]
    assert {name: (array.dtype.name, array.shape) for name, array in tensors.items()} == list_tensors()
    assert sum(array.size for name, array in tensors.items() if "running" not in name and "num_" not in name) == 4652008


@pytest.mark.parametrize("name", ["_conv_stem.weight", "_blocks.7._bn2.running_var", "_fc.bias"])
def test_a_tensor_that_is_missing_or_of_another_shape_or_type_is_named(name: str, tensors: Tensors) -> None:
    without = {other: array for other, array in tensors.items() if other != name}

    with pytest.raises(DataError, match=f"not the weights of EfficientNet-Lite0: {name} is missing$"):
        check_tensors(without)
    for changed in (tensors[name][:-1], tensors[name].astype(np.int64), tensors[name][None]):
        with pytest.raises(DataError, match=rf"{name} is \('\w+', .*\), not \('float32', "):
            build_network(without | {name: changed})


def test_a_tensor_too_many_is_named(tensors: Tensors) -> None:
    with pytest.raises(DataError, match=r"it has no _blocks\.16\._bn0\.bias$"):
        build_network(tensors | {"_blocks.16._bn0.bias": tensors["_bn0.bias"]})


def test_folding_rounds_once(tensors: Tensors) -> None:
    layer = next(iter(list_blocks())).layers[0]
    folded = efficientnet.fold(layer, tensors)
    scale = tensors["_bn0.weight"].astype(np.float64) / np.sqrt(tensors["_bn0.running_var"].astype(np.float64) + 1e-3)

    assert folded.weights.dtype == folded.bias.dtype == np.float32
    assert (folded.weights == (tensors["_conv_stem.weight"] * scale[:, None, None, None]).astype(np.float32)).all()
