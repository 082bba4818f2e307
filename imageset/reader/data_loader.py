"""Make batches for training in threads ahead of the training loop. Seed and epoch alone decide their order."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from imageset.errors import FetchFailed
from imageset.formats.images import Chunked, Compressed
from imageset.reader.block_shuffle import Piece, cut_batches, read_windows
from imageset.reader.buffers import BufferPool
from imageset.reader.gather import fill, gather, gather_floats
from imageset.reader.image_set import ImageSet
from imageset.reader.row_order import RowOrder, Shuffle
from imageset.workers.threads import map_ahead

AT_LEAST = {  # arguments of loader
    "batch_size": 1,
    "world_size": 1,
    "rank": 0,
    "seed": 0,
    "epoch": 0,
    "threads": 0,
    "buffer_bytes": 1,
    "block_bytes": 1,
}


class Loader:
    """The batches of a dataset: (images, labels). `imageset.reader.loader` makes one.

    Every loop over it is one epoch, and the next loop is the next epoch, also after a loop that ended early.

    Attributes:
        dataset (ImageSet): The dataset that it reads.
    """

    def __init__(self, dataset: ImageSet, order: RowOrder, *, epoch: int, device: torch.device, threads: int) -> None:
        self.dataset = dataset
        self.epoch = epoch
        self._order = order
        self._device = device
        self._threads = threads
        shape = dataset.image_shape
        batch_rows, window_rows = (min(rows, order.rows_per_rank) for rows in (order.batch_size, order.window_rows))
        self._pixels, self._floats = (
            BufferPool((batch_rows, *shape), dtype, threads + 2) for dtype in ("uint8", "float32")
        )
        self._windows = BufferPool((window_rows, *shape), "uint8", 3)

    @property
    def epoch(self) -> int:
        """Epoch of the current loop or of a loop that ended early, else of the next loop. Set it to choose one."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._batches_done = 0  # of this epoch
        self._resumes = False  # whether the next loop continues this epoch

    def __len__(self) -> int:
        """Return the number of batches in an epoch. It is the same on every rank."""
        return len(self._order)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self._batches_done and not self._resumes:
            self.epoch += 1
        self._resumes = False
        epoch, first = self._epoch, self._batches_done
        with ExitStack() as threads, self._naming_batch():
            for number, batch in enumerate(self._make_batches(epoch, first, threads), first + 1):
                # Before the batch is used: a loop may take the last batch and never ask for another.
                self._epoch, self._batches_done = (epoch, number) if number < len(self) else (epoch + 1, 0)
                yield batch

    @contextmanager
    def _naming_batch(self) -> Iterator[None]:
        """Say which batch the loop did not get, where a part of a file in a bucket could not be read."""
        try:
            yield
        except FetchFailed as error:
            where = f"batch {self._batches_done + 1} of {len(self)} of epoch {self._epoch}"
            raise FetchFailed(f"{where}: {error}; load_state_dict(state_dict()) continues with this batch") from None

    def state_dict(self) -> dict[str, Any]:
        """Return the position: the epoch and the number of its batches that were handed out.

        Returns:
            Plain numbers and strings, which also name the data and the options that decide the batches.
        """
        return {"epoch": self._epoch, "batch": self._batches_done, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved position: the next loop begins with the batch after it.

        Args:
            state: What `state_dict` returned, here or in another process.

        Raises:
            ValueError: The saved loader had other data, batch_size, shuffle, seed, world_size or drop_last; or for
                "blocks" another buffer_bytes or block_bytes.
        """
        for name, own in self._identity().items():
            if state.get(name) != own:
                raise ValueError(f"the state was saved with {name} {state.get(name)!r}, this loader has {own!r}")
        if not 0 <= state["batch"] < max(1, len(self)):
            raise ValueError(f"the state was saved at batch {state['batch']}, an epoch has {len(self)}")
        self.epoch, self._batches_done, self._resumes = state["epoch"], state["batch"], True

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

    def _make_batches(self, epoch: int, first: int, threads: ExitStack) -> Iterator[tuple[Any, Any]]:
        """Yield an epoch's batches from number `first` on. Closing the stack ends the threads that make them."""
        transforms = self.dataset.transform is not None or self.dataset.target_transform is not None
        make = self._read_batch if transforms else self._finish_batch
        planned = self._plan_batches(epoch, first, threads)
        executor = threads.enter_context(ThreadPoolExecutor(self._threads, "imageset-batch"))
        made = threads.enter_context(closing(map_ahead(executor, make, planned, self._threads)))
        # Transforms run here, one after the other, so that what they draw depends on torch's seed alone.
        return (self._transform_batch(*batch) for batch in made) if transforms else made

    def _plan_batches(self, epoch: int, first: int, threads: ExitStack) -> Iterator[list[Piece]]:
        """Yield where each batch's images come from, from batch number `first` on."""
        images, file_rows = self.dataset.images, self.dataset.file_rows
        order = self._order
        skip = first * order.batch_size
        if order.shuffle == "blocks":
            executor = threads.enter_context(ThreadPoolExecutor(max(images.readers, self._threads), "imageset-read"))
            first_window = skip // order.window_rows
            windows = order.windows(epoch, first_window)
            pieces = threads.enter_context(closing(read_windows(images, file_rows, windows, self._windows, executor)))
            return cut_batches(pieces, order.batch_size, skip - first_window * order.window_rows)
        rows = order.rows(epoch)
        return cut_batches([Piece(images, file_rows[rows], rows)], order.batch_size, skip)

    def _read_batch(self, batch: list[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch as it is in the file: images uint8 (B, C, H, W), labels int64 (B,)."""
        pixels = self._pixels.take(sum(len(piece.rows) for piece in batch))
        fill(pixels, batch, gather)
        return self._make_tensors(pixels, batch)

    def _finish_batch(self, batch: list[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch as it is handed out if there are no transforms."""
        if not self.dataset.normalize or self._device.type != "cpu":
            return self._to_device(*self._read_batch(batch))
        floats = self._floats.take(sum(len(piece.rows) for piece in batch))
        scale, shift = self.dataset.scale_and_shift()
        fill(floats, batch, partial(gather_floats, scale=scale, shift=shift))
        return self._make_tensors(floats, batch)

    def _make_tensors(self, images: NDArray[Any], batch: list[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images and their labels as tensors. The images' tensor keeps this very array: see BufferPool.take."""
        rows = batch[0].rows if len(batch) == 1 else np.concatenate([piece.rows for piece in batch])
        return (
            torch.from_numpy(images).permute(0, 3, 1, 2),
            torch.index_select(self.dataset.labels, 0, torch.from_numpy(rows)),
        )

    def _transform_batch(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[Any, Any]:
        """Apply the dataset's transforms to each image, and collate the results."""
        samples = zip(images.contiguous(), labels.tolist(), strict=True)
        return self._to_device(*default_collate([self.dataset.transformed(*sample) for sample in samples]))

    def _to_device(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return a batch on its device. Images are moved as uint8 and normalised there."""
        images = move_tensors(images, self._device)
        return self.dataset.normalized(images) if self.dataset.normalize else images, move_tensors(labels, self._device)


def move_tensors(value: Any, device: torch.device) -> Any:
    """Return the tensors of a nested batch on a device, everything else as it is."""
    if device.type == "cpu":
        return value
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        parts = [move_tensors(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {name: move_tensors(part, device) for name, part in value.items()}
    return value


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
    block_bytes: int | None = None,
) -> Loader:
    """Make the batches of a dataset in threads, ahead of the training loop.

    A batch is (images, labels): images uint8 (B, C, H, W), or float32 if the dataset has `normalize`, and labels int64
    (B,). Images have the memory format torch.channels_last. Every loop is one epoch, and the next loop is the next
    epoch. The order is a function of `seed` and `epoch`; for "blocks" also of `buffer_bytes`, `block_bytes` and the
    size of an image. You can keep a batch: its memory is used again only when nothing refers to it.

    The dataset's transforms run in the thread of the training loop, one image at a time, so torch.manual_seed decides
    what they draw. Use DataLoader with workers for slow transforms.

    Args:
        dataset: An ImageSet. A subclass with a `__getitem__` of its own needs DataLoader.
        batch_size: Images per batch. The last batch of an epoch may be shorter: where `batch_size` is above the number
            of images, it is the only one.
        shuffle: False keeps the file's order. True mixes all rows; use it if the file fits in memory. "blocks" reads
            blocks of rows in mixed order and mixes them again in memory; use it for a larger file.
        seed: Decides the order, with the epoch.
        epoch: The first epoch.
        rank: Number of this process, from 0 to world_size - 1.
        world_size: Number of processes. Each gets the same number of rows, in batches of the same sizes. Up to
            world_size - 1 rows come twice for that.
        drop_last: Leave out the rows that do not fill a batch on every rank. Then no row comes twice. A set smaller
            than one batch on every rank then has no batches.
        device: The device of the batches. uint8 pixels are copied to it; floats are made there.
        threads: Threads that make batches. 0 means two, or for a compressed file as many as torch has, at least two.
        buffer_bytes: Bytes of images that "blocks" mixes at a time. It needs three times as much memory.
        block_bytes: Bytes of a block of "blocks". Larger blocks are faster on a disk that is slow to seek; smaller
            blocks mix better. None means 1 MB, or 8 MB for a file in a bucket.

    Returns:
        A `Loader`: an iterable with a length, which can save and restore its position.

    Raises:
        ValueError: An argument is out of range.
        TypeError: The dataset is not an ImageSet, or has a `__getitem__` of its own.

    Example::

        train = ImageSet("data/dataset.h5", subset="train", normalize=True)
        batches = loader(train, batch_size=256, shuffle=True)
        for epoch in range(3):
            for images, labels in batches:
                ...
    """
    require_image_set(dataset)
    block_bytes = dataset.images.block_bytes if block_bytes is None else block_bytes
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
    order = RowOrder(
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
    is_packed = isinstance(dataset.images, Compressed | Chunked)
    threads = threads or (max(2, torch.get_num_threads()) if is_packed else 2)
    return Loader(dataset, order, epoch=int(epoch), device=torch.empty(0, device=device).device, threads=threads)


def require_image_set(dataset: Any) -> None:
    """Raise TypeError for a dataset whose items are not the rows of an ImageSet's file."""
    if not isinstance(dataset, ImageSet) or type(dataset).__getitem__ is not ImageSet.__getitem__:
        raise TypeError(
            f"loader reads the file of an ImageSet and does not call the __getitem__ of {type(dataset).__name__}: "
            "use torch.utils.data.DataLoader"
        )


def require_values(shuffle: Any, rank: int, world_size: int, **others: int) -> None:
    """Raise ValueError, naming the argument, when one of `loader`'s is out of range."""
    for name, value in (others | {"rank": rank, "world_size": world_size}).items():
        if value < AT_LEAST[name]:
            raise ValueError(f"{name} is {value}, it must be {AT_LEAST[name]} or more")
    if rank >= world_size:
        raise ValueError(f"rank is {rank}, it must be below world_size, {world_size}")
    if shuffle not in (True, False, "blocks"):
        raise ValueError(f"shuffle is {shuffle!r}, it must be True, False or 'blocks'")
