"""Use the memory of old batches again."""

import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class BufferPool:
    """Arrays of one shape and dtype. An array returns to the pool when nothing refers to it any more.

    New memory is the most expensive part of a batch, because the kernel clears and maps every page.

    Args:
        shape: Shape of each array; the first axis is rows.
        dtype: Dtype of each array.
        max_spare: Number of returned arrays that are kept.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, max_spare: int) -> None:
        self._shape, self._dtype = shape, dtype
        self._spare: deque[NDArray[Any]] = deque(maxlen=max_spare)

    def take(self, rows: int) -> NDArray[Any]:
        """Return an uninitialised array of `rows` rows, at most as many as the pool's shape has.

        Its memory returns to the pool when this very object is deleted. A tensor that torch makes from it keeps the
        object, and so does everything made from that tensor. A NumPy view does not: it refers to the base array.
        """
        try:
            base = self._spare.pop()
        except IndexError:
            base = np.empty(self._shape, self._dtype)
        taken = base[:rows]
        weakref.finalize(taken, self._spare.append, base).atexit = False
        return taken

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what makes an empty pool like this one."""
        return BufferPool, (self._shape, self._dtype, self._spare.maxlen)
