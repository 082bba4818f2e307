"""Batches for training, made in threads ahead of the training loop, in an order that seed and epoch alone decide."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from imageset.formats.hdf5 import Pixels
from imageset.formats.images import Contiguous
from imageset.reader.block_shuffle import Piece, batches, pieces
from imageset.reader.buffers import Buffers
from imageset.reader.image_set import ImageSet
from imageset.reader.row_order import Order, Shuffle
from imageset.workers.threads import map_ahead

READERS = 4  # of blocks: a disk answers several at once faster than one after the other
TILE_BYTES = 512 << 10  # of pixels that become floats at a time: they and their floats stay in a core's cache


class Loader:
    """The batches of a dataset: (images, labels), again in each epoch. `imageset.reader.loader` makes one.

    Every loop over it is one epoch, and the next loop the next one, also when the last was left early. `epoch` is that
    of the loop that is under way or was left early, else of the next one; set it, and the next loop begins that epoch.
    """

    def __init__(self, dataset: ImageSet, order: Order, *, epoch: int, device: torch.device, threads: int) -> None:
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
        made = threads.enter_context(closing(map_ahead(executor, make, planned, self._threads)))
        # Transforms here, one after the other, so that what they draw depends on torch's seed alone.
        return (self._transformed(*batch) for batch in made) if transforms else made

    def _plan(self, epoch: int, first: int, threads: ExitStack) -> Iterator[list[Piece]]:
        """Yield of each batch, from number `first` on, where its images come from."""
        images, file_rows = self.dataset.images, self.dataset.file_rows
        skip = first * self._order.batch_size
        if self._order.shuffle == "blocks":
            executor = threads.enter_context(ThreadPoolExecutor(max(READERS, self._threads), "imageset-read"))
            before = skip // self._order.window_rows
            ahead = pieces(images, file_rows, self._order.windows(epoch, before), self._windows, executor)
            return batches(ahead, self._order.batch_size, skip - before * self._order.window_rows)
        rows = self._order.rows(epoch)
        return batches([Piece(images, file_rows[rows], rows)], self._order.batch_size, skip)

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


def loader(
    dataset: ImageSet,
    batch_size: int,
    shuffle: Shuffle = False,
    *,
    seed: int = 0,
    epoch: int = 0,
    rank: int = 0,
    world_size: int = 1,
    drop_last: bool = False,
    device: torch.device | str = "cpu",
    threads: int = 0,
    buffer_bytes: int = 128 << 20,
    block_bytes: int = 1 << 20,
) -> Loader:
    """Return a dataset's batches: (images, labels), images uint8 (B, C, H, W), or float32 where it has `normalize`.

    Every loop is one epoch and the next loop the next; the order is a function of `seed` and `epoch` alone (and, for
    "blocks", of `buffer_bytes`, `block_bytes` and the image's size). Batches are made in `threads` (by default two, for
    a compressed file as many as torch has) while the training loop computes, and moved to `device`: uint8 travels,
    floats are made there. Their memory format is torch.channels_last. A batch may be kept: its memory is used again
    only when nothing refers to it.

    shuffle: False, in the file's order; True, all rows mixed, for a file that memory can hold; "blocks", blocks of
    `block_bytes` in mixed order, mixed again among `buffer_bytes` of images, for one that it cannot. That takes three
    times `buffer_bytes` of memory. Larger blocks are read faster where a disk is slow to seek, smaller ones mix better.
    rank, world_size: of `world_size` processes each gets as many rows, in batches of the same lengths; for that up to
    world_size - 1 rows come twice, unless `drop_last` drops the rows that do not fill a batch on every rank.

    A transform of the dataset is called in the training loop's thread, an image at a time, so that torch.manual_seed
    decides what it draws; one that takes long is better off in DataLoader's workers.

    Raises ValueError for an argument that cannot be, TypeError for another dataset than an ImageSet or one with a
    `__getitem__` of its own: that is for DataLoader.
    """
    require_image_set(dataset)
    require_values(
        shuffle,
        rank,
        world_size,
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
        threads=threads,
        buffer_bytes=buffer_bytes,
        block_bytes=block_bytes,
    )
    row_bytes = math.prod(dataset.image_shape)
    order = Order(
        len(dataset),
        int(batch_size),
        shuffle,
        int(seed),
        int(rank),
        int(world_size),
        bool(drop_last),
        block_rows=max(1, block_bytes // row_bytes),
        window_rows=max(1, buffer_bytes // row_bytes),
    )
    threads = threads or (2 if isinstance(dataset.images, Contiguous) else max(2, torch.get_num_threads()))
    return Loader(dataset, order, epoch=int(epoch), device=torch.empty(0, device=device).device, threads=threads)


def require_image_set(dataset: Any) -> None:
    """Raise TypeError for a dataset whose items are not the rows of an ImageSet's file."""
    if not isinstance(dataset, ImageSet) or type(dataset).__getitem__ is not ImageSet.__getitem__:
        raise TypeError(
            f"loader reads an ImageSet's file, past the __getitem__ of {type(dataset).__name__}: "
            "take DataLoader for that"
        )


AT_LEAST = {
    "batch_size": 1,
    "world_size": 1,
    "rank": 0,
    "seed": 0,
    "epoch": 0,
    "threads": 0,
    "buffer_bytes": 1,
    "block_bytes": 1,
}


def require_values(shuffle: Any, rank: int, world_size: int, **others: int) -> None:
    """Raise ValueError, naming the argument, when one of `loader`'s is out of range."""
    for name, value in (others | {"rank": rank, "world_size": world_size}).items():
        if value < AT_LEAST[name]:
            raise ValueError(f"{name} is {value}, it has to be {AT_LEAST[name]} or more")
    if rank >= world_size:
        raise ValueError(f"rank is {rank}, it has to be below world_size, {world_size}")
    if shuffle not in (True, False, "blocks"):
        raise ValueError(f"shuffle is {shuffle!r}, it has to be True, False or 'blocks'")


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
