"""Orders other than the file's and a permutation: classes in balance, or what a sampler names."""

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np

from imageset.formats.hdf5 import Indices
from imageset.reader.row_order import RowOrder, Shuffle, seeded_generator
from imageset.reader.torch_seed import seeded_torch

Balance = Literal["classes"] | None


def choose_order(
    labels: Indices, shuffle: Shuffle, sampler: Iterable[int] | None, balance: Balance, **options: Any
) -> RowOrder:
    """Return the order that a loader's arguments ask for.

    Args:
        labels: The label of each row, int64 (N,).
        shuffle: As `RowOrder` takes it.
        sampler: Gives the rows of each epoch, or None.
        balance: "classes", or None.
        options: The other arguments of `RowOrder`.

    Raises:
        ValueError: The arguments exclude each other.
        TypeError: The sampler cannot give the rows of every epoch.
    """
    if balance not in (None, "classes"):
        raise ValueError(f"balance is {balance!r}, it must be 'classes' or None")
    if sampler is not None:
        require_sampler(sampler, shuffle, balance, options["world_size"])
        count = len(sampler)  # type: ignore[arg-type]
        return SampledOrder(count, shuffle=False, sampler=sampler, rows_of_dataset=len(labels), **options)
    if balance:
        if shuffle is not True:
            raise ValueError(f"balance='classes' mixes all rows, so it needs shuffle=True, not shuffle={shuffle!r}")
        return BalancedOrder(len(labels), shuffle=True, labels=labels, **options)
    return RowOrder(len(labels), shuffle=shuffle, **options)


def require_sampler(sampler: Any, shuffle: Shuffle, balance: Balance, world_size: int) -> None:
    """Raise ValueError where another argument decides the order, too; TypeError for what is no sampler of rows."""
    if shuffle is not False:
        raise ValueError(f"sampler decides the order: leave out shuffle={shuffle!r}")
    if balance:
        raise ValueError(f"sampler decides which rows come: leave out balance={balance!r}")
    if world_size > 1:
        raise ValueError(
            f"sampler decides which rows each process gets: leave out rank and world_size={world_size}, and use a "
            "sampler that divides them, such as torch's DistributedSampler"
        )
    if isinstance(sampler, Iterator):
        raise TypeError("sampler is an iterator, which ends after one epoch: pass an object that starts anew each time")
    if not isinstance(sampler, Iterable) or not hasattr(sampler, "__len__"):
        raise TypeError(f"sampler is {type(sampler).__name__}, it must be an iterable of rows with a length")


@dataclass(frozen=True)
class BalancedOrder(RowOrder):
    """As many rows of each class as of any other, in mixed order, and as many in all as there are.

    The rows of a class come in one permutation after the other, and an epoch continues where the epoch before it ended.
    So all rows of a class come equally often over the epochs, and seed and epoch alone decide which ones come.

    Args:
        labels: The label of each row, int64 (total,), 0 or more.

    >>> labels = np.array([0, 0, 0, 0, 0, 1])
    >>> [labels[BalancedOrder(6, 2, shuffle=True, labels=labels).rows(epoch)].tolist() for epoch in range(2)]
    [[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1]]
    """

    labels: Indices = field(kw_only=True, compare=False, repr=False)

    def all_rows(self, epoch: int) -> Indices:
        if not self.total:
            return np.arange(0)
        by_class = np.split(np.argsort(self.labels, kind="stable"), np.cumsum(np.bincount(self.labels))[:-1])
        present = [rows for rows in by_class if len(rows)]
        count = len(present)
        # Over all places p, floor((x + p) / count) adds up to x: each epoch has `total` rows, and no class has more
        # than one row more than another.
        shares = [[(turn * self.total + place) // count for turn in (epoch, epoch + 1)] for place in range(count)]
        drawn = [self._draw(number, rows, *shares[number]) for number, rows in enumerate(present)]
        return np.concatenate(drawn)[seeded_generator(self.seed, epoch).permutation(self.total)]

    def _draw(self, number: int, rows: Indices, first: int, end: int) -> Indices:
        """Return entries `first` to `end` of the permutations of a class's rows; the whole ones in no special order."""
        (first_turn, skip), (last_turn, rest) = divmod(first, len(rows)), divmod(end, len(rows))
        if first_turn == last_turn:
            return self._permute(number, rows, first_turn)[skip:rest]
        whole = np.tile(rows, last_turn - first_turn - 1)
        begin, finish = self._permute(number, rows, first_turn)[skip:], self._permute(number, rows, last_turn)[:rest]
        return np.concatenate([begin, whole, finish])

    def _permute(self, number: int, rows: Indices, turn: int) -> Indices:
        return rows[seeded_generator(self.seed, number, turn).permutation(len(rows))]

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"balance": "classes"}


@dataclass(frozen=True)
class SampledOrder(RowOrder):
    """The rows that a sampler names.

    Args:
        sampler: Gives `total` rows in each epoch. Its `set_epoch`, if it has one, is called with the epoch first. While
            it gives them, torch's generator is seeded by seed and epoch.
        rows_of_dataset: Number of rows that it may name.
    """

    sampler: Any = field(kw_only=True, compare=False)
    rows_of_dataset: int = field(kw_only=True)

    def all_rows(self, epoch: int) -> Indices:
        """Return the sampler's rows, int64 (total,).

        Raises:
            ValueError: It gives more or fewer rows than its length.
            IndexError: It names a row that the dataset lacks.
            TypeError: It gives something other than whole numbers.
        """
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)
        with seeded_torch(self.seed, epoch):
            given = list(islice(self.sampler, self.total + 1))
        try:
            rows = np.fromiter(map(operator.index, given), np.int64)
        except TypeError:
            raise TypeError(
                f"sampler gives {type(given[0]).__name__}, it must give rows one by one: use torch's DataLoader with a "
                "sampler of batches"
            ) from None
        if len(rows) != self.total:
            more = "more" if len(rows) > self.total else f"only {len(rows)}"
            raise ValueError(f"sampler has length {self.total}, it gave {more} rows")
        wrong = rows[(rows < 0) | (rows >= self.rows_of_dataset)]
        if len(wrong):
            raise IndexError(f"sampler gave row {wrong[0]}, the dataset has {self.rows_of_dataset} images")
        return rows

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"sampler": type(self.sampler).__name__}

    @property
    def sampler_rank(self) -> int | None:
        return getattr(self.sampler, "rank", None)  # as torch's DistributedSampler has it
