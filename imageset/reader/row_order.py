"""Which rows come when: a function of seed, epoch and rank, computed before anything is read.

Random numbers come from NumPy's RandomState, whose streams are frozen (NEP 19): another NumPy gives the same order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from imageset.formats.hdf5 import Indices

Shuffle = bool | Literal["blocks"]


class Window(NamedTuple):
    """Indices that are in memory together: in the order in which they are read, and which of these comes when."""

    rows: Indices
    mix: Indices


@dataclass(frozen=True)
class Order:
    """The rows of one rank, epoch by epoch.

    shuffle: False, the file's order; True, a permutation of all rows; "blocks", a permutation of blocks of
    `block_rows` neighbours, mixed among the `window_rows` rows that are in memory together. All ranks get equally many
    rows in equal batches. For that, as torch's DistributedSampler does, the first rows of the epoch are repeated, fewer
    than `world_size`; with drop_last, rows that fill no batch are left out instead.

    >>> Order(5, 2, shuffle=False).rows(0)
    array([0, 1, 2, 3, 4])
    >>> [Order(5, 2, shuffle=False, rank=rank, world_size=2).rows(0).tolist() for rank in (0, 1)]
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

    @property
    def rows_per_rank(self) -> int:
        if self.drop_last:
            return self.total // self.world_size // self.batch_size * self.batch_size
        return -(-self.total // self.world_size)

    def __len__(self) -> int:
        """Return how many batches each rank gets."""
        return -(-self.rows_per_rank // self.batch_size)

    def rows(self, epoch: int) -> Indices:
        """Return the rank's rows as they are handed out, int64 (rows_per_rank,)."""
        if self.shuffle == "blocks":
            return np.concatenate([window.rows[window.mix] for window in self.windows(epoch)] or [np.arange(0)])
        rows = np.arange(self.total)
        if self.shuffle:
            rows = random(self.seed, epoch).permutation(self.total)
        return self._shared(rows)[:, self.rank]

    def windows(self, epoch: int, first: int = 0) -> Iterator[Window]:
        """Yield the rank's windows from number `first` on: of blocks that follow each other in a permutation of all."""
        blocks = random(self.seed, epoch).permutation(-(-self.total // self.block_rows))
        rows = (blocks[:, None] * self.block_rows + np.arange(self.block_rows)).ravel()
        # Each rank gets a piece of this, not every other row: its blocks are whole but for the first and the last.
        mine = self._shared(rows[rows < self.total]).reshape(self.world_size, -1)[self.rank]
        for number in range(first, -(-len(mine) // self.window_rows)):
            window = mine[number * self.window_rows : (number + 1) * self.window_rows]
            yield Window(window, random(self.seed, epoch, self.rank, number).permutation(len(window)))

    def _shared(self, rows: Indices) -> Indices:
        """Return (rows_per_rank, world_size) rows: cut off at the end, or begun again."""
        if not self.total:
            return np.zeros((0, self.world_size), np.int64)
        return np.resize(rows, (self.rows_per_rank, self.world_size))


def random(seed: int, *place: int) -> np.random.RandomState:
    """Return a generator that depends on seed and place alone, for each place another one."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed, spawn_key=place)))
