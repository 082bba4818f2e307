"""Buffers that are used again."""

import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Buffers:
    """Arrays of one shape and dtype that are handed out again when nobody refers to what was handed out before.

    New memory is the dearest part of a batch: each of its pages has to be cleared and mapped. Of arrays that come back,
    `spare` are kept.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, spare: int) -> None:
        self._shape, self._dtype = shape, dtype
        self._free: deque[NDArray[Any]] = deque(maxlen=spare)

    def take(self, rows: int) -> NDArray[Any]:
        """Return an array of so many rows, no more than the shape has.

        It comes back when this very object is gone. Tensors that torch makes of it keep it, and so does all that is
        made of those. Views that NumPy makes of it do not: they refer to the array behind it.
        """
        try:
            whole = self._free.pop()
        except IndexError:
            whole = np.empty(self._shape, self._dtype)
        handed_out = whole[:rows]
        weakref.finalize(handed_out, self._free.append, whole).atexit = False
        return handed_out
