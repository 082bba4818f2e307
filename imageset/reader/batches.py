"""Make the batches of an epoch: read in threads ahead of the training loop, transformed, on the device."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from imageset.formats.hdf5 import Indices
from imageset.reader.augment import Augment
from imageset.reader.batch_transforms import TransformBatch, move_tensors, transform_images, transform_items
from imageset.reader.block_shuffle import Piece, cut_batches, read_windows
from imageset.reader.buffers import BufferPool
from imageset.reader.gather import fill, gather, gather_floats
from imageset.reader.row_order import RowOrder
from imageset.reader.selection import Selection
from imageset.workers.threads import map_ahead

Extra = Literal["rows", "groups"]


class Planned(NamedTuple):
    """A batch to be made: its number in the epoch, and where its images come from."""

    number: int
    pieces: list[Piece]


class Read(NamedTuple):
    """A batch: images uint8 (B, C, H, W), labels and extras int64 (B,) each, before or after a dataset's transforms."""

    number: int
    images: Any
    columns: list[Any]


class BatchMaker:
    """Makes the batches of rows.

    Args:
        selection: The rows.
        order: Their order.
        device: The device of the batches.
        threads: Threads that make batches.
        extras: What a batch has besides images and labels.
        transform: Called with each batch's images, or None.

    Raises:
        ValueError: The file lacks what `extras` names.
    """

    def __init__(
        self,
        selection: Selection,
        order: RowOrder,
        *,
        device: torch.device,
        threads: int,
        extras: tuple[Extra, ...],
        transform: TransformBatch | None,
    ) -> None:
        self._selection, self._order = selection, order
        self._device, self._threads = device, threads
        self._extras, self._transform = extras, transform
        self._columns()  # which raises what is wrong with extras
        shape = selection.first.image_shape
        batch_rows, window_rows = (min(rows, order.rows_per_rank) for rows in (order.batch_size, order.window_rows))
        self._pixels, self._floats = (
            BufferPool((batch_rows, *shape), dtype, threads + 2) for dtype in ("uint8", "float32")
        )
        self._windows = BufferPool((window_rows, *shape), "uint8", 3)

    def make(self, epoch: int, first: int, rows: Indices | None, threads: ExitStack) -> Iterator[tuple[Any, ...]]:
        """Yield an epoch's batches.

        Args:
            epoch: The epoch.
            first: Number of the first batch that is wanted.
            rows: The epoch's rows in order; None if they come in windows.
            threads: Closing it ends the threads that make batches.
        """
        columns, dataset = self._columns(), self._selection.first
        has_transform = dataset.transform is not None or dataset.target_transform is not None
        planned = map(Planned._make, enumerate(self._plan(epoch, first, rows, threads), first))
        executor = threads.enter_context(ThreadPoolExecutor(self._threads, "imageset-batch"))
        if not has_transform and (self._transform is None or isinstance(self._transform, Augment)):
            finish = partial(self._finish, epoch, columns)
            return threads.enter_context(closing(map_ahead(executor, finish, planned, self._threads)))
        # Others run in the loop's thread, one after the other, as they draw from generators of the whole process.
        read = partial(self._read, columns)
        found: Iterator[Read] = threads.enter_context(closing(map_ahead(executor, read, planned, self._threads)))
        if has_transform:
            found = (Read(batch.number, *transform_items(dataset, batch.images, batch.columns)) for batch in found)
        return (self._deliver(epoch, batch) for batch in found)

    def _columns(self) -> list[torch.Tensor]:
        """Return the labels and the extras of all rows, int64 (N,) each."""
        found = {"rows": lambda: torch.arange(len(self._selection)), "groups": lambda: self._selection.groups}
        return [self._selection.labels, *(found[name]() for name in self._extras)]

    def _plan(self, epoch: int, first: int, rows: Indices | None, threads: ExitStack) -> Iterator[list[Piece]]:
        """Yield where each batch's images come from, from batch number `first` on."""
        images, places, order = self._selection.images, self._selection.places, self._order
        skip = first * order.batch_size
        if rows is not None:
            return cut_batches([Piece(images, places[rows], rows)], order.batch_size, skip)
        executor = threads.enter_context(ThreadPoolExecutor(max(images.readers, self._threads), "imageset-read"))
        first_window, start = order.find_window(skip)
        windows = order.windows(epoch, first_window)
        pieces = threads.enter_context(closing(read_windows(images, places, windows, self._windows, executor)))
        return cut_batches(pieces, order.batch_size, skip - start)

    def _read(self, columns: list[torch.Tensor], planned: Planned) -> Read:
        """Return a batch as it is in the file."""
        pixels = self._pixels.take(sum(len(piece.rows) for piece in planned.pieces))
        fill(pixels, planned.pieces, gather)
        return to_tensors(planned, pixels, columns)

    def _finish(self, epoch: int, columns: list[torch.Tensor], planned: Planned) -> tuple[Any, ...]:
        """Return a batch as it is handed out, in any thread."""
        dataset = self._selection.first
        if not dataset.normalize or self._transform is not None or self._device.type != "cpu":
            return self._deliver(epoch, self._read(columns, planned))
        floats = self._floats.take(sum(len(piece.rows) for piece in planned.pieces))
        scale, shift = dataset.scale_and_shift()
        fill(floats, planned.pieces, partial(gather_floats, scale=scale, shift=shift))
        batch = to_tensors(planned, floats, columns)
        return batch.images, *batch.columns

    def _deliver(self, epoch: int, batch: Read) -> tuple[Any, ...]:
        """Return a batch that was read as it is handed out. Images are moved as uint8, then normalised."""
        device, key = self._device, (epoch, self._order.rank, batch.number)
        images = transform_images(self._transform, batch.images, device, self._order.seed, *key)
        if self._selection.first.normalize:
            images = self._selection.first.normalized(images)
        return images, *move_tensors(batch.columns, device)


def to_tensors(planned: Planned, images: NDArray[Any], columns: list[torch.Tensor]) -> Read:
    """Return images and their columns as tensors. The images' tensor keeps this very array: see BufferPool.take."""
    pieces = planned.pieces
    rows = pieces[0].rows if len(pieces) == 1 else np.concatenate([piece.rows for piece in pieces])
    numbers = torch.from_numpy(rows)
    chosen = [torch.index_select(column, 0, numbers) for column in columns]
    return Read(planned.number, torch.from_numpy(images).permute(0, 3, 1, 2), chosen)
