"""Batches for training, made in threads ahead of the training loop, in an order that seed and epoch alone decide."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from imageset.formats.hdf5 import Pixels
from imageset.reader import block_shuffle as windows
from imageset.reader.block_shuffle import Piece
from imageset.reader.buffers import Buffers
from imageset.reader.row_order import Order
from imageset.workers.threads import ordered

if TYPE_CHECKING:
    from imageset.reader import ImageSet

READERS = 4  # of blocks: a disk answers several at once faster than one after the other
TILE_BYTES = 512 << 10  # of pixels that become floats at a time: they and their floats stay in a core's cache


class Loader:
    """The batches of a dataset: (images, labels), again in each epoch. `imageset.reader.loader` makes one.

    Every loop over it is one epoch, and the next loop the next one, also when the last was left early. `epoch` is that
    of the loop that is under way or was left early, else of the next one; set it, and the next loop begins that epoch.
    """

    def __init__(self, dataset: "ImageSet", order: Order, *, epoch: int, device: torch.device, threads: int) -> None:
        self.dataset = dataset
        self.epoch = epoch
        self._order = order
        self._device = device
        self._threads = threads
        shape = dataset.image_shape
        self._pixels, self._floats = (
            Buffers((order.batch_size, *shape), dtype, threads + 2) for dtype in ("uint8", "float32")
        )
        self._windows = Buffers((order.window_rows, *shape), "uint8", 3)

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._done = 0  # batches of this epoch that were handed out
        self._goes_on = False  # whether the next loop takes the rest of this epoch

    def __len__(self) -> int:
        """Return how many batches an epoch has, on every rank."""
        return len(self._order)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self._done and not self._goes_on:
            self.epoch += 1
        self._goes_on = False
        epoch, first = self._epoch, self._done
        with ExitStack() as threads:
            for number, batch in enumerate(self._batches(epoch, first, threads), first + 1):
                # Before the batch is used: a loop may ask for no more than there are.
                self._epoch, self._done = (epoch, number) if number < len(self) else (epoch + 1, 0)
                yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of which epoch were handed out, and of what; plain numbers and texts."""
        return {"epoch": self._epoch, "batch": self._done, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have the next loop go on where the loop was that the state was taken in.

        Raises ValueError when that one gave other batches: other data, batch_size, shuffle, seed or world_size.
        """
        for name, own in self._identity().items():
            if state.get(name) != own:
                raise ValueError(f"the state was saved with {name} {state.get(name)!r}, this loader has {own!r}")
        if not 0 <= state["batch"] < max(1, len(self)):
            raise ValueError(f"the state was saved at batch {state['batch']}, an epoch has {len(self)}")
        self.epoch, self._done, self._goes_on = state["epoch"], state["batch"], True

    def _identity(self) -> dict[str, Any]:
        """Return what decides the batches of all ranks."""
        order = self._order
        found = {
            "content_digest": self.dataset.content_digest,
            "subset": self.dataset.subset,
            "rows": order.total,
            "batch_size": order.batch_size,
            "shuffle": order.shuffle,
            "seed": order.seed,
            "world_size": order.world_size,
            "drop_last": order.drop_last,
        }
        if order.shuffle == "blocks":
            found |= {"block_rows": order.block_rows, "window_rows": order.window_rows}
        return found

    def _batches(self, epoch: int, first: int, threads: ExitStack) -> Iterator[tuple[Any, Any]]:
        """Yield an epoch's batches from number `first` on. The threads that make them end with the stack."""
        transforms = self.dataset.transform is not None or self.dataset.target_transform is not None
        make = self._gathered if transforms else self._finished
        planned = self._plan(epoch, first, threads)
        executor = threads.enter_context(ThreadPoolExecutor(self._threads, "imageset-batch"))
        made = threads.enter_context(closing(ordered(executor, make, planned, self._threads)))
        # Transforms here, one after the other, so that what they draw depends on torch's seed alone.
        return (self._transformed(*batch) for batch in made) if transforms else made

    def _plan(self, epoch: int, first: int, threads: ExitStack) -> Iterator[list[Piece]]:
        """Yield of each batch, from number `first` on, where its images come from."""
        images, file_rows = self.dataset.images, self.dataset.file_rows
        skip = first * self._order.batch_size
        if self._order.shuffle == "blocks":
            executor = threads.enter_context(ThreadPoolExecutor(max(READERS, self._threads), "imageset-read"))
            before = skip // self._order.window_rows
            ahead = windows.pieces(images, file_rows, self._order.windows(epoch, before), self._windows, executor)
            return windows.batches(ahead, self._order.batch_size, skip - before * self._order.window_rows)
        rows = self._order.rows(epoch)
        return windows.batches([Piece(images, file_rows[rows], rows)], self._order.batch_size, skip)

    def _gathered(self, batch: list[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch as it is in the file, (B, C, H, W)."""
        pixels = self._pixels.take(sum(len(piece.rows) for piece in batch))
        fill(pixels, batch, gather)
        return self._tensors(pixels, batch)

    def _finished(self, batch: list[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch as it is handed out where there are no transforms."""
        if not self.dataset.normalize or self._device.type != "cpu":
            return self._placed(*self._gathered(batch))
        floats = self._floats.take(sum(len(piece.rows) for piece in batch))
        scale, shift = self.dataset.scale_and_shift()
        fill(floats, batch, partial(gather_floats, scale=scale, shift=shift))
        return self._tensors(floats, batch)

    def _tensors(self, images: NDArray[Any], batch: list[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images and their labels as tensors. That of the images keeps this very array: see Buffers.take."""
        rows = batch[0].rows if len(batch) == 1 else np.concatenate([piece.rows for piece in batch])
        return (
            torch.from_numpy(images).permute(0, 3, 1, 2),
            torch.index_select(self.dataset.labels, 0, torch.from_numpy(rows)),
        )

    def _transformed(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[Any, Any]:
        samples = zip(images.contiguous(), labels.tolist(), strict=True)
        return self._placed(*default_collate([self.dataset.transformed(*sample) for sample in samples]))

    def _placed(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return a batch on its device, where floats are made of what travelled as uint8."""
        images = moved(images, self._device)
        return self.dataset.normalized(images) if self.dataset.normalize else images, moved(labels, self._device)


def fill(out: NDArray[Any], batch: list[Piece], copy: Callable[[Piece, NDArray[Any]], None]) -> None:
    """Copy a batch's images into `out`, piece after piece."""
    place = 0
    for piece in batch:
        copy(piece, out[place : place + len(piece.rows)])
        place += len(piece.rows)


def gather(piece: Piece, out: Pixels) -> None:
    piece.source.gather(piece.places, out)


def gather_floats(
    piece: Piece, out: NDArray[np.float32], scale: NDArray[np.float32], shift: NDArray[np.float32]
) -> None:
    """Gather images as floats, each channel times its scale and shifted.

    A few at a time, so that they are still in a core's cache when floats are made of them.
    """
    step = max(1, TILE_BYTES // math.prod(out.shape[1:]))
    tile = np.empty((step, *out.shape[1:]), np.uint8)
    if len(scale) > 1:  # for each value of an image, as a loop over three channels would be slow
        scale, shift = (np.tile(values, math.prod(out.shape[1:3])) for values in (scale, shift))
    for start in range(0, len(out), step):
        floats, pixels = out[start : start + step], tile[: len(out) - start]
        piece.source.gather(piece.places[start : start + step], pixels)
        flat = floats.reshape(len(floats), -1)
        flat[...] = pixels.reshape(flat.shape)
        # Not in one: fused, the last bit would be another one than elsewhere.
        flat *= scale
        flat += shift


def moved(value: Any, device: torch.device) -> Any:
    """Return the tensors of a batch on a device, all else as it is."""
    if device.type == "cpu":
        return value
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        parts = [moved(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {name: moved(part, device) for name, part in value.items()}
    return value
