"""Round a convolution's weights so that the errors of neighbours cancel (GPTQ)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Of weights. AVX2 and AVX-512 without VNNI add two products of 8 bits in 16 bits, which overflow with weights of 8
# bits and do not with 7: 2 * 255 * 63 < 2**15.
MOST = 63

DAMPING = 0.01  # GPTQ's

Doubles = NDArray[np.float64]


class Inputs(NamedTuple):
    """What a convolution reads: statistics of windows of its input, float64.

    products is the mean of the outer product of a window with itself (K, K), mean that of the windows (K,). K is input
    channels x height x width of the kernel.
    """

    products: Doubles
    mean: Doubles


class Rounded(NamedTuple):
    """A convolution's weights as integers, int8, the step of each output channel, and the bias to add."""

    integers: NDArray[np.int8]
    steps: NDArray[np.float32]
    bias: NDArray[np.float32]


def round_weights(weights: NDArray[np.float32], inputs: Inputs | None) -> Rounded:
    """Round weights to -MOST..MOST steps.

    Each weight's rounding error is made up for by the weights that are not rounded yet (Frantar et al., 2022). What is
    left of it on average goes into the bias.

    Args:
        weights: float32 (channels, input channels, height, width).
        inputs: what the convolution reads; None: round each weight to the nearest step.
    """
    left = weights.reshape(len(weights), -1).astype(np.float64)
    steps = np.maximum(np.abs(left).max(axis=1), 1e-12) / MOST
    if inputs is None:
        integers = np.round(left / steps[:, None])
        return Rounded(
            integers.reshape(weights.shape).astype(np.int8), steps.astype(np.float32), np.zeros(len(steps), np.float32)
        )
    size = len(inputs.products)
    damped = inputs.products + np.eye(size) * DAMPING * np.trace(inputs.products) / size
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    integers = np.zeros_like(left)
    for column in range(size):
        integers[:, column] = np.clip(np.round(left[:, column] / steps), -MOST, MOST)
        error = (left[:, column] - integers[:, column] * steps) / upper[column, column]
        left[:, column:] -= np.outer(error, upper[column, column:])
    bias = (weights.reshape(len(weights), -1) - integers * steps[:, None]) @ inputs.mean
    return Rounded(integers.reshape(weights.shape).astype(np.int8), steps.astype(np.float32), bias.astype(np.float32))
