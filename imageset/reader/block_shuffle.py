"""A file larger than memory, shuffled: blocks of neighbours are read ahead into windows, batches come out of these."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import NamedTuple

import numpy as np

from imageset.formats.hdf5 import Indices, Pixels
from imageset.formats.images import Images, InMemory
from imageset.reader.buffers import Buffers
from imageset.reader.row_order import Window


class Piece(NamedTuple):
    """Images of a batch that come from one place: which ones there, and which rows of the dataset they are."""

    source: Images
    places: Indices
    rows: Indices


def pieces(
    images: Images, file_rows: Indices, ahead: Iterable[Window], buffers: Buffers, executor: Executor
) -> Iterator[Piece]:
    """Yield windows, each read whole, while the next one is being read. file_rows[row]: where in the file a row is."""
    under_way: deque[tuple[Window, Pixels, list[Future[None]]]] = deque()

    def read(window: Window, block: slice, buffer: Pixels) -> None:
        images.gather(file_rows[window.rows[block]], buffer[block])

    for window in ahead:
        buffer = buffers.take(len(window.rows))
        reads = [executor.submit(read, window, block, buffer) for block in runs(window.rows)]
        under_way.append((window, buffer, reads))
        if len(under_way) > 1:
            yield finished(*under_way.popleft())
    while under_way:
        yield finished(*under_way.popleft())


def finished(window: Window, buffer: Pixels, reads: list[Future[None]]) -> Piece:
    """Wait for a window's reads. Raises what they raised."""
    for read in reads:
        read.result()
    return Piece(InMemory(buffer), window.mix, window.rows[window.mix])


def runs(rows: Indices) -> list[slice]:
    """Return the slices of rows that are neighbours.

    >>> runs(np.array([4, 5, 6, 0, 1]))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def batches(whole: Iterable[Piece], batch_size: int, skip: int) -> Iterator[list[Piece]]:
    """Cut pieces into batches, a batch of two pieces where one ends, after the first `skip` rows."""
    batch: list[Piece] = []
    missing = batch_size
    for source, places, rows in whole:
        start, skip = min(skip, len(rows)), max(0, skip - len(rows))
        while start < len(rows):
            cut = slice(start, start + missing)
            batch.append(Piece(source, places[cut], rows[cut]))
            missing -= len(rows[cut])
            start += len(rows[cut])
            if not missing:
                yield batch
                batch, missing = [], batch_size
    if batch:
        yield batch
