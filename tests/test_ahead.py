"""Work ahead: in order, as far as told, errors in their turn; buffers that no two have at a time."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from imageset.ahead import Buffers, ordered


def test_results_come_in_order_whoever_is_faster() -> None:
    turns = {number: threading.Event() for number in range(4)}

    def work(number: int) -> int:
        if number % 2 == 0:  # each even one ends after its successor
            assert turns[number + 1].wait(10)
        turns[number].set()
        return number

    with ThreadPoolExecutor(2) as executor:
        assert list(ordered(executor, work, range(4), 2)) == [0, 1, 2, 3]


def test_no_more_is_begun_than_was_asked_for() -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(1) as executor:
        results = ordered(executor, begun.append, range(100), 3)
        next(results)
        results.close()

    assert begun == list(range(len(begun)))
    assert len(begun) <= 4


def test_an_error_comes_in_its_turn_and_ends_it() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise OSError("no more")
        return number

    with ThreadPoolExecutor(2) as executor:
        results = ordered(executor, work, range(9), 4)

        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(OSError, match="no more"):
            next(results)
        assert list(results) == []


@pytest.mark.parametrize("kept", ["array", "tensor", "view of the tensor", "array of the tensor", "storage"])
def test_a_buffer_comes_back_when_nothing_refers_to_it(kept: str) -> None:
    buffers = Buffers((8, 2), "uint8", spare=2)
    taken = buffers.take(5)
    address = taken.ctypes.data
    tensor = torch.from_numpy(taken)
    keeper = {"array": taken, "tensor": tensor, "view of the tensor": tensor.permute(1, 0)[1:],
              "array of the tensor": tensor.numpy()[2:], "storage": tensor.untyped_storage()}[kept]
    del taken, tensor
    gc.collect()
    other = buffers.take(8)

    assert other.shape == (8, 2)
    assert other.ctypes.data != address
    del keeper
    gc.collect()
    assert buffers.take(1).ctypes.data == address


def test_no_more_spare_buffers_are_kept_than_told() -> None:
    buffers = Buffers((4,), "float32", spare=2)
    taken = [buffers.take(4) for _ in range(5)]
    addresses = {each.ctypes.data for each in taken}
    del taken
    again = [buffers.take(4) for _ in range(2)]

    assert {each.ctypes.data for each in again} <= addresses
    assert len(buffers._free) == 0
    assert again[0].dtype == np.float32
