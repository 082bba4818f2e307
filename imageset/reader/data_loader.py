"""The loader: batches for training. Its order, its position in an epoch, and what its arguments may be."""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils.data import Dataset

from imageset.errors import FetchFailed
from imageset.formats.hdf5 import Indices
from imageset.formats.images import Chunked, Compressed
from imageset.reader.batch_transforms import TransformBatch
from imageset.reader.batches import BatchMaker, Extra
from imageset.reader.row_order import RowOrder, Shuffle
from imageset.reader.sampling import Balance, choose_order
from imageset.reader.selection import Selection, select

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
EXTRAS = ("rows", "groups")
SAID = {  # what `loader` calls entries of a state
    "block_rows": "block_bytes (in rows)",
    "window_rows": "buffer_bytes (in rows)",
    "selected": "rows of the checksum",
}


class Loader:
    """The batches of a dataset: (images, labels). `imageset.reader.loader` makes one.

    Every loop over it is one epoch, and the next loop is the next epoch, also after a loop that ended early. It can be
    pickled: memory and threads stay behind.

    Attributes:
        dataset (torch.utils.data.Dataset): The dataset that it reads.
    """

    def __init__(
        self, dataset: Dataset[Any], selection: Selection, order: RowOrder, maker: BatchMaker, *, epoch: int
    ) -> None:
        self.dataset = dataset
        self.epoch = epoch
        self._selection, self._order, self._maker = selection, order, maker

    @property
    def epoch(self) -> int:
        """Epoch of the current loop or of a loop that ended early, else of the next loop. Set it to choose one."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._batches_done = 0  # of this epoch
        self._resumes = False  # whether the next loop continues this epoch
        self._sampled: int | None = None  # a checksum of the rows that a sampler gave for this epoch

    def __len__(self) -> int:
        """Return the number of batches in an epoch. It is the same on every rank."""
        return len(self._order)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        if self._batches_done and not self._resumes:
            self.epoch += 1
        epoch, first = self._epoch, self._batches_done
        self._selection.require_alike()
        rows = self._find_rows(epoch)
        self._resumes = False
        sampled = self._sampled
        with ExitStack() as threads, self._naming_batch():
            for number, batch in enumerate(self._maker.make(epoch, first, rows, threads), first + 1):
                # Before the batch is used: a loop may take the last batch and never ask for another.
                if number < len(self):
                    self._epoch, self._batches_done, self._sampled = epoch, number, sampled
                else:
                    self.epoch = epoch + 1
                yield batch

    @contextmanager
    def _naming_batch(self) -> Iterator[None]:
        """Say which batch the loop did not get, where a part of a file in a bucket could not be read."""
        try:
            yield
        except FetchFailed as error:
            where = f"batch {self._batches_done + 1} of {len(self)} of epoch {self._epoch}"
            raise FetchFailed(f"{where}: {error}; load_state_dict(state_dict()) continues with this batch") from None

    def _find_rows(self, epoch: int) -> Indices | None:
        """Return an epoch's rows in order, or None if they come in windows."""
        if self._order.shuffle == "blocks":
            return None
        rows = self._order.rows(epoch)
        if self._order.describe()["sampler"] is not None:
            found = zlib.crc32(rows.tobytes())
            if self._resumes and self._sampled not in (None, found):
                raise ValueError(
                    "the sampler gives other rows than when the state was saved: it has to draw from torch's own "
                    "generator, or from one that its set_epoch seeds"
                )
            self._sampled = found
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Return the position: the epoch and the number of its batches that were handed out.

        Returns:
            Plain numbers and strings, which also name the data and the options that decide the batches. A sampler is
            named by its class and a checksum of the rows that it gave: `load_state_dict` does not restore it.
        """
        return {
            "epoch": self._epoch,
            "batch": self._batches_done,
            "sampled": self._sampled if self._batches_done else None,
            "sampler_rank": self._order.sampler_rank,
            **self._identity(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved position: the next loop begins with the batch after it.

        Args:
            state: What `state_dict` returned, here or in another process.

        Raises:
            ValueError: The saved loader had other data, batch_size, shuffle, sampler, balance, seed, world_size or
                drop_last; or for "blocks" another buffer_bytes or block_bytes. If a sampler gives other rows than it
                gave for the saved epoch, the next loop raises it.
        """
        for name, own in self._identity().items():
            if state.get(name) != own:
                said = SAID.get(name, name)
                raise ValueError(f"the state was saved with {said} {state.get(name)!r}, this loader has {own!r}")
        if not 0 <= state["batch"] < max(1, len(self)):
            raise ValueError(f"the state was saved at batch {state['batch']}, an epoch has {len(self)}")
        self.epoch = state["epoch"]
        self._batches_done, self._resumes = state["batch"], True
        of_this_rank = state.get("sampler_rank") == self._order.sampler_rank
        self._sampled = state.get("sampled") if of_this_rank else None

    def _identity(self) -> dict[str, Any]:
        """Return what decides the batches of all ranks."""
        return self._selection.describe() | self._order.describe()


def loader(
    dataset: Dataset[Any],
    batch_size: int,
    shuffle: Shuffle = False,
    *,
    sampler: Iterable[int] | None = None,
    balance: Balance = None,
    seed: int = 0,
    epoch: int = 0,
    rank: int = 0,
    world_size: int = 1,
    drop_last: bool = False,
    extras: Iterable[Extra] = (),
    transform_batch: TransformBatch | None = None,
    device: torch.device | str = "cpu",
    threads: int = 0,
    buffer_bytes: int = 128 << 20,
    block_bytes: int | None = None,
) -> Loader:
    """Make the batches of a dataset in threads, ahead of the training loop.

    A batch is (images, labels): images uint8 (B, C, H, W), or float32 if the dataset has `normalize`, and labels int64
    (B,). Without transforms, images are channels_last in memory. Batches may be kept.

    Args:
        dataset: An ImageSet, or torch's `Subset` and `ConcatDataset` of ImageSets, nested or not. Several ImageSets
            need the same image shape, classes, transforms and `normalize`.
        batch_size: Images per batch. The last batch of an epoch may be shorter: where `batch_size` is above the number
            of images, it is the only one.
        shuffle: False keeps the file's order. True mixes all rows; use it if the file fits in memory. "blocks" reads
            blocks of rows in mixed order and mixes them again in memory; use it for a larger file.
        sampler: Gives the rows of each epoch, in order: any of torch's samplers of rows, or another iterable of numbers
            with a length. Leave out `shuffle`, `balance` and `world_size` with it. Its `set_epoch`, if it has one, is
            called with each epoch. While it gives rows, torch's generator is seeded by `seed` and the epoch; so torch's
            own samplers give the same rows again after a resume, unless they have a `generator` of their own.
        balance: "classes" gives each class equally often, with `shuffle=True`. An epoch has as many rows as without, so
            rows of rare classes come several times and some rows of common ones wait for a later epoch.
        seed: Decides the order, with the epoch.
        epoch: The first epoch.
        rank: Number of this process, from 0 to world_size - 1.
        world_size: Number of processes. Each gets the same number of rows, in batches of the same sizes. Up to
            world_size - 1 rows come twice for that.
        drop_last: Leave out the rows that do not fill a batch on every rank. Then no row comes twice. A set smaller
            than one batch on every rank then has no batches.
        extras: What a batch has behind images and labels, int64 (B,) each: "rows", the index of each image in
            `dataset`, and "groups", the group of each image.
        transform_batch: Called with each batch's images, uint8 (B, C, H, W), on `device`, before they are normalised;
            with `normalize` it must return uint8. It runs in the thread of the training loop. Meanwhile torch's
            generators are seeded by seed, epoch, rank and the batch's number, so that a resumed run goes on the same.
        device: The device of the batches. uint8 pixels are copied to it; floats are made there.
        threads: Threads that make batches. 0 means two, or for a compressed file as many as torch has, at least two.
        buffer_bytes: Bytes of images that "blocks" mixes at a time. It needs three times as much memory.
        block_bytes: Bytes of a block of "blocks". Larger blocks are faster on a disk that is slow to seek; smaller
            blocks mix better. None means 1 MB, or 8 MB for a file in a bucket.

    Returns:
        A `Loader`: an iterable with a length, which can save and restore its position.

    Raises:
        ValueError: An argument is out of range, or excludes another; or the ImageSets of a ConcatDataset differ.
        TypeError: The dataset is made of something other than ImageSets, or has a `__getitem__` of its own; or the
            sampler is an iterator or has no length.
        IndexError: A Subset has an index that is out of range.

    Example::

        train = ImageSet("data/dataset.h5", subset="train", normalize=True)
        batches = loader(train, batch_size=256, shuffle=True)
        for epoch in range(3):
            for images, labels in batches:
                ...
    """
    selection, extras = select(dataset), tuple(extras)
    block_bytes = selection.images.block_bytes if block_bytes is None else block_bytes
    require_values(
        shuffle,
        rank,
        world_size,
        extras,
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
        threads=threads,
        buffer_bytes=buffer_bytes,
        block_bytes=block_bytes,
    )
    order = choose_order(
        selection.labels.numpy(),
        shuffle,
        sampler,
        balance,
        batch_size=int(batch_size),
        seed=int(seed),
        rank=int(rank),
        world_size=int(world_size),
        drop_last=bool(drop_last),
        block_rows=max(1, block_bytes // selection.row_bytes),
        window_rows=max(1, buffer_bytes // selection.row_bytes),
        first_rows=-(-selection.images.first_bytes // selection.row_bytes),
    )
    place, threads = torch.empty(0, device=device).device, threads or count_threads(selection)
    maker = BatchMaker(selection, order, device=place, threads=threads, extras=extras, transform=transform_batch)
    return Loader(dataset, selection, order, maker, epoch=int(epoch))


def count_threads(selection: Selection) -> int:
    """Return how many threads make batches: two copy as fast as memory allows, decompressing takes all cores."""
    is_packed = any(isinstance(part.images, Compressed | Chunked) for part in selection.parts)
    return max(2, torch.get_num_threads()) if is_packed else 2


def require_values(shuffle: Any, rank: int, world_size: int, extras: tuple[str, ...], **others: int) -> None:
    """Raise ValueError, naming the argument, when one of `loader`'s is out of range."""
    for name, value in (others | {"rank": rank, "world_size": world_size}).items():
        if value < AT_LEAST[name]:
            raise ValueError(f"{name} is {value}, it must be {AT_LEAST[name]} or more")
    if rank >= world_size:
        raise ValueError(f"rank is {rank}, it must be below world_size, {world_size}")
    if shuffle not in (True, False, "blocks"):
        raise ValueError(f"shuffle is {shuffle!r}, it must be True, False or 'blocks'")
    for extra in extras:
        if extra not in EXTRAS:
            raise ValueError(f"extras has {extra!r}, it may have 'rows' and 'groups'")
