"""Batches for training, made in threads ahead of the training loop, in an order that seed and epoch alone decide."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from imageset import windows
from imageset.ahead import Buffers, ordered
from imageset.order import Order
from imageset.windows import Piece

if TYPE_CHECKING:
    from imageset.reader import ImageSet

READERS = 4  # of blocks: a disk answers several at once faster than one after the other
TILE_BYTES = 256 << 10  # of pixels that become floats at a time: they and their floats stay in a core's cache


class Loader:
    """The batches of a dataset: (images, labels), again in each epoch. `imageset.reader.loader` makes one.

    Every loop over it is one epoch, `epoch`; when it ends, the next one follows. A loop that was left early counts for
    nothing: the next loop begins that epoch anew.
    """

    def __init__(self, dataset: "ImageSet", order: Order, *, epoch: int, device: torch.device, threads: int) -> None:
        self.dataset = dataset
        self.epoch = epoch
        self._order = order
        self._device = device
        self._threads = threads
        self._transforms = dataset.transform is not None or dataset.target_transform is not None
        self._to_floats = dataset.normalize and not self._transforms and device.type == "cpu"
        self._handed_out = 0  # batches of this epoch
        self._resume_at = 0
        shape = dataset.image_shape
        self._batches = Buffers((order.batch_size, *shape), "float32" if self._to_floats else "uint8", threads + 3)
        self._windows = Buffers((order.window_rows, *shape), "uint8", 3)

    def __len__(self) -> int:
        """Return how many batches an epoch has, on every rank."""
        return len(self._order)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        first, self._handed_out, self._resume_at = self._resume_at, self._resume_at, 0
        return self._run(self.epoch, first)

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of which epoch were handed out, and of what; plain numbers and texts."""
        return {"epoch": self.epoch, "batch": self._handed_out, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have the next loop go on where the loop was that the state was taken in.

        Raises ValueError when that one gave other batches: other data, batch_size, shuffle, seed or world_size.
        """
        for name, own in self._identity().items():
            if state.get(name) != own:
                raise ValueError(f"the state was saved with {name} {state.get(name)!r}, this loader has {own!r}")
        self.epoch, self._resume_at = state["epoch"], state["batch"]

    def _identity(self) -> dict[str, Any]:
        """Return what decides the batches of all ranks."""
        order = self._order
        return {"content_digest": self.dataset.content_digest, "subset": self.dataset.subset, "rows": order.total,
                "batch_size": order.batch_size, "shuffle": order.shuffle, "seed": order.seed,
                "world_size": order.world_size, "drop_last": order.drop_last, "block_rows": order.block_rows,
                "window_rows": order.window_rows}

    def _run(self, epoch: int, first: int) -> Iterator[tuple[Any, Any]]:
        with ExitStack() as threads:
            planned = self._plan(epoch, first, threads)
            executor = threads.enter_context(ThreadPoolExecutor(self._threads, "imageset-batch"))
            made = threads.enter_context(closing(ordered(executor, self._make, planned, self._threads + 1)))
            for number, (images, labels) in enumerate(made, first):
                self._handed_out = number + 1
                # Here, one after the other, so that what a transform draws depends on torch's seed alone.
                yield self._transformed(images, labels) if self._transforms else (images, labels)
        self.epoch, self._handed_out = epoch + 1, 0

    def _plan(self, epoch: int, first: int, threads: ExitStack) -> Iterator[list[Piece]]:
        """Yield of each batch, from number `first` on, where its images come from."""
        images, file_rows = self.dataset.images, self.dataset.file_rows
        skip = first * self._order.batch_size
        if self._order.shuffle == "blocks":
            executor = threads.enter_context(ThreadPoolExecutor(READERS, "imageset-read"))
            before = skip // self._order.window_rows
            ahead = windows.pieces(images, file_rows, self._order.windows(epoch, before), self._windows, executor)
            return windows.batches(ahead, self._order.batch_size, skip - before * self._order.window_rows)
        rows = self._order.rows(epoch)
        return windows.batches([Piece(images, file_rows[rows], rows)], self._order.batch_size, skip)

    def _make(self, batch: list[Piece]) -> tuple[Any, Any]:
        """Return a batch as it is handed out, or as the transforms get it."""
        # The tensor keeps this very array: see Buffers.take.
        buffer = self._batches.take(sum(len(piece.rows) for piece in batch))
        fill(buffer, batch, self.dataset.scale_and_shift() if self._to_floats else None)
        images = torch.from_numpy(buffer).permute(0, 3, 1, 2)
        labels = self.dataset.labels[torch.from_numpy(np.concatenate([piece.rows for piece in batch]))]
        return (images, labels) if self._transforms else self._placed(images, labels)

    def _transformed(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[Any, Any]:
        samples = [self.dataset.transformed(*sample) for sample in zip(images, labels.tolist(), strict=True)]
        return self._placed(*default_collate(samples))

    def _placed(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return a batch on its device, where floats are made of what travelled as uint8."""
        images = moved(images, self._device)
        if self.dataset.normalize and not self._to_floats:
            images = self.dataset.normalized(images)
        return images, moved(labels, self._device)


def fill(out: NDArray[Any], batch: list[Piece], scale_and_shift: tuple[NDArray[np.float32], NDArray[np.float32]] | None
         ) -> None:
    """Gather a batch's images into `out`: uint8, or float32 of each value times its scale and shifted."""
    place = 0
    for piece in batch:
        part = out[place:place + len(piece.rows)]
        place += len(piece.rows)
        if scale_and_shift is None:
            piece.source.gather(piece.places, part)
        else:
            fill_floats(part, piece, *scale_and_shift)


def fill_floats(out: NDArray[np.float32], piece: Piece, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> None:
    """Make floats of a few images at a time: in a core's cache, where they were just put."""
    step = max(1, TILE_BYTES // math.prod(out.shape[1:]))
    tile = np.empty((step, *out.shape[1:]), np.uint8)
    # Per column and channel of an image's row: a loop over one to three channels would be slow.
    scale, shift = (np.tile(values, out.shape[2]) for values in (scale, shift))
    for start in range(0, len(out), step):
        floats, pixels = out[start:start + step], tile[:len(out) - start]
        piece.source.gather(piece.places[start:start + step], pixels)
        flat = floats.reshape(*floats.shape[:2], -1)
        flat[...] = pixels.reshape(flat.shape)
        # Not in one: fused, the last bit would be another one than elsewhere.
        flat *= scale
        flat += shift


def moved(value: Any, device: torch.device) -> Any:
    """Return the tensors of a batch on a device, all else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        return type(value)(moved(part, device) for part in value)
    if isinstance(value, dict):
        return {name: moved(part, device) for name, part in value.items()}
    return value
