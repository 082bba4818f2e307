"""The pool never gives one buffer to two at a time."""

import gc

import numpy as np
import pytest
import torch

from imageset.reader.buffers import BufferPool


@pytest.mark.parametrize("kept", ["array", "tensor", "view of the tensor", "array of the tensor", "storage"])
def test_a_buffer_returns_when_nothing_refers_to_it(kept: str) -> None:
    buffers = BufferPool((8, 2), "uint8", max_spare=2)
    taken = buffers.take(5)
    address = taken.ctypes.data
    tensor = torch.from_numpy(taken)
    keeper = {
        "array": taken,
        "tensor": tensor,
        "view of the tensor": tensor.permute(1, 0)[1:],
        "array of the tensor": tensor.numpy()[2:],
        "storage": tensor.untyped_storage(),
    }[kept]
    del taken, tensor
    gc.collect()
    other = buffers.take(8)

    assert other.shape == (8, 2)
    assert other.ctypes.data != address
    del keeper
    gc.collect()
    assert buffers.take(1).ctypes.data == address


def test_no_more_than_max_spare_buffers_are_kept() -> None:
    buffers = BufferPool((4,), "float32", max_spare=2)
    taken = [buffers.take(4) for _ in range(5)]
    addresses = {each.ctypes.data for each in taken}
    del taken
    again = [buffers.take(4) for _ in range(2)]

    assert {each.ctypes.data for each in again} <= addresses
    assert len(buffers._spare) == 0
    assert again[0].dtype == np.float32
