"""Decide which row comes when: a function of seed, epoch and rank, computed before anything is read.

Random numbers come from NumPy's RandomState. Its streams are frozen (NEP 19): another NumPy gives the same order.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from imageset.formats.hdf5 import Indices

Shuffle = bool | Literal["blocks"]


class Window(NamedTuple):
    """Rows that are in memory together. They are read in the order of `rows`, and used as rows[permutation]."""

    rows: Indices
    permutation: Indices


@dataclass(frozen=True)
class RowOrder:
    """The rows of one rank, epoch by epoch.

    All ranks get the same number of rows, in batches of the same sizes.

    Args:
        total: Number of rows of all ranks.
        batch_size: Rows of a batch.
        shuffle: False: the file's order. True: a permutation of all rows. "blocks": a permutation of blocks of
            `block_rows` neighbours; then the rows of each window of `window_rows` are mixed.
        seed: Seeds the permutations.
        rank: Number of this process, from 0.
        world_size: Number of processes.
        drop_last: True leaves out the rows that fill no batch. False repeats the first rows of the epoch, fewer than
            `world_size`, as torch's DistributedSampler does.
        block_rows: Rows of a block.
        window_rows: Rows that are in memory together.
        first_rows: Rows of an epoch's first window, if they are fewer. 0: as many as of the others.

    >>> RowOrder(5, 2, shuffle=False).rows(0)
    array([0, 1, 2, 3, 4])
    >>> [RowOrder(5, 2, shuffle=False, rank=rank, world_size=2).rows(0).tolist() for rank in (0, 1)]
    [[0, 2, 4], [1, 3, 0]]
    """

    total: int
    batch_size: int
    shuffle: Shuffle
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    drop_last: bool = False
    block_rows: int = 1
    window_rows: int = 1
    first_rows: int = 0

    @property
    def rows_per_rank(self) -> int:
        """Number of rows that each rank gets."""
        if self.drop_last:
            return self.total // self.world_size // self.batch_size * self.batch_size
        return -(-self.total // self.world_size)

    def __len__(self) -> int:
        """Return the number of batches that each rank gets."""
        return -(-self.rows_per_rank // self.batch_size)

    def rows(self, epoch: int) -> Indices:
        """Return the rank's rows in the order of an epoch, int64 (rows_per_rank,)."""
        if self.shuffle == "blocks":
            return np.concatenate([window.rows[window.permutation] for window in self.windows(epoch)] or [np.arange(0)])
        return self._divide(self.all_rows(epoch))[:, self.rank]

    def all_rows(self, epoch: int) -> Indices:
        """Return the rows of all ranks in the order of an epoch, int64 (total,), unless they come in windows."""
        return seeded_generator(self.seed, epoch).permutation(self.total) if self.shuffle else np.arange(self.total)

    def describe(self) -> dict[str, Any]:
        """Return what decides the batches of all ranks, as plain numbers and strings: part of a loader's state."""
        found: dict[str, Any] = {
            "rows": self.total,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "world_size": self.world_size,
            "drop_last": self.drop_last,
            "balance": None,
            "sampler": None,
        }
        if self.shuffle == "blocks":
            first, others = self._first_rows, self.window_rows
            found |= {"block_rows": self.block_rows, "window_rows": others if first == others else [first, others]}
        return found

    @property
    def sampler_rank(self) -> int | None:
        """The rank whose rows a sampler gives, None where it gives the same rows on each."""
        return None

    def windows(self, epoch: int, first: int = 0) -> Iterator[Window]:
        """Yield the rank's windows of an epoch, from number `first` on."""
        block_rows = min(self.block_rows, max(1, self.total))
        blocks = seeded_generator(self.seed, epoch).permutation(-(-self.total // block_rows))
        rows = (blocks[:, None] * block_rows + np.arange(block_rows)).ravel()
        # Each rank gets one stretch, not every other row, so all its blocks but the first and the last are complete.
        own_rows = self._divide(rows[rows < self.total]).reshape(self.world_size, -1)[self.rank]
        for number in itertools.count(first):
            window = own_rows[self._start(number) : self._start(number + 1)]
            if not len(window):
                break
            generator = seeded_generator(self.seed, epoch, self.rank, number)
            yield Window(window, generator.permutation(len(window)))

    def find_window(self, row: int) -> tuple[int, int]:
        """Return the number of the window that has the row in this place of an epoch, and the place where it begins.

        >>> order = RowOrder(100, 10, "blocks", window_rows=30, first_rows=10)
        >>> [order.find_window(row) for row in (0, 9, 10, 39, 40)]
        [(0, 0), (0, 0), (1, 10), (1, 10), (2, 40)]
        """
        number = max(0, row - self._first_rows + self.window_rows) // self.window_rows
        return number, self._start(number)

    @property
    def _first_rows(self) -> int:
        return min(self.first_rows or self.window_rows, self.window_rows)

    def _start(self, number: int) -> int:
        """Return the place in an epoch where a window begins."""
        return self._first_rows + (number - 1) * self.window_rows if number else 0

    def _divide(self, rows: Indices) -> Indices:
        """Return the rows as (rows_per_rank, world_size): cut off at the end, or repeated from the start."""
        if not self.total:
            return np.zeros((0, self.world_size), np.int64)
        return np.resize(rows, (self.rows_per_rank, self.world_size))


def seeded_generator(seed: int, *key: int) -> np.random.RandomState:
    """Return a generator that depends only on seed and key. Each key gives an independent stream."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed, spawn_key=key)))
