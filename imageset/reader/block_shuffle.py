"""Shuffle a file that is larger than memory: read blocks of rows ahead into windows, and cut batches from these."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from typing import NamedTuple

import numpy as np

from imageset.formats.hdf5 import Indices, Pixels
from imageset.formats.images import Images, InMemory
from imageset.reader.buffers import BufferPool
from imageset.reader.row_order import Window


class Piece(NamedTuple):
    """A batch, or a part of it, whose images come from one source.

    `places` are the images' indices in `source`; `rows` are their rows in the dataset. Both are in the batch's order.
    """

    source: Images
    places: Indices
    rows: Indices


def read_windows(
    images: Images, file_rows: Indices, windows: Iterable[Window], buffers: BufferPool, executor: Executor
) -> Generator[Piece, None, None]:
    """Read windows whole, each as one piece, while the next one is being read. Closing it cancels reads.

    Args:
        images: The images in the file.
        file_rows: The place in `images` of each row of the dataset.
        windows: The windows to read, in order.
        buffers: Gives the memory of a window.
        executor: Reads the blocks of a window side by side.
    """
    started: deque[tuple[Window, Pixels, list[Future[None]]]] = deque()

    def read(window: Window, block: slice, buffer: Pixels) -> None:
        images.gather(file_rows[window.rows[block]], buffer[block])

    try:
        for number, window in enumerate(windows):
            if number == 1:  # the first batch waits for the first window alone
                wait(started[0][2])
            buffer = buffers.take(len(window.rows))
            reads = [executor.submit(read, window, block, buffer) for block in find_runs(window.rows)]
            started.append((window, buffer, reads))
            if len(started) > 1:
                yield finish_window(*started[0])
                started.popleft()
        while started:
            yield finish_window(*started[0])
            started.popleft()
    finally:
        for _, _, reads in started:
            for read_ahead in reads:
                read_ahead.cancel()


def finish_window(window: Window, buffer: Pixels, reads: list[Future[None]]) -> Piece:
    """Wait for a window's reads. Raises what they raised."""
    for read in reads:
        read.result()
    return Piece(InMemory(buffer), window.permutation, window.rows[window.permutation])


def find_runs(rows: Indices) -> list[slice]:
    """Return the slices of consecutive rows.

    >>> find_runs(np.array([4, 5, 6, 0, 1]))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def cut_batches(pieces: Iterable[Piece], batch_size: int, skip: int) -> Iterator[list[Piece]]:
    """Cut pieces into batches, after leaving out the first `skip` rows.

    Yields:
        A batch: one piece, or several where a piece ends inside the batch. The last batch may be shorter.
    """
    batch: list[Piece] = []
    missing = batch_size
    for source, places, rows in pieces:
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
